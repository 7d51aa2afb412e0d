"""What the list of orders shows: orders by filter, newest first, each with where it is."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import ColumnElement, Select, or_, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from portal.crypto import DataCipher
from portal.keyset import Page, Place, fetch_page
from portal.orders.models import OrderStep, PurchaseOrder
from portal.orders.queries import count_up_to, read_content
from portal.orders.states import OrderStatus, StepState

PAGE_SIZE = 50
MOST_COUNTED = 1_000
ORDER_KEY = (datetime, int)
_OPEN_STATES = (StepState.DUE, StepState.EXCEPTION)
_OPEN_STATUSES = (OrderStatus.PROCESSING, OrderStatus.EXCEPTION)
_MOST_CHOICES = 200


@dataclass(frozen=True, slots=True)
class OrderFilter:
    """Which orders are asked for; what is None or empty does not matter.

    `step` is the element id of the step that an open order is at. `received_until` is exclusive,
    `amount_until` inclusive. Orders are found by any of the numbers or blind indexes of mail addresses.
    """

    status: OrderStatus | None = None
    step: str | None = None
    channel: str | None = None
    store: str | None = None
    country: str | None = None
    received_from: datetime | None = None
    received_until: datetime | None = None
    amount_from: Decimal | None = None
    amount_until: Decimal | None = None
    numbers: tuple[str, ...] = ()
    email_indexes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ListedOrder:
    """One row of the list; `step` and `reason` tell where an open order is, and why it stopped there."""

    id: int
    number: str
    status: str
    customer: str | None
    channel: str | None
    store: str | None
    country: str | None
    currency: str | None
    total: Decimal | None
    received_at: datetime
    completed_at: datetime | None
    step: str | None
    reason: str | None
    attempts: int


def list_orders(
    session: Session,
    wanted: OrderFilter,
    *,
    cipher: DataCipher,
    place: Place | None = None,
    size: int = PAGE_SIZE,
) -> Page[ListedOrder]:
    """Return one page of the orders that a filter lets through."""
    page = fetch_page(
        session,
        select(PurchaseOrder).where(*_conditions(wanted)),
        (PurchaseOrder.received_at, PurchaseOrder.id),
        lambda row: (row.PurchaseOrder.received_at, row.PurchaseOrder.id),
        place=place,
        size=size,
    )
    orders = [row.PurchaseOrder for row in page.rows]
    steps = _current_steps(session, [order.id for order in orders])
    listed = [_listed(order, steps.get(order.id), cipher) for order in orders]
    return Page(listed, page.newer, page.older)


def count_orders(session: Session, wanted: OrderFilter) -> int | None:
    """Count up to MOST_COUNTED and one; None for filters that no single index answers."""
    narrowing = (wanted.status, wanted.channel, wanted.store, wanted.country, wanted.amount_from)
    amounts = wanted.amount_from is not None or wanted.amount_until is not None
    if sum(one is not None for one in narrowing[:4]) + amounts > 1:
        return None
    rows: Select[Any] = select(PurchaseOrder.id).where(*_conditions(wanted))
    return count_up_to(session, rows, MOST_COUNTED)


def known_numbers(session: Session, numbers: Sequence[str]) -> set[str]:
    """Return which of these are numbers of orders."""
    if not numbers:
        return set()
    return set(session.scalars(select(PurchaseOrder.number).where(PurchaseOrder.number.in_(numbers))))


def choices_of(session: Session, column: InstrumentedAttribute[str | None]) -> list[str]:
    """Return the values that orders have in an indexed column, the first 200 of them in order."""
    distinct = select(column).distinct().where(column.is_not(None)).order_by(column).limit(_MOST_CHOICES)
    return [value for value in session.scalars(distinct) if value is not None]


def _conditions(wanted: OrderFilter) -> list[ColumnElement[bool]]:
    order = PurchaseOrder
    asked = (
        (order.status, wanted.status),
        (order.channel, wanted.channel),
        (order.store, wanted.store),
        (order.country, wanted.country),
    )
    conditions = [column == value for column, value in asked if value is not None]
    if wanted.received_from is not None:
        conditions.append(order.received_at >= wanted.received_from)
    if wanted.received_until is not None:
        conditions.append(order.received_at < wanted.received_until)
    if wanted.amount_from is not None:
        conditions.append(order.total >= wanted.amount_from)
    if wanted.amount_until is not None:
        conditions.append(order.total <= wanted.amount_until)
    if wanted.step is not None:
        conditions += _is_at(wanted.step)
    if wanted.numbers or wanted.email_indexes:
        found = []
        if wanted.numbers:
            found.append(order.number.in_(wanted.numbers))
        if wanted.email_indexes:
            found.append(order.email_index.in_(wanted.email_indexes))
        conditions.append(or_(*found))
    return conditions


def _is_at(element_id: str) -> list[ColumnElement[bool]]:
    """Only open orders are at a step; to say so lets the database begin with these few."""
    at = select(OrderStep.order_id).where(
        OrderStep.order_id == PurchaseOrder.id,
        OrderStep.element_id == element_id,
        OrderStep.state.in_(_OPEN_STATES),
    )
    return [PurchaseOrder.status.in_(_OPEN_STATUSES), at.exists()]


def _current_steps(session: Session, order_ids: Sequence[int]) -> dict[int, OrderStep]:
    if not order_ids:
        return {}
    current = select(OrderStep).where(OrderStep.order_id.in_(order_ids), OrderStep.state.in_(_OPEN_STATES))
    return {step.order_id: step for step in session.scalars(current)}


def _listed(order: PurchaseOrder, step: OrderStep | None, cipher: DataCipher) -> ListedOrder:
    content = read_content(order, cipher=cipher)
    return ListedOrder(
        id=order.id,
        number=order.number,
        status=order.status,
        customer=content.customer.name if content else None,
        channel=order.channel,
        store=order.store,
        country=order.country,
        currency=order.currency,
        total=order.total,
        received_at=order.received_at,
        completed_at=order.completed_at,
        step=step.name if step else None,
        reason=step.reason if step else None,
        attempts=step.attempts if step else 0,
    )
