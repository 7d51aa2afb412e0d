"""Electronic tax documents: receipts and invoices."""

from decimal import Decimal
from typing import Any, Literal

from portal.clients.http import Answer, HttpSystem


def issue(
    system: HttpSystem,
    key: str,
    *,
    order_number: str,
    kind: Literal["receipt", "invoice"],
    total: Decimal | None,
    currency: str | None,
    customer: dict[str, Any],
) -> Answer:
    """Issue a document; the answer has its number (`folio`), `type` and `issued_at`."""
    body: dict[str, Any] = {
        "order_number": order_number,
        "type": kind,
        "total": None if total is None else str(total),
        "currency": currency,
        "customer": customer,
    }
    return system.post("/documents", body, key)
