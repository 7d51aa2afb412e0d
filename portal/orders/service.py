"""What changes orders from outside their process: taking them in, and pushing them to retry."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from sqlalchemy import CursorResult, insert, select, update
from sqlalchemy.orm import Session

from portal import events, work
from portal.crypto import DataCipher
from portal.db import database_now
from portal.errors import Conflict, NotFound
from portal.events import Actor, NewEvent
from portal.orders.canonical import Order, canonical_json, content_hash
from portal.orders.models import OrderStep, ProcessVersion, PurchaseOrder
from portal.orders.process.definitions import Definition
from portal.orders.process.facts import facts_of
from portal.orders.process.plan import TaskNode
from portal.orders.states import ORDER_TRANSITIONS, STEP_TRANSITIONS, OrderStatus, StepState
from portal.transitions import origins

WORK_KIND = "order"
# Whoever pushed waits for a verdict, also when the system is left alone because it does not answer.
_PUSHED_PATIENCE = timedelta(seconds=15)


@dataclass(frozen=True, slots=True)
class DocumentPlace:
    """Where the original document of an order lies, and in which format it is."""

    format: str
    bucket: str
    key: str
    version: str | None


@dataclass(frozen=True, slots=True)
class Arrival:
    """An order as it arrives: `source` is bucket, api or import; `uuid` becomes its keys' namespace."""

    order: Order
    document: DocumentPlace
    source: str
    uuid: str


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of an arrival: a new order, or one that was known already with the same content."""

    order_id: int
    number: str
    outcome: Literal["new", "known", "conflict"]


def receive_orders(
    session: Session,
    arrivals: Sequence[Arrival],
    *,
    definition: Definition,
    cipher: DataCipher,
    actor: Actor,
    now: datetime,
) -> list[Receipt]:
    """Take orders in, each with its first step, its work and its `received` event.

    An order number that is known with other content is a `conflict`: nothing of it is changed, and the
    refusal goes on its timeline, once for each content. Two transactions with the same new number: one
    gets an IntegrityError, and finds it known when it begins anew. An arrival that was taken in by a
    transaction whose commit was never answered is still `new`: it is known by its uuid.
    """
    known = _known_orders(session, {arrival.order.number for arrival in arrivals})
    version_id = ensure_process_version(session, definition, now)
    fresh: list[tuple[PurchaseOrder, Arrival]] = []
    rows: list[PurchaseOrder] = []
    for arrival in arrivals:
        row = known.get(arrival.order.number)
        if row is None:
            row = _order_row(arrival, content_hash(arrival.order), version_id, cipher, now)
            known[row.number] = row
            session.add(row)
            fresh.append((row, arrival))
        rows.append(row)
    session.flush()
    _start(session, fresh, definition, actor, now)
    receipts = [_receipt(row, arrival) for row, arrival in zip(rows, arrivals, strict=True)]
    for receipt, arrival in zip(receipts, arrivals, strict=True):
        if receipt.outcome == "conflict":
            _note_refusal(session, receipt.order_id, arrival, actor, now)
    return receipts


def ensure_process_version(session: Session, definition: Definition, now: datetime) -> int:
    """Return the id of the stored texts of a process version, storing them the first time."""
    stored = select(ProcessVersion.id).where(ProcessVersion.hash == definition.version)
    if (version_id := session.scalar(stored)) is not None:
        return version_id
    version = ProcessVersion(
        key=definition.key,
        hash=definition.version,
        drawing=definition.bpmn.decode(),
        sheet=definition.sheet.decode(),
        created_at=now,
    )
    session.add(version)
    session.flush()
    return version.id


def push_to_retry(session: Session, order_id: int, element_id: str, *, actor: Actor, now: datetime) -> None:
    """Let a step that stopped as an exception be tried again.

    Of two people who push at once one wins; the other gets a Conflict that names the winner. Raises
    NotFound when there is no such step.
    """
    pushed = session.execute(
        update(OrderStep)
        .where(
            OrderStep.order_id == order_id,
            OrderStep.element_id == element_id,
            OrderStep.state.in_(origins(STEP_TRANSITIONS, StepState.DUE)),
        )
        .values(state=StepState.DUE, pushed_by=actor.name, pushed_at=now, ended_at=None)
    )
    step = session.get(OrderStep, (order_id, element_id), populate_existing=True)
    if step is None:
        raise NotFound("There is no such step.")
    if not isinstance(pushed, CursorResult) or pushed.rowcount != 1:
        raise _not_pushable(step)
    session.execute(
        update(PurchaseOrder)
        .where(
            PurchaseOrder.id == order_id,
            PurchaseOrder.status.in_(origins(ORDER_TRANSITIONS, OrderStatus.PROCESSING)),
        )
        .values(status=OrderStatus.PROCESSING)
    )
    new = work.New(order_id, step.system, _PUSHED_PATIENCE)
    work.enqueue(session, WORK_KIND, [new], database_now(session))
    data = {"element_id": element_id, "step": step.name, "code": step.code}
    events.record(session, NewEvent("order", order_id, "step.push-requested", actor, now, data))


def record_refused_push(
    session: Session, order_id: int, element_id: str, *, reason: str, actor: Actor, now: datetime
) -> None:
    """Put on the audit trail that somebody pushed too late, or what had not stopped."""
    data = {"element_id": element_id, "reason": reason}
    events.record(session, NewEvent("order", order_id, "step.push-refused", actor, now, data))


def _not_pushable(step: OrderStep) -> Conflict:
    if step.pushed_by is None or step.pushed_at is None:
        return Conflict(
            f"“{step.name}” has not stopped, so there is nothing to push.", code="not-an-exception"
        )
    at = f"{step.pushed_at:%H:%M:%S} UTC"
    return Conflict(f"{step.pushed_by} already pushed “{step.name}” at {at}.", code="already-pushed")


def _known_orders(session: Session, numbers: set[str]) -> dict[str, PurchaseOrder]:
    rows = session.scalars(select(PurchaseOrder).where(PurchaseOrder.number.in_(numbers)))
    return {row.number: row for row in rows}


def _receipt(row: PurchaseOrder, arrival: Arrival) -> Receipt:
    if row.uuid == arrival.uuid:
        return Receipt(row.id, row.number, "new")
    same = row.content_hash == content_hash(arrival.order)
    return Receipt(row.id, row.number, "known" if same else "conflict")


def _note_refusal(session: Session, order_id: int, arrival: Arrival, actor: Actor, now: datetime) -> None:
    """Tell of a document that was refused; the same one comes again until it is out of receives."""
    refused = {
        "source": arrival.source,
        "format": arrival.document.format,
        "document": arrival.document.key,
        "content": content_hash(arrival.order),
        "reason": "A document with this order's number and other content was refused.",
    }
    told = events.timeline(session, "order", order_id)
    if not any(event.kind == "order.refused" and event.data == refused for event in told):
        events.record(session, NewEvent("order", order_id, "order.refused", actor, now, refused))


def _order_row(
    arrival: Arrival, digest: str, version_id: int, cipher: DataCipher, now: datetime
) -> PurchaseOrder:
    order, document = arrival.order, arrival.document
    email = order.customer.email
    return PurchaseOrder(
        uuid=arrival.uuid,
        number=order.number,
        content_hash=digest,
        status=OrderStatus.PROCESSING,
        process_version_id=version_id,
        channel=order.channel,
        store=order.store,
        country=order.country,
        currency=order.currency,
        total=order.totals.payable,
        has_email=email is not None,
        email_index=cipher.blind_index(email) if email else None,
        canonical=cipher.encrypt(canonical_json(order)),
        source=arrival.source,
        document_format=document.format,
        document_bucket=document.bucket,
        document_key=document.key,
        document_version=document.version,
        placed_at=order.placed_at,
        received_at=now,
    )


def _start(
    session: Session,
    fresh: Sequence[tuple[PurchaseOrder, Arrival]],
    definition: Definition,
    actor: Actor,
    now: datetime,
) -> None:
    steps, due, received = [], [], []
    for row, arrival in fresh:
        node = definition.plan.first(facts_of(arrival.order))
        steps.append(step_values(row.id, node, now))
        due.append(work.New(row.id, node.system or "", node.patience))
        data = {"source": row.source, "format": row.document_format, "document": row.document_key}
        received.append(NewEvent("order", row.id, "order.received", actor, now, data))
    if steps:
        session.execute(insert(OrderStep), steps)
        work.enqueue(session, WORK_KIND, due, database_now(session))
        events.record_all(session, received)


def step_values(order_id: int, node: TaskNode, now: datetime) -> dict[str, object]:
    """Return the row of a step that is due from `now`."""
    return {
        "order_id": order_id,
        "element_id": node.id,
        "name": node.name,
        "system": node.system or "",
        "effect": node.effect,
        "state": StepState.DUE,
        "attempts": 0,
        "code": None,
        "reason": None,
        "started_at": now,
    }
