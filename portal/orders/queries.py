"""What several screens and other domains ask about orders."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from cryptography.exceptions import InvalidTag
from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from portal.crypto import DataCipher
from portal.errors import NotFound
from portal.keyset import newest_of_each
from portal.orders.canonical import Order, parse_order
from portal.orders.documents.strict_json import parse_json
from portal.orders.models import PurchaseOrder, WaitingMessage
from portal.orders.states import WaitingState

LONGEST_NUMBER = 64


@dataclass(frozen=True, slots=True)
class FoundOrder:
    """An order as a search tells of it."""

    id: int
    number: str
    status: str
    currency: str | None
    total: Decimal | None
    received_at: datetime


@dataclass(frozen=True, slots=True)
class FoundMessage:
    """A message that waits, or waited, as a search tells of it; `subject` is what a person knows it by."""

    id: int
    message_id: str
    queue: str
    subject: str
    code: str
    arrived_at: datetime
    state: str

    @property
    def is_passed(self) -> bool:
        return self.state == WaitingState.PASSED


_FOUND = (
    PurchaseOrder.id,
    PurchaseOrder.number,
    PurchaseOrder.status,
    PurchaseOrder.currency,
    PurchaseOrder.total,
    PurchaseOrder.received_at,
)


def search_orders(
    session: Session, pieces: Sequence[str], *, cipher: DataCipher, most: int
) -> Mapping[str, list[FoundOrder]]:
    """Return by piece the orders with it as their number or mail address, the newest `most` of an address."""
    numbers = [piece for piece in pieces if len(piece) <= LONGEST_NUMBER]
    found: dict[str, list[FoundOrder]] = defaultdict(list)
    if numbers:
        for row in session.execute(select(*_FOUND).where(PurchaseOrder.number.in_(numbers))):
            found[row.number].append(FoundOrder(*row))
    by_address: dict[str, list[str]] = defaultdict(list)
    for piece in pieces:
        # An order keeps an address as it was given.
        for one in {piece, piece.lower()} if "@" in piece else ():
            by_address[cipher.blind_index(one)].append(piece)
    newest = newest_of_each(
        session, select(*_FOUND), PurchaseOrder.email_index, PurchaseOrder.id, by_address, most
    )
    for index, rows in newest.items():
        for piece in by_address[index]:
            found[piece] += [FoundOrder(*row) for row in rows]
    return found


def search_messages(session: Session, pieces: Sequence[str]) -> Mapping[str, list[FoundMessage]]:
    """Return by piece the waiting message with it as its id, also one that has passed since."""
    columns = (
        WaitingMessage.id,
        WaitingMessage.message_id,
        WaitingMessage.queue,
        WaitingMessage.subject,
        WaitingMessage.code,
        WaitingMessage.arrived_at,
        WaitingMessage.state,
    )
    rows = session.execute(select(*columns).where(WaitingMessage.message_id.in_(pieces)))
    return {row.message_id: [FoundMessage(*row)] for row in rows}


def find_order(session: Session, number: str) -> PurchaseOrder:
    """Return the order of a number. Raises NotFound."""
    order = session.scalars(select(PurchaseOrder).where(PurchaseOrder.number == number)).first()
    if order is None:
        raise NotFound(f"There is no order {number}.")
    return order


def read_content(order: PurchaseOrder, *, cipher: DataCipher) -> Order | None:
    """Return the canonical order that a row holds, or None when it cannot be decrypted."""
    try:
        return parse_order(parse_json(cipher.decrypt(order.canonical)))
    except InvalidTag:
        return None


def count_up_to(session: Session, rows: Select[Any], most: int) -> int:
    """Count the rows of a statement, but no more than `most` and one: then there are more than `most`."""
    return session.scalar(select(func.count()).select_from(rows.limit(most + 1).subquery())) or 0
