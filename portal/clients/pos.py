"""The point of sale."""

from decimal import Decimal
from typing import Any

from portal.clients.http import Answer, HttpSystem


def record_sale(
    system: HttpSystem,
    key: str,
    *,
    order_number: str,
    total: Decimal | None,
    currency: str | None,
    store: str | None,
    folio: str | None,
) -> Answer:
    """Record the sale with the number of its tax document; the answer has its `sale_id`."""
    body: dict[str, Any] = {
        "order_number": order_number,
        "total": None if total is None else str(total),
        "currency": currency,
        "store": store,
        "folio": folio,
    }
    return system.post("/sales", body, key)
