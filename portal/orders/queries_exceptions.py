"""What the page of exceptions shows: their causes first, then the steps that stopped."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from sqlalchemy import Subquery, func, select, tuple_
from sqlalchemy.orm import Session

from portal.keyset import Page, Place, fetch_page
from portal.orders.models import OrderStep, PurchaseOrder
from portal.orders.service import WORK_KIND
from portal.orders.states import StepState
from portal.orders.verdicts import Verdict, verdict_of_step
from portal.work import Work

PAGE_SIZE = 50
EXCEPTION_KEY = (int, str)
# So many open exceptions are grouped at most: past that, each figure is "at least".
MOST_GROUPED = 10_000
_MOST_CAUSES = 100


@dataclass(frozen=True, slots=True)
class Cause:
    """Exceptions of one step with one code; `reason` is that of the newest order among them."""

    code: str
    element_id: str
    step: str
    system: str
    count: int
    first_at: datetime
    last_at: datetime
    reason: str


@dataclass(frozen=True, slots=True)
class StoppedStep:
    """A step that stopped, with what is needed to decide on a push and to see what became of the last one."""

    order_id: int
    number: str
    element_id: str
    step: str
    system: str
    code: str
    reason: str
    attempts: int
    stopped_at: datetime
    total: Decimal | None
    currency: str | None
    verdict: Verdict | None


def causes_of_exceptions(session: Session) -> list[Cause]:
    """Group the open exceptions by step and code, the most frequent first."""
    stopped = _newest_stopped()
    newest = func.max(stopped.c.order_id)
    groups = session.execute(
        select(
            stopped.c.code,
            stopped.c.element_id,
            func.max(stopped.c.name).label("step"),
            func.max(stopped.c.system).label("system"),
            func.count().label("number"),
            func.min(stopped.c.since).label("first_at"),
            func.max(stopped.c.since).label("last_at"),
            newest.label("newest"),
        )
        .group_by(stopped.c.code, stopped.c.element_id)
        .order_by(func.count().desc(), newest.desc())
        .limit(_MOST_CAUSES)
    ).all()
    reasons = _reasons(session, [(group.newest, group.element_id) for group in groups])
    return [
        Cause(
            code=group.code or "",
            element_id=group.element_id,
            step=group.step,
            system=group.system,
            count=group.number,
            first_at=group.first_at,
            last_at=group.last_at,
            reason=reasons.get((group.newest, group.element_id), ""),
        )
        for group in groups
    ]


def list_exceptions(
    session: Session,
    *,
    code: str | None = None,
    element_id: str | None = None,
    place: Place | None = None,
    size: int = PAGE_SIZE,
) -> Page[StoppedStep]:
    """Return one page of the steps that stopped, those of the newest orders first."""
    statement = (
        select(OrderStep, PurchaseOrder.number, PurchaseOrder.total, PurchaseOrder.currency)
        .join(PurchaseOrder, PurchaseOrder.id == OrderStep.order_id)
        .where(OrderStep.state == StepState.EXCEPTION)
    )
    if code is not None:
        statement = statement.where(OrderStep.code == code)
    if element_id is not None:
        statement = statement.where(OrderStep.element_id == element_id)
    page = fetch_page(
        session,
        statement,
        (OrderStep.order_id, OrderStep.element_id),
        lambda row: (row.OrderStep.order_id, row.OrderStep.element_id),
        place=place,
        size=size,
    )
    stopped = [_stopped(row.OrderStep, row.number, row.total, row.currency) for row in page.rows]
    return Page(stopped, page.newer, page.older)


def read_push(session: Session, order_id: int, element_id: str) -> tuple[OrderStep, Verdict | None] | None:
    """Return a step and the verdict on its last push, or None when there is no such step."""
    row = session.execute(
        select(OrderStep, Work)
        .outerjoin(Work, (Work.kind == WORK_KIND) & (Work.reference == OrderStep.order_id))
        .where(OrderStep.order_id == order_id, OrderStep.element_id == element_id)
    ).first()
    return None if row is None else (row.OrderStep, verdict_of_step(row.OrderStep, row.Work))


def _newest_stopped() -> Subquery:
    """Take the exceptions of the newest orders, and of them only what groups are made of."""
    since = func.coalesce(OrderStep.ended_at, OrderStep.started_at, type_=OrderStep.started_at.type)
    named = (OrderStep.order_id, OrderStep.element_id, OrderStep.code, OrderStep.name, OrderStep.system)
    stopped = select(*named, since.label("since")).where(OrderStep.state == StepState.EXCEPTION)
    return stopped.order_by(OrderStep.order_id.desc()).limit(MOST_GROUPED).subquery()


def _reasons(session: Session, steps: Sequence[tuple[int, str]]) -> dict[tuple[int, str], str]:
    if not steps:
        return {}
    wanted = select(OrderStep.order_id, OrderStep.element_id, OrderStep.reason).where(
        tuple_(OrderStep.order_id, OrderStep.element_id).in_(steps)
    )
    return {(row.order_id, row.element_id): row.reason or "" for row in session.execute(wanted)}


def _stopped(step: OrderStep, number: str, total: Decimal | None, currency: str | None) -> StoppedStep:
    return StoppedStep(
        order_id=step.order_id,
        number=number,
        element_id=step.element_id,
        step=step.name,
        system=step.system,
        code=step.code or "",
        reason=step.reason or "",
        attempts=step.attempts,
        stopped_at=step.ended_at or step.started_at,
        total=total,
        currency=currency,
        verdict=verdict_of_step(step, None),
    )
