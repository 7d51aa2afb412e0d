"""Orders for tests that break things: put into the bucket, waited for, and held against the ledgers."""

from __future__ import annotations

from sqlalchemy import func, select

from portal.orders.models import PurchaseOrder
from portal.orders.states import OrderStatus
from portal.runtime import Runtime
from sandbox.client import SandboxClient
from sandbox.samples import sample_order
from sandbox.ubl import as_ubl
from tests.servers.waiting import wait_until

SYSTEMS = ("gift-card", "eom", "tax-documents", "pos", "mail")


def put_orders(runtime: Runtime, numbers: list[str]) -> None:
    """Put a UBL document for each number into the bucket."""
    for position, number in enumerate(numbers):
        document = as_ubl(sample_order(number, seed=position))
        runtime.files.write(runtime.settings.orders_bucket, f"{number}.xml", document, "application/xml")


def orders_by_status(runtime: Runtime) -> dict[str, int]:
    """Return how many orders there are in each status."""
    with runtime.writer() as session:
        counts = session.execute(select(PurchaseOrder.status, func.count()).group_by(PurchaseOrder.status))
        return dict(counts.tuples().all())


def wait_for_completion(runtime: Runtime, number: int, seconds: float = 60) -> None:
    """Wait until `number` orders are completed, and none is anything else."""
    wait_until(
        lambda: orders_by_status(runtime) == {OrderStatus.COMPLETED: number},
        seconds,
        f"{number} orders are completed",
    )


def effects_by_order(client: SandboxClient) -> dict[str, dict[str, int]]:
    """Return for each system how many effects it caused for each order."""
    counts: dict[str, dict[str, int]] = {system: {} for system in SYSTEMS}
    for system, orders in counts.items():
        for effect in client.effects(system):
            orders[effect["order_number"]] = orders.get(effect["order_number"], 0) + 1
    return counts


def assert_every_effect_once(client: SandboxClient, numbers: list[str], gift_cards: dict[str, int]) -> None:
    """Hold the ledgers against what was submitted: nothing lost, duplicated or unexpected."""
    once = dict.fromkeys(numbers, 1)
    expected = dict.fromkeys(SYSTEMS, once) | {"gift-card": gift_cards}
    assert effects_by_order(client) == expected


def gift_cards_of(numbers: list[str]) -> dict[str, int]:
    """Return how many gift cards each of the orders that `put_orders` makes is paid with."""
    used = {n: len(sample_order(n, seed=at).get("gift_cards", [])) for at, n in enumerate(numbers)}
    return {number: cards for number, cards in used.items() if cards}
