"""The overview: what the day has brought, what is open, and whether the pipeline lives."""

from dataclasses import dataclass
from datetime import timedelta, tzinfo

from flask import Blueprint, render_template

from portal.metrics.queries import SILENT_BEATS, health_of_jobs
from portal.orders import queries_overview as orders
from portal.orders.queries_overview import MOST_OF_A_DAY, MOST_OPEN, Hour
from portal.referrals import queries_overview as referrals
from portal.referrals.queries_attention import MOST_COUNTED
from portal.web.context import reading, runtime
from portal.web.htmx import wants_fragment
from portal.web.permissions import everybody
from portal.web.zone import viewer_zone

blueprint = Blueprint("overview", __name__)

_CHART_HEIGHT = 100


@dataclass(frozen=True, slots=True)
class Bars:
    """One hour of the chart: heights out of 100, and the hour of the day in the viewer's zone."""

    hour: Hour
    label: str
    received: int
    completed: int


@blueprint.get("/")
@everybody
def show() -> str:
    now, zone = runtime().clock(), viewer_zone()
    local = now.astimezone(zone)
    day_start = local.replace(hour=0, minute=0, second=0, microsecond=0)
    silent_after = timedelta(seconds=runtime().settings.heartbeat_seconds * SILENT_BEATS)
    with reading() as session:
        figures = orders.figures_of(session, day_start=day_start, now=now)
        of_referrals = referrals.figures_of(session, day_start=day_start, now=now)
        hours = orders.orders_by_hour(session, now=now)
        jobs = health_of_jobs(session, now=now, silent_after=silent_after)
        # It moves by days, and is too dear to be refreshed with the figures.
        funnel = None if wants_fragment() else referrals.recent_funnel(session, now)
    return render_template(
        "overview/_figures.html" if wants_fragment() else "overview/overview.html",
        figures=figures,
        referrals=of_referrals,
        funnel=funnel,
        funnel_days=referrals.FUNNEL_DAYS,
        most_counted=MOST_COUNTED,
        as_of=now,
        day=f"{day_start:%Y-%m-%d}",
        zone=str(zone),
        weekday=f"{local:%A}",
        bars=_bars(hours, zone),
        busiest=max(max(hour.received, hour.completed) for hour in hours),
        jobs=jobs,
        breakers=sorted({system for job in jobs for system in job.breakers}),
        most_open=MOST_OPEN,
        most_of_a_day=MOST_OF_A_DAY,
        systems=runtime().system_titles,
    )


def _bars(hours: list[Hour], zone: tzinfo) -> list[Bars]:
    most = max(1, *(max(hour.received, hour.completed) for hour in hours))
    return [
        Bars(
            hour,
            f"{hour.start.astimezone(zone):%H}",
            _height(hour.received, most),
            _height(hour.completed, most),
        )
        for hour in hours
    ]


def _height(count: int, most: int) -> int:
    """Scale a count to the chart; what is not nothing is never drawn as nothing."""
    return max(2, round(count * _CHART_HEIGHT / most)) if count else 0
