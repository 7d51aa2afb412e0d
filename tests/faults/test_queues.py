"""Messages that come twice, in any order or late make one order each, and no stage goes back."""

from __future__ import annotations

import secrets
from random import Random

from portal.clients.aws import Message, Outgoing
from portal.runtime import Runtime
from sandbox.backbone import Backbone
from tests.faults.conftest import StartJobs
from tests.faults.orders import (
    assert_every_effect_once,
    events_of,
    numbered,
    put_orders,
    take_all,
    wait_for_completion,
)
from tests.servers.waiting import wait_until

SECONDS = 60
ALL = ("transformer", "reader", "runner", "mail-events")


def copies(random: Random, messages: list[Message], times: int) -> list[Outgoing]:
    """Copy messages so that no queue takes them for the same, and shuffle them."""
    made = [
        Outgoing(message.body, message.group, f"{message.id}-{random.getrandbits(64)}")
        for message in messages * times
    ]
    random.shuffle(made)
    return made


def test_copies_in_any_order_before_and_long_after_change_nothing(
    runtime: Runtime, backbone: Backbone, start_jobs: StartJobs
) -> None:
    seed = secrets.randbits(32)
    print(f"seed {seed}")
    random, numbers = Random(seed), numbered("Q", 10)
    documents, orders = runtime.settings.order_documents_queue, runtime.settings.orders_queue
    put_orders(runtime, numbers)
    events = take_all(runtime, documents, len(numbers))
    transformer = start_jobs("transformer")
    runtime.queues.send(documents, copies(random, events, 3))
    # A FIFO queue takes each once for five minutes; copies of its messages are as those that come later.
    canonical = take_all(runtime, orders, len(numbers))
    transformer.stop()
    runtime.queues.send(orders, copies(random, canonical, 3))
    start_jobs(*ALL)
    wait_for_completion(runtime, len(numbers))
    passed = len(events_of(runtime, "step.passed"))

    runtime.queues.send(documents, copies(random, events, 2))
    runtime.queues.send(orders, copies(random, canonical, 2))
    idle = [(documents, 0), (orders, 0)]
    wait_until(lambda: [(q, left(runtime, q)) for q, _ in idle] == idle, SECONDS, "all are handled")
    wait_for_completion(runtime, len(numbers))
    assert_every_effect_once(backbone.client, numbers)
    assert len(events_of(runtime, "order.received")) == len(numbers)
    assert len(events_of(runtime, "step.passed")) == passed


def left(runtime: Runtime, queue: str) -> int:
    """Return how many messages are on a queue, those included that somebody holds."""
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    url = runtime.queues._url(queue)
    told = runtime.queues._sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)
    return sum(int(number) for number in told["Attributes"].values())
