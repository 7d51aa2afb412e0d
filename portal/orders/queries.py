"""What several screens and other domains ask about orders."""

from typing import Any

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from portal.errors import NotFound
from portal.orders.models import PurchaseOrder


def find_order(session: Session, number: str) -> PurchaseOrder:
    """Return the order of a number. Raises NotFound."""
    order = session.scalars(select(PurchaseOrder).where(PurchaseOrder.number == number)).first()
    if order is None:
        raise NotFound(f"There is no order {number}.")
    return order


def count_up_to(session: Session, rows: Select[Any], most: int) -> int:
    """Count the rows of a statement, but no more than `most` and one: then there are more than `most`."""
    return session.scalar(select(func.count()).select_from(rows.limit(most + 1).subquery())) or 0
