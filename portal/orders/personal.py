"""Personal data of an order, kept out of what is stored in the clear: events, reasons and answers."""

import re
from collections.abc import Mapping
from typing import Any

from portal.orders.canonical import Order

# A shorter value would be found in words that have nothing to do with the person.
_SHORTEST = 4


def personal_values(order: Order) -> dict[str, str]:
    """Return what of an order tells of a person, each value with the name of its field, longest first."""
    customer, delivery = order.customer, order.delivery
    values = {
        "customer.name": customer.name,
        "customer.email": customer.email,
        "customer.phone": customer.phone,
        "customer.tax_id": customer.tax_id,
        "delivery.contact_name": delivery.contact_name,
        "delivery.street": delivery.address.street if delivery.address else None,
    }
    values |= {f"gift_cards[{place}].number": card.number for place, card in enumerate(order.gift_cards)}
    known = {value: name for name, value in values.items() if value and len(value) >= _SHORTEST}
    return dict(sorted(known.items(), key=lambda item: -len(item[0])))


def without_personal_data(content: Any, personal: Mapping[str, str]) -> Any:
    """Return JSON-like content in which each personal value is replaced by the name of its field.

    Outside systems quote what they were sent, in refusals above all.
    """
    if isinstance(content, str):
        for value, name in personal.items():
            if value.lower() in content.lower():
                whole = rf"(?<!\w){re.escape(value)}(?!\w)"
                content = re.sub(whole, f"[{name}]", content, flags=re.IGNORECASE)
        return content
    if isinstance(content, dict):
        return {key: without_personal_data(inner, personal) for key, inner in content.items()}
    if isinstance(content, (list, tuple)):
        return [without_personal_data(inner, personal) for inner in content]
    return content
