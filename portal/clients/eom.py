"""Enterprise order management: where stock is reserved and dispatch is planned."""

from typing import Any

from portal.clients.http import Answer, HttpSystem


def register(system: HttpSystem, key: str, *, order_number: str, order: dict[str, Any]) -> Answer:
    """Register an order; the answer has its `eom_id`."""
    return system.post("/orders", {"order_number": order_number, "order": order}, key)
