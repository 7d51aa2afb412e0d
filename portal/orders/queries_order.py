"""What the page of one order shows: its content, its steps, its place in the process, its timeline."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from portal.events import Event
from portal.orders.canonical import Order
from portal.orders.models import MailDelivery, OrderStep, ProcessVersion, PurchaseOrder
from portal.orders.process.definitions import CompiledPlans
from portal.orders.process.facts import facts_of
from portal.orders.process.plan import EndNode, Node, Plan, TaskNode
from portal.orders.service import WORK_KIND
from portal.orders.states import StepState
from portal.orders.timeline import FAILURES, Entry, entry_of
from portal.orders.verdicts import Verdict, verdict_of_step
from portal.work import Work

TIMELINE_SIZE = 100
MAIL = "mail"
_MARKS = {
    StepState.PASSED: "passed",
    StepState.SKIPPED: "skipped",
    StepState.FAILED: "failed",
    StepState.EXCEPTION: "exception",
    StepState.DUE: "current",
}


@dataclass(frozen=True, slots=True)
class Step:
    """A step that the order has come to.

    `state` is that of the row, or for one that is due: running, retrying (the next attempt comes at
    `next_at`) or due. From `gives_up_at` on it no longer waits for a system that does not answer.
    `results` are what the outside system answered, as name and value.
    """

    element_id: str
    name: str
    system: str
    state: str
    attempts: int
    code: str | None
    reason: str | None
    next_at: datetime | None
    gives_up_at: datetime | None
    results: tuple[tuple[str, str], ...]
    started_at: datetime
    ended_at: datetime | None
    verdict: Verdict | None

    @property
    def is_stopped(self) -> bool:
        return self.state == StepState.EXCEPTION


@dataclass(frozen=True, slots=True)
class MailSent:
    """What became of one mail: sent, delivered, not-sent, unknown, pending or failed."""

    name: str
    state: str
    at: datetime | None
    message_id: str | None
    reason: str | None


@dataclass(frozen=True, slots=True)
class OrderProgress:
    """How far an order is: its steps in the order it came to them, and the marks for the drawing."""

    steps: list[Step]
    marks: Mapping[str, str]
    process_name: str
    version_id: int


@dataclass(frozen=True, slots=True)
class Timeline:
    """Entries, newest first; `older` is the id to go on from, if there are more."""

    entries: list[Entry]
    older: int | None
    newest: int


def read_progress(
    session: Session, order: PurchaseOrder, content: Order | None, *, plans: CompiledPlans
) -> OrderProgress:
    """Return how far an order is, on the version of the process that it started with."""
    version = session.get_one(ProcessVersion, order.process_version_id)
    plan = plans.get(version.hash) or plans.compile_version(version.drawing.encode(), version.sheet.encode())
    steps = session.scalars(select(OrderStep).where(OrderStep.order_id == order.id)).all()
    rows, end = _way(steps, content, plan)
    due = select(Work).where(Work.kind == WORK_KIND, Work.reference == order.id)
    work = session.scalars(due).first()
    return OrderProgress(
        [_step(row, work) for row in rows],
        _marks(rows, end, plan),
        plan.name,
        version.id,
    )


def read_timeline(
    session: Session,
    order_id: int,
    *,
    failures_only: bool = False,
    before: int | None = None,
    after: int | None = None,
    size: int = TIMELINE_SIZE,
) -> Timeline:
    """Return the newest entries, or those before or after an event."""
    events = select(Event).where(Event.subject == "order", Event.subject_id == order_id)
    if failures_only:
        events = events.where(Event.kind.in_(FAILURES))
    if before is not None:
        events = events.where(Event.id < before)
    if after is not None:
        events = events.where(Event.id > after)
    rows = session.scalars(events.order_by(Event.id.desc()).limit(size + 1)).all()
    shown = rows[:size]
    older = shown[-1].id if len(rows) > size else None
    return Timeline([entry_of(row) for row in shown], older, shown[0].id if shown else after or 0)


def newest_event_id(session: Session, order_id: int) -> int:
    """Return the id of the last event of an order, 0 when it has none."""
    newest = select(Event.id).where(Event.subject == "order", Event.subject_id == order_id)
    return session.scalar(newest.order_by(Event.id.desc()).limit(1)) or 0


def read_mails(session: Session, order: PurchaseOrder, steps: Sequence[Step]) -> list[MailSent]:
    """Return what became of each mail that the process has come to."""
    of_mail = [step for step in steps if step.system == MAIL]
    if not of_mail:
        return []
    effects = select(OrderStep.element_id, OrderStep.effect).where(
        OrderStep.order_id == order.id, OrderStep.system == MAIL
    )
    keys = {row.element_id: f"{order.uuid.replace('-', '')}-{row.effect}" for row in session.execute(effects)}
    delivered = select(MailDelivery).where(MailDelivery.effect_key.in_(keys.values()))
    deliveries = {one.effect_key: one for one in session.scalars(delivered)}
    unknown = _with_unknown_outcome(session, order.id)
    return [
        _mail(step, deliveries.get(keys[step.element_id]), step.element_id in unknown) for step in of_mail
    ]


def read_drawing(session: Session, version_id: int) -> str | None:
    """Return the BPMN document of a version of a process, or None when there is no such version."""
    return session.scalar(select(ProcessVersion.drawing).where(ProcessVersion.id == version_id))


def _way(
    rows: Sequence[OrderStep], content: Order | None, plan: Plan
) -> tuple[list[OrderStep], EndNode | None]:
    """Return the steps in the order that the process took, and the end if it has come to one.

    Their times do not tell: they are of several machines' clocks. What the plan does not explain comes last.
    """
    left = {row.element_id: row for row in sorted(rows, key=lambda row: row.started_at)}
    walked: list[OrderStep] = []
    facts = facts_of(content) if content is not None else {}
    node: Node | None = plan.first(facts) if content is not None else None
    while isinstance(node, TaskNode) and node.id in left:
        row = left.pop(node.id)
        walked.append(row)
        if row.state in (StepState.PASSED, StepState.SKIPPED):
            node = plan.after(row.element_id, facts)
        else:
            node = plan.on_error(row.element_id, row.code or "") if row.state == StepState.FAILED else None
    return [*walked, *left.values()], node if isinstance(node, EndNode) and not left else None


def _step(row: OrderStep, work: Work | None) -> Step:
    state, next_at = str(row.state), None
    if row.state == StepState.DUE and work is not None:
        if work.lease_token is not None:
            state = "running"
        elif work.attempt:
            state, next_at = "retrying", work.due_at
    return Step(
        element_id=row.element_id,
        name=row.name,
        system=row.system,
        state=state,
        attempts=row.attempts,
        code=row.code,
        reason=row.reason,
        next_at=next_at,
        gives_up_at=work.gives_up_at if row.state == StepState.DUE and work is not None else None,
        results=tuple(_results(row.result or {})),
        started_at=row.started_at,
        ended_at=row.ended_at,
        verdict=verdict_of_step(row, work if row.state == StepState.DUE else None),
    )


def _results(result: Mapping[str, Any], above: str = "") -> list[tuple[str, str]]:
    """Flatten an answer to names and values; two redemptions have two ids."""
    flat: list[tuple[str, str]] = []
    for name, value in result.items():
        label = f"{above} {name}".strip()
        if isinstance(value, dict):
            flat += _results(value, label)
        elif isinstance(value, list):
            for position, one in enumerate(value, start=1):
                numbered = f"{label} {position}"
                flat += _results(one, numbered) if isinstance(one, dict) else [(numbered, str(one))]
        elif value is not None:
            flat.append((label, str(value)))
    return flat


def _marks(rows: Sequence[OrderStep], end: EndNode | None, plan: Plan) -> dict[str, str]:
    visited = [row.element_id for row in rows] + ([end.id] if end else [])
    passed = dict.fromkeys(plan.trail(visited), "passed")
    return passed | {row.element_id: _MARKS[StepState(row.state)] for row in rows}


def _with_unknown_outcome(session: Session, order_id: int) -> set[str]:
    """Return the steps of which an attempt may have had its effect although no answer came."""
    failures = select(Event.data).where(
        Event.subject == "order", Event.subject_id == order_id, Event.kind.in_(FAILURES)
    )
    rows = session.scalars(failures.order_by(Event.id.desc()).limit(TIMELINE_SIZE))
    return {data["element_id"] for data in rows if data.get("outcome_unknown")}


def _mail(step: Step, delivery: MailDelivery | None, may_be_sent: bool) -> MailSent:
    message_id = dict(step.results).get("message_id")
    if delivery is not None:
        return MailSent(step.name, "delivered", delivery.at, delivery.message_id, None)
    if step.state == StepState.PASSED:
        return MailSent(step.name, "sent", step.ended_at, message_id, None)
    if step.state == StepState.SKIPPED:
        return MailSent(step.name, "not-sent", step.ended_at, None, step.reason)
    if may_be_sent:
        reason = "The mail provider was called, but its answer never came: the mail may have gone out."
        return MailSent(step.name, "unknown", None, None, reason)
    state = "failed" if step.state in (StepState.EXCEPTION, StepState.FAILED) else "pending"
    return MailSent(step.name, state, None, None, step.reason if state == "failed" else None)
