"""Canonical orders on the queue become orders in the database, each once."""

from __future__ import annotations

import json
from typing import Any

import pytest
from sqlalchemy import func, select

from jobs.consumer import Handled
from jobs.job import Job
from jobs.reader import handle
from portal.clients.aws import Message
from portal.errors import Conflict, WaybillError
from portal.events import Event
from portal.orders.models import OrderStep, PurchaseOrder
from portal.runtime import Runtime
from portal.work import Work
from sandbox.samples import sample_order
from tests.servers.urls import Urls


@pytest.fixture
def writer_url(migrated_urls: Urls) -> str:
    return migrated_urls.writer


def message(number: str, seed: int = 1, **body: Any) -> Message:
    document = {"format": "ubl-order-2.1", "bucket": "orders-in", "key": f"{number}.xml", "version": "v1"}
    told = {"document": document, "order": json.dumps(sample_order(number, seed=seed))} | body
    return Message(f"{number}-{seed}", "receipt", json.dumps(told), 1, number)


def read(runtime: Runtime, *messages: Message) -> list[Handled]:
    return handle(Job("reader", runtime), messages)


def counts(runtime: Runtime) -> tuple[int, ...]:
    """Return how many orders, steps, pieces of work and received events there are."""
    received = select(func.count()).select_from(Event).where(Event.kind == "order.received")
    tables = [select(func.count()).select_from(table) for table in (PurchaseOrder, OrderStep, Work)]
    with runtime.writer() as session:
        return tuple(session.scalars(query).one() for query in (*tables, received))


def test_orders_of_a_batch_come_with_their_first_step_their_work_and_their_event(runtime: Runtime) -> None:
    assert read(runtime, message("A"), message("B")) == [None, None]
    assert counts(runtime) == (2, 2, 2, 2)
    with runtime.writer() as session:
        order = session.scalars(select(PurchaseOrder).where(PurchaseOrder.number == "A")).one()
    assert (order.source, order.document_key, order.document_version) == ("bucket", "A.xml", "v1")


def test_a_message_that_comes_again_changes_nothing(runtime: Runtime) -> None:
    job = Job("reader", runtime)
    for _ in range(2):
        assert handle(job, [message("A")]) == [None]
    assert counts(runtime) == (1, 1, 1, 1)
    assert job.counters["duplicate"] == 1


def test_the_same_message_twice_in_a_batch_is_one_order(runtime: Runtime) -> None:
    assert read(runtime, message("A"), message("A")) == [None, None]
    assert counts(runtime) == (1, 1, 1, 1)


def test_a_known_number_with_other_content_is_a_conflict_that_changes_nothing(runtime: Runtime) -> None:
    read(runtime, message("A"))
    (conflict, other) = read(runtime, message("A", seed=2), message("B"))
    assert isinstance(conflict, Conflict)
    assert conflict.code == "order-differs"
    assert other is None
    assert counts(runtime)[:3] == (2, 2, 2)


@pytest.mark.parametrize(
    "body",
    [
        "",
        "[]",
        "{}",
        '{"order": 5, "document": {}}',
        '{"order": {"number": "X"}, "document": {}}',
        '{"order": "{}", "document": {"format": "f", "bucket": "b", "key": "k", "version": null}}',
        '{"order": "no JSON", "document": {"format": "f", "bucket": "b", "key": "k", "version": null}}',
        '{"order_at": 5, "document": {"format": "f", "bucket": "b", "key": "k", "version": null}}',
        json.dumps({"order": json.dumps(sample_order("X", seed=1)), "document": {"colour": "red"}}),
        '{"a":' * 100_000,
    ],
)
def test_a_message_that_is_spoilt_fails_alone(runtime: Runtime, body: str) -> None:
    outcomes = read(runtime, Message("m", "r", body, 1, "X"), message("A"))
    assert isinstance(outcomes[0], WaybillError)
    assert outcomes[0].reason
    assert outcomes[1] is None
    assert counts(runtime)[0] == 1


def test_an_order_that_was_put_aside_is_read_from_there(runtime: Runtime) -> None:
    bucket = runtime.settings.originals_bucket
    text = json.dumps(sample_order("A", seed=1)).encode()
    runtime.files.write(bucket, "canonical/a.json", text, "application/json")
    body = json.loads(message("A").body)
    del body["order"]
    aside = body | {"order_at": {"bucket": bucket, "key": "canonical/a.json"}}
    assert read(runtime, Message("m", "r", json.dumps(aside), 1, "A")) == [None]
    assert counts(runtime)[0] == 1
