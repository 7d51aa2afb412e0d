"""What a condition on a drawing may ask about an order."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from portal.orders.canonical import Order

Kind = Literal["number", "text", "yes-no"]
Fact = int | Decimal | str | bool
Facts = Mapping[str, Fact]

FACTS: Mapping[str, Kind] = {
    "gift_card_count": "number",
    "gift_card_amount": "number",
    "total": "number",
    "currency": "text",
    "channel": "text",
    "store": "text",
    "country": "text",
    "has_email": "yes-no",
    "has_address": "yes-no",
    "line_count": "number",
}


def facts_of(order: Order) -> dict[str, Fact]:
    """Give the facts of an order, one for each name in FACTS.

    An absent text is empty and an absent total 0, so that every condition has an answer for every order.
    """
    return {
        "gift_card_count": len(order.gift_cards),
        "gift_card_amount": sum((card.amount for card in order.gift_cards), Decimal(0)),
        "total": order.totals.payable or Decimal(0),
        "currency": order.currency or "",
        "channel": order.channel or "",
        "store": order.store or "",
        "country": order.country or "",
        "has_email": bool(order.customer.email),
        "has_address": order.delivery.address is not None,
        "line_count": len(order.lines),
    }
