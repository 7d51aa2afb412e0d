"""Documents become canonical orders on the queue, whatever lies beside them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest

from jobs.consumer import Handled
from jobs.job import Job
from jobs.transformer import handle
from portal.clients.aws import Message
from portal.errors import InvalidInput, NotFound
from portal.runtime import Runtime
from sandbox.samples import sample_order
from sandbox.ubl import as_ubl
from tests.servers.waiting import wait_until

SECONDS = 20

Transform = Callable[..., list[Handled]]


@pytest.fixture
def transform(runtime: Runtime) -> Iterator[Transform]:
    """Give the handler of a job, to be called with messages."""
    with ThreadPoolExecutor(4) as pool:
        yield lambda *messages: handle(Job("transformer", runtime), pool, messages)


def put(runtime: Runtime, key: str, number: str, lines: int = 0) -> str | None:
    order = sample_order(number, seed=1)
    order["lines"] += [order["lines"][0] | {"id": f"more-{at}"} for at in range(lines)]
    return runtime.files.write(runtime.settings.orders_bucket, key, as_ubl(order), "application/xml")


def place(runtime: Runtime, key: str, version: str | None = None) -> dict[str, Any]:
    told = {"key": key} | ({"versionId": version} if version else {})
    s3 = {"bucket": {"name": runtime.settings.orders_bucket}, "object": told}
    return {"eventName": "ObjectCreated:Put", "s3": s3}


def event(*records: Any) -> Message:
    return Message("m-1", "receipt", json.dumps({"Records": records}), 1)


def sent(runtime: Runtime) -> list[dict[str, Any]]:
    """Return the orders that came on the queue, by their bodies, and acknowledge them."""
    messages = runtime.queues.receive(runtime.settings.orders_queue)
    runtime.queues.acknowledge(runtime.settings.orders_queue, messages)
    return [json.loads(message.body) for message in messages]


def order_of(body: dict[str, Any]) -> dict[str, Any]:
    order: dict[str, Any] = json.loads(body["order"])
    return order


def test_a_document_in_the_bucket_raises_an_event_that_becomes_an_order(
    runtime: Runtime, transform: Transform
) -> None:
    version = put(runtime, "in/ñ 1+1.xml", "T-1")

    def event_of_the_document() -> list[Message]:
        messages = runtime.queues.receive(runtime.settings.order_documents_queue)
        return [message for message in messages if "ObjectCreated" in message.body]

    (message,) = wait_until(event_of_the_document, SECONDS, "the event comes")
    assert transform(message) == [None]
    (body,) = sent(runtime)
    assert order_of(body)["number"] == "T-1"
    assert body["document"] == {
        "format": "ubl-order-2.1",
        "bucket": runtime.settings.orders_bucket,
        "key": "in/ñ 1+1.xml",
        "version": version,
    }


def test_each_event_reads_the_version_that_it_tells_of(runtime: Runtime, transform: Transform) -> None:
    first, second = put(runtime, "o.xml", "T-1"), put(runtime, "o.xml", "T-2")
    transform(event(place(runtime, "o.xml", first)), event(place(runtime, "o.xml", second)))
    assert {order_of(body)["number"] for body in sent(runtime)} == {"T-1", "T-2"}


def test_the_same_event_twice_is_one_message(runtime: Runtime, transform: Transform) -> None:
    version = put(runtime, "o.xml", "T-1")
    for _ in range(2):
        transform(event(place(runtime, "o.xml", version)))
    assert len(sent(runtime)) == 1
    assert not sent(runtime)


def test_two_documents_of_one_order_come_in_one_group(runtime: Runtime, transform: Transform) -> None:
    put(runtime, "a.xml", "T-1")
    put(runtime, "b.xml", "T-1")
    transform(event(place(runtime, "a.xml"), place(runtime, "b.xml")))
    messages = runtime.queues.receive(runtime.settings.orders_queue)
    assert len({message.group for message in messages}) == 1
    assert len(messages) == 2


def test_an_order_that_is_too_large_for_a_message_is_put_aside(
    runtime: Runtime, transform: Transform
) -> None:
    put(runtime, "large.xml", "T-1", lines=1_500)
    assert transform(event(place(runtime, "large.xml"))) == [None]
    (body,) = sent(runtime)
    assert "order" not in body
    aside = body["order_at"]
    text = runtime.files.read(aside["bucket"], aside["key"], max_bytes=10_000_000)
    assert len(json.loads(text)["lines"]) > 1_500


def test_what_s3_says_when_it_is_told_to_notify_is_no_order(runtime: Runtime, transform: Transform) -> None:
    assert transform(Message("m", "r", '{"Service": "Amazon S3", "Event": "s3:TestEvent"}', 1)) == [None]
    removed = {"eventName": "ObjectRemoved:Delete", "s3": {}}
    assert transform(event(removed)) == [None]
    assert not sent(runtime)


@pytest.mark.parametrize("body", ["", "[]", "{}", '{"Records": 5}', '{"a":' * 100_000])
def test_a_message_that_is_no_event_of_a_bucket_is_refused(transform: Transform, body: str) -> None:
    (error,) = transform(Message("m", "r", body, 1))
    assert isinstance(error, InvalidInput)
    assert error.code == "not-an-event"


@pytest.mark.parametrize("key", ["../secret.xml", "a/../b.xml", "a%252e%252e/b.xml", "a%00.xml"])
def test_a_key_that_could_lead_elsewhere_is_refused(runtime: Runtime, transform: Transform, key: str) -> None:
    (error,) = transform(event(place(runtime, key)))
    assert error is not None
    assert error.code == "object-key-unsafe"


@pytest.mark.parametrize(
    "spoilt",
    [5, "text", None, {"eventName": "ObjectCreated:Put"}, {"eventName": "ObjectCreated:Put", "s3": 1}],
)
def test_an_event_that_is_spoilt_fails_alone(runtime: Runtime, transform: Transform, spoilt: Any) -> None:
    put(runtime, "good.xml", "T-1")
    outcomes = transform(event(spoilt), event(place(runtime, "good.xml")))
    assert outcomes[0] is not None
    assert outcomes[1] is None
    assert [order_of(body)["number"] for body in sent(runtime)] == ["T-1"]


def test_a_document_that_is_broken_or_gone_says_so_and_harms_no_other(
    runtime: Runtime, transform: Transform
) -> None:
    write = partial(runtime.files.write, runtime.settings.orders_bucket, content_type="application/xml")
    write("broken.xml", b"<Order><ID>T-2</Order>")
    put(runtime, "good.xml", "T-1")
    events = [event(place(runtime, key)) for key in ("broken.xml", "gone.xml", "good.xml")]
    broken, gone, good = transform(*events)
    assert isinstance(broken, InvalidInput)
    assert isinstance(gone, NotFound)
    assert good is None
    assert [order_of(body)["number"] for body in sent(runtime)] == ["T-1"]
