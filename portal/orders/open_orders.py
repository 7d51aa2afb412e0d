"""Orders under way, as the runner holds them in memory between claim and result."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from cryptography.exceptions import InvalidTag
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from portal import work
from portal.crypto import DataCipher
from portal.errors import WaybillError
from portal.events import Actor, NewEvent, record
from portal.orders.canonical import Order, parse_order
from portal.orders.documents.strict_json import parse_json
from portal.orders.models import OrderStep, ProcessVersion, PurchaseOrder
from portal.orders.process.definitions import CompiledPlans
from portal.orders.process.facts import Facts, facts_of
from portal.orders.process.plan import Plan, TaskNode
from portal.orders.states import ORDER_TRANSITIONS, OrderStatus, StepState
from portal.transitions import origins
from portal.work import Claimed


@dataclass(frozen=True, slots=True)
class OpenOrder:
    """What of an order its steps need; `results` are those of its effects so far, by effect."""

    id: int
    uuid: str
    order: Order
    plan: Plan
    facts: Facts
    results: dict[str, dict[str, Any]]

    def effect_key(self, effect: str) -> str:
        """Return the idempotency key of an effect: the same in every attempt, for this order alone."""
        return f"{self.uuid.replace('-', '')}-{effect}"


@dataclass(frozen=True, slots=True)
class Turn:
    """A claimed step of an order; `attempt` counts all attempts ever made, this one included."""

    claimed: Claimed
    order: OpenOrder
    node: TaskNode
    attempt: int

    @property
    def repeated(self) -> bool:
        """Tell whether an earlier attempt at the same effect may have succeeded unnoticed."""
        return self.attempt > 1 or self.claimed.attempt > 1 or self.node.hold


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Claimed work whose order cannot be read any more, and why."""

    claimed: Claimed
    step: OrderStep
    reason: str


@dataclass(frozen=True, slots=True)
class Loaded:
    """What claimed work is about; `idle` is work whose order has no step that is due."""

    turns: list[Turn] = field(default_factory=list)
    unreadable: list[Unreadable] = field(default_factory=list)
    idle: list[Claimed] = field(default_factory=list)


def load_turns(
    session: Session, claims: Sequence[Claimed], *, plans: CompiledPlans, cipher: DataCipher
) -> Loaded:
    """Read what claimed work is about; what has no turn is to be `set_aside`."""
    ids = [claimed.reference for claimed in claims]
    orders = {row.id: row for row in session.scalars(select(PurchaseOrder).where(PurchaseOrder.id.in_(ids)))}
    steps: dict[int, list[OrderStep]] = {order_id: [] for order_id in ids}
    for step in session.scalars(select(OrderStep).where(OrderStep.order_id.in_(ids))):
        steps[step.order_id].append(step)
    loaded = Loaded()
    for claimed in claims:
        row = orders.get(claimed.reference)
        due = next((step for step in steps[claimed.reference] if step.state == StepState.DUE), None)
        if row is None or due is None:
            loaded.idle.append(claimed)
            continue
        try:
            plan = _plan_of(session, row.process_version_id, plans)
            opened = _open(row, steps[row.id], plan, cipher)
            loaded.turns.append(Turn(claimed, opened, plan.task(due.element_id), due.attempts + 1))
        except WaybillError as error:
            loaded.unreadable.append(Unreadable(claimed, due, error.reason))
        except InvalidTag:
            loaded.unreadable.append(Unreadable(claimed, due, "Its stored content was altered."))
    return loaded


def set_aside(session: Session, loaded: Loaded, *, actor: Actor, now: datetime) -> None:
    """End claimed work that has no turn, or it would be claimed for ever, and hold up what is behind it.

    The step of an order that cannot be read stops as an exception with the reason.
    """
    for one in loaded.unreadable:
        order_id, reason = one.claimed.reference, f"The order cannot be read. {one.reason}"
        one.step.state, one.step.code, one.step.reason = StepState.EXCEPTION, "order-unreadable", reason
        one.step.ended_at = now
        session.execute(
            update(PurchaseOrder)
            .where(
                PurchaseOrder.id == order_id,
                PurchaseOrder.status.in_(origins(ORDER_TRANSITIONS, OrderStatus.EXCEPTION)),
            )
            .values(status=OrderStatus.EXCEPTION)
        )
        data = {
            "element_id": one.step.element_id,
            "step": one.step.name,
            "code": one.step.code,
            "reason": reason,
        }
        record(session, NewEvent("order", order_id, "step.exception", actor, now, data))
    ended = [*loaded.idle, *(one.claimed for one in loaded.unreadable)]
    work.finish(session, [claimed.id for claimed in ended])


def note_interruptions(session: Session, turns: Sequence[Turn], *, actor: Actor, now: datetime) -> list[Turn]:
    """Count and record the attempts whose worker was never heard of again; return the turns after them."""
    noted = []
    for turn in turns:
        if not turn.claimed.interrupted:
            noted.append(turn)
            continue
        step = (OrderStep.order_id == turn.order.id, OrderStep.element_id == turn.node.id)
        session.execute(update(OrderStep).where(*step).values(attempts=turn.attempt))
        reason = "The worker stopped in the middle of this attempt, so its outcome is unknown."
        data = {"element_id": turn.node.id, "step": turn.node.name, "attempt": turn.attempt, "reason": reason}
        record(session, NewEvent("order", turn.order.id, "step.interrupted", actor, now, data))
        noted.append(replace(turn, attempt=turn.attempt + 1))
    return noted


def _open(row: PurchaseOrder, steps: Sequence[OrderStep], plan: Plan, cipher: DataCipher) -> OpenOrder:
    order = parse_order(parse_json(cipher.decrypt(row.canonical)))
    results = {step.effect: step.result for step in steps if step.result}
    for step in steps:
        if step.state == StepState.FAILED:
            results["error"] = {"code": step.code, "reason": step.reason}
    return OpenOrder(row.id, row.uuid, order, plan, facts_of(order), results)


def _plan_of(session: Session, version_id: int, plans: CompiledPlans) -> Plan:
    version = session.get_one(ProcessVersion, version_id)
    return plans.get(version.hash) or plans.compile_version(version.drawing.encode(), version.sheet.encode())
