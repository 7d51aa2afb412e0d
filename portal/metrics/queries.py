"""What pages show of the jobs: which live, since when, and what they have done."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from portal.metrics.models import JobHeartbeat

# A job that misses so many heartbeats in a row is taken to be gone.
SILENT_BEATS = 4
_NEWEST = 500


@dataclass(frozen=True, slots=True)
class JobHealth:
    """One job over all its instances; `counters` are those of the living ones together since each started.

    `breakers` are the outside systems that an instance leaves alone at present.
    """

    job: str
    living: int
    last_at: datetime
    counters: dict[str, int] = field(default_factory=dict)
    breakers: tuple[str, ...] = ()


def health_of_jobs(session: Session, *, now: datetime, silent_after: timedelta) -> list[JobHealth]:
    """Return the health of every job that ever gave a sign of life, by name."""
    newest = select(JobHeartbeat).order_by(JobHeartbeat.at.desc()).limit(_NEWEST)
    beats: dict[str, list[JobHeartbeat]] = {}
    for beat in session.scalars(newest):
        beats.setdefault(beat.job, []).append(beat)
    return [_health(job, of_job, now - silent_after) for job, of_job in sorted(beats.items())]


def open_breakers(session: Session, *, now: datetime, silent_after: timedelta) -> set[str]:
    """Return the outside systems that a living job leaves alone at present."""
    living = select(JobHeartbeat.counters).where(JobHeartbeat.at >= now - silent_after).limit(_NEWEST)
    return {system for counters in session.scalars(living) for system in counters.get("breakers", {})}


def _health(job: str, beats: list[JobHeartbeat], alive_since: datetime) -> JobHealth:
    living = [beat for beat in beats if beat.at >= alive_since]
    return JobHealth(
        job,
        living=len(living),
        last_at=beats[0].at,
        counters=_sums(living),
        breakers=tuple(sorted({system for beat in living for system in beat.counters.get("breakers", {})})),
    )


def _sums(beats: Iterable[JobHeartbeat]) -> dict[str, int]:
    sums: Counter[str] = Counter()
    for beat in beats:
        sums.update({name: value for name, value in beat.counters.items() if isinstance(value, int)})
    return dict(sorted(sums.items()))
