"""The gift card system."""

from decimal import Decimal
from typing import Any

from portal.clients.http import Answer, HttpSystem


def redeem(
    system: HttpSystem,
    key: str,
    *,
    order_number: str,
    card_number: str,
    amount: Decimal,
    currency: str | None,
) -> Answer:
    """Take an amount from a card; the answer has `redemption_id` and the `balance` that is left."""
    body: dict[str, Any] = {
        "order_number": order_number,
        "card_number": card_number,
        "amount": str(amount),
        "currency": currency,
    }
    return system.post("/redemptions", body, key)
