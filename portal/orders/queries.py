"""What several screens and other domains ask about orders."""

from typing import Any

from cryptography.exceptions import InvalidTag
from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from portal.crypto import DataCipher
from portal.errors import NotFound
from portal.orders.canonical import Order, parse_order
from portal.orders.documents.strict_json import parse_json
from portal.orders.models import PurchaseOrder


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
