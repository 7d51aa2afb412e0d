"""Orders for tests that break things: put into the bucket, waited for, and held against the ledgers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import func, select

from portal.clients.aws import Message
from portal.events import Actor, Event
from portal.orders.models import OrderStep, PurchaseOrder, WaitingMessage
from portal.orders.service import push_to_retry
from portal.orders.states import OrderStatus, StepState
from portal.orders.waiting import push_waiting
from portal.runtime import Runtime
from sandbox.client import SandboxClient
from sandbox.samples import sample_order
from sandbox.ubl import as_ubl
from tests.servers.waiting import wait_until

SYSTEMS = ("gift-card", "eom", "tax-documents", "pos", "mail")
SUPPORT = Actor("person", "ana")
COMPLETED, EXCEPTION = OrderStatus.COMPLETED, OrderStatus.EXCEPTION


def numbered(prefix: str, count: int) -> list[str]:
    """Return order numbers."""
    return [f"{prefix}-{number}" for number in range(count)]


def put_orders(runtime: Runtime, numbers: list[str], first_seed: int = 0) -> None:
    """Put a UBL document for each number into the bucket."""
    for position, number in enumerate(numbers, first_seed):
        document = as_ubl(sample_order(number, seed=position))
        runtime.files.write(runtime.settings.orders_bucket, f"{number}.xml", document, "application/xml")


def orders_by_status(runtime: Runtime) -> dict[str, int]:
    """Return how many orders there are in each status."""
    with runtime.writer() as session:
        counts = session.execute(select(PurchaseOrder.status, func.count()).group_by(PurchaseOrder.status))
        return {status: int(count) for status, count in counts}


def wait_for_orders(runtime: Runtime, seconds: float = 90, **counts: int) -> None:
    """Wait until there are so many orders in each of these statuses, and none in any other."""
    wait_until(lambda: orders_by_status(runtime) == counts, seconds, f"the orders are {counts}")


def wait_for_completion(runtime: Runtime, number: int, seconds: float = 90) -> None:
    """Wait until `number` orders are completed, and none is anything else."""
    wait_for_orders(runtime, seconds, completed=number)


def wait_until_completed(runtime: Runtime, least: int, seconds: float = 90) -> None:
    """Wait until `least` orders are completed, whatever the others are."""
    why = f"{least} orders are completed"
    wait_until(lambda: orders_by_status(runtime).get(COMPLETED, 0) >= least, seconds, why)


def steps_in(runtime: Runtime, state: StepState) -> list[OrderStep]:
    """Return the steps of all orders that are in a state."""
    with runtime.writer() as session:
        return list(session.scalars(select(OrderStep).where(OrderStep.state == state)))


def push_all(runtime: Runtime) -> None:
    """Push every step that stopped as an exception."""
    for step in steps_in(runtime, StepState.EXCEPTION):
        with runtime.writer() as session:
            push_to_retry(session, step.order_id, step.element_id, actor=SUPPORT, now=runtime.clock())


def take_all(runtime: Runtime, queue: str, number: int) -> list[Message]:
    """Take all messages off a queue, of which there are so many at least."""
    taken: list[Message] = []

    def enough() -> bool:
        messages = runtime.queues.receive(queue, wait_seconds=0)
        runtime.queues.acknowledge(queue, messages)
        taken.extend(messages)
        return len(taken) >= number and not messages

    wait_until(enough, 60, f"{number} messages are on {queue}")
    return taken


def waiting_messages(runtime: Runtime) -> list[WaitingMessage]:
    """Return what is or was on the waiting queues."""
    with runtime.writer() as session:
        return list(session.scalars(select(WaitingMessage).order_by(WaitingMessage.id)))


def push_message(runtime: Runtime, waiting_id: int) -> None:
    """Push a message that waits."""
    with runtime.writer() as session:
        push_waiting(session, waiting_id, actor=SUPPORT, now=runtime.clock())


def events_of(runtime: Runtime, kind: str) -> list[Event]:
    """Return all events of a kind, as they were written."""
    with runtime.writer() as session:
        return list(session.scalars(select(Event).where(Event.kind == kind).order_by(Event.id)))


def effects(client: SandboxClient, system: str) -> Iterable[dict[str, Any]]:
    """Return all effects of a system."""
    after = 0
    while page := client.effects(system, after=after):
        yield from page
        after = page[-1]["id"]


def effects_by_order(client: SandboxClient) -> dict[str, dict[str, int]]:
    """Return for each system how many effects it caused for each order."""
    counts: dict[str, dict[str, int]] = {system: {} for system in SYSTEMS}
    for system, orders in counts.items():
        for effect in effects(client, system):
            orders[effect["order_number"]] = orders.get(effect["order_number"], 0) + 1
    return counts


def assert_every_effect_once(
    client: SandboxClient, numbers: list[str], gift_cards: dict[str, int] | None = None, mails: int = 1
) -> None:
    """Hold the ledgers against what was submitted: nothing lost, duplicated or unexpected."""
    once = dict.fromkeys(numbers, 1)
    cards = gift_cards_of(numbers) if gift_cards is None else gift_cards
    expected = dict.fromkeys(SYSTEMS, once) | {"gift-card": cards, "mail": dict.fromkeys(numbers, mails)}
    assert effects_by_order(client) == expected


def gift_cards_of(numbers: list[str]) -> dict[str, int]:
    """Return how many gift cards each of the orders that `put_orders` makes is paid with."""
    used = {n: len(sample_order(n, seed=at).get("gift_cards", [])) for at, n in enumerate(numbers)}
    return {number: cards for number, cards in used.items() if cards}
