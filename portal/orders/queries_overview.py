"""The figures of the overview: each is counted by an index, within a bound."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Select, String, cast, func, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from portal.orders.models import OrderStep, PurchaseOrder, WaitingMessage
from portal.orders.queries import count_up_to
from portal.orders.states import OrderStatus, StepState, WaitingState

# What stands at this moment is small, or it is an incident and "10,000+" says enough.
MOST_OPEN = 10_000
MOST_OF_A_DAY = 200_000
HOURS_SHOWN = 24
_WEEK = timedelta(days=7)
_HOUR = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Figures:
    """What the tiles show; a count above its bound is the bound and one.

    Those of a week ago are counted from the same hour of the day to the same time of the day.
    """

    received: int
    received_week_ago: int
    completed: int
    completed_week_ago: int
    processing: int
    exceptions: int
    oldest_exception_at: datetime | None
    waiting: int


@dataclass(frozen=True, slots=True)
class Hour:
    """How many orders were received and completed in the hour that began at `start`."""

    start: datetime
    received: int
    completed: int


def figures_of(session: Session, *, day_start: datetime, now: datetime) -> Figures:
    """Count what the tiles show: of the day that began at `day_start`, and of what is open now."""
    exceptions, oldest = _open_exceptions(session)
    processing = select(PurchaseOrder.id).where(PurchaseOrder.status == OrderStatus.PROCESSING)
    waiting = select(WaitingMessage.id).where(WaitingMessage.state == WaitingState.WAITING)
    received, completed = PurchaseOrder.received_at, PurchaseOrder.completed_at
    return Figures(
        received=_count_between(session, received, day_start, now),
        received_week_ago=_count_between(session, received, day_start - _WEEK, now - _WEEK),
        completed=_count_between(session, completed, day_start, now),
        completed_week_ago=_count_between(session, completed, day_start - _WEEK, now - _WEEK),
        processing=count_up_to(session, processing, MOST_OPEN),
        exceptions=exceptions,
        oldest_exception_at=oldest,
        waiting=count_up_to(session, waiting, MOST_OPEN),
    )


def orders_by_hour(session: Session, *, now: datetime) -> list[Hour]:
    """Count the orders of each of the last 24 hours, the present one last and not yet over."""
    last = now.replace(minute=0, second=0, microsecond=0)
    starts = [last - _HOUR * ago for ago in reversed(range(HOURS_SHOWN))]
    received = _by_hour(session, PurchaseOrder.received_at, starts)
    completed = _by_hour(session, PurchaseOrder.completed_at, starts)
    return [Hour(start, received.get(_text(start), 0), completed.get(_text(start), 0)) for start in starts]


def _open_exceptions(session: Session) -> tuple[int, datetime | None]:
    stopped = (
        select(OrderStep.ended_at, OrderStep.started_at)
        .where(OrderStep.state == StepState.EXCEPTION)
        .order_by(OrderStep.order_id)
        .limit(MOST_OPEN + 1)
        .subquery()
    )
    since = func.coalesce(stopped.c.ended_at, stopped.c.started_at)
    count, oldest = session.execute(
        select(func.count(), func.min(since, type_=stopped.c.started_at.type)).select_from(stopped)
    ).one()
    return count, oldest


def _count_between(
    session: Session,
    column: InstrumentedAttribute[datetime] | InstrumentedAttribute[datetime | None],
    start: datetime,
    end: datetime,
) -> int:
    return count_up_to(session, select(column).where(column >= start, column <= end), MOST_OF_A_DAY)


def _by_hour(
    session: Session,
    column: InstrumentedAttribute[datetime] | InstrumentedAttribute[datetime | None],
    starts: Sequence[datetime],
) -> dict[str, int]:
    within: Select[tuple[str]] = (
        # Both databases write a time as 2026-01-31 12:30:00, so its hour is its beginning.
        select(func.substr(cast(column, String(26)), 1, 13).label("hour"))
        .where(column >= starts[0], column < starts[-1] + _HOUR)
        .limit(MOST_OF_A_DAY)
    )
    hours = within.subquery()
    counted = select(hours.c.hour, func.count()).group_by(hours.c.hour)
    return dict(session.execute(counted).all())


def _text(hour: datetime) -> str:
    return f"{hour:%Y-%m-%d %H}"
