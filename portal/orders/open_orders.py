"""Orders under way, as the runner holds them in memory between claim and result."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from portal.crypto import DataCipher
from portal.events import Actor, NewEvent, record
from portal.orders.canonical import Order, parse_order
from portal.orders.documents.strict_json import parse_json
from portal.orders.models import OrderStep, ProcessVersion, PurchaseOrder
from portal.orders.process.definitions import CompiledPlans
from portal.orders.process.facts import Facts, facts_of
from portal.orders.process.plan import Plan, TaskNode
from portal.orders.states import StepState
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


def load_turns(
    session: Session, claims: Sequence[Claimed], *, plans: CompiledPlans, cipher: DataCipher
) -> list[Turn]:
    """Read what claimed work is about; work whose order has no step that is due is left out."""
    ids = [claimed.reference for claimed in claims]
    orders = {row.id: row for row in session.scalars(select(PurchaseOrder).where(PurchaseOrder.id.in_(ids)))}
    steps: dict[int, list[OrderStep]] = {order_id: [] for order_id in ids}
    for step in session.scalars(select(OrderStep).where(OrderStep.order_id.in_(ids))):
        steps[step.order_id].append(step)
    turns = []
    for claimed in claims:
        row = orders[claimed.reference]
        due = next((step for step in steps[row.id] if step.state == StepState.DUE), None)
        if due is None:
            continue
        plan = _plan_of(session, row.process_version_id, plans)
        node = plan.task(due.element_id)
        order = parse_order(parse_json(cipher.decrypt(row.canonical)))
        results = {step.effect: step.result for step in steps[row.id] if step.result}
        for step in steps[row.id]:
            if step.state == StepState.FAILED:
                results["error"] = {"code": step.code, "reason": step.reason}
        opened = OpenOrder(row.id, row.uuid, order, plan, facts_of(order), results)
        turns.append(Turn(claimed, opened, node, due.attempts + 1))
    return turns


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


def _plan_of(session: Session, version_id: int, plans: CompiledPlans) -> Plan:
    version = session.get_one(ProcessVersion, version_id)
    return plans.get(version.hash) or plans.compile_version(version.drawing.encode(), version.sheet.encode())
