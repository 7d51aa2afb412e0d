"""Queues and files, on the emulator."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from portal.clients.aws import Files, Message, Outgoing, Queues, loads
from portal.errors import NotFound, Upstream
from portal.settings import Settings
from sandbox.emulator import free_port
from sandbox.provision import provision
from tests.clients.raw_server import RawServer, answer
from tests.clients.settings import settings_for
from tests.servers.waiting import wait_until

SECONDS = 20
# S3 says with a message that it will notify a queue from now on.
TOLD_BY_PROVISIONING = {"order-documents": 1, "orders.fifo": 0, "mail-events": 0}


@pytest.fixture
def settings(aws_endpoint: str, aws_account: str) -> Settings:
    """Give settings of an account that has its queues and buckets."""
    given = settings_for(aws_endpoint, aws_account, VISIBILITY_SECONDS="1", MAX_RECEIVES="2")
    provision(given)
    return given


@pytest.fixture
def queues(settings: Settings) -> Queues:
    return Queues(settings)


@pytest.fixture
def files(settings: Settings) -> Files:
    return Files(settings)


def receive_all(queues: Queues, queue: str, number: int) -> list[Message]:
    """Receive and acknowledge until there are so many."""
    received: list[Message] = []

    def enough() -> bool:
        messages = queues.receive(queue, wait_seconds=0)
        queues.acknowledge(queue, messages)
        received.extend(messages)
        return len(received) >= number

    wait_until(enough, SECONDS, f"{number} messages came")
    return received


def test_many_messages_are_sent_in_order_and_received_ten_at_a_time(queues: Queues) -> None:
    bodies = [f"message {number}" for number in range(25)]
    queues.send("orders.fifo", [Outgoing(body, f"group-{body}", f"id-{body}") for body in bodies])
    batch = queues.receive("orders.fifo")
    assert [message.body for message in batch] == bodies[:10]
    queues.acknowledge("orders.fifo", batch)
    assert [message.body for message in receive_all(queues, "orders.fifo", 15)] == bodies[10:]
    assert queues.depth("orders.fifo") == 0


def test_what_was_sent_twice_to_a_fifo_queue_comes_once(queues: Queues) -> None:
    queues.send("orders.fifo", [Outgoing("first", "group", "same")])
    queues.send("orders.fifo", [Outgoing("first", "group", "same"), Outgoing("last", "group", "other")])
    assert [message.body for message in receive_all(queues, "orders.fifo", 2)] == ["first", "last"]


def test_ten_messages_that_are_too_large_for_one_call_arrive_all_the_same(queues: Queues) -> None:
    bodies = [str(number) * 200_000 for number in range(10)]
    queues.send("mail-events", [Outgoing(body) for body in bodies])
    assert sorted(message.body for message in receive_all(queues, "mail-events", 10)) == bodies


def test_attributes_and_group_come_as_they_were_sent(queues: Queues) -> None:
    queues.send("orders.fifo", [Outgoing("body", "group", "id", {"reason": "ñ “so”", "subject": "S-1"})])
    (message,) = queues.receive("orders.fifo")
    assert (message.group, message.receives) == ("group", 1)
    assert message.attributes == {"reason": "ñ “so”", "subject": "S-1"}


def test_attributes_that_sqs_would_refuse_do_not_keep_a_message_back(queues: Queues) -> None:
    attributes = {"reason": "a NUL \0 and a half \ud83d of a sign", "subject": ""}
    queues.send("mail-events", [Outgoing("body", attributes=attributes)])
    (message,) = receive_all(queues, "mail-events", 1)
    assert message.attributes == {"reason": "a NUL � and a half � of a sign"}


def test_a_message_that_is_not_acknowledged_comes_back_and_tells_how_often(queues: Queues) -> None:
    queues.send("mail-events", [Outgoing("body")])
    (first,) = queues.receive("mail-events")
    (second,) = wait_until(lambda: queues.receive("mail-events"), SECONDS, "it comes back")
    assert (first.receives, second.receives) == (1, 2)
    assert first.id == second.id


def test_a_message_can_be_let_come_back_at_once(aws_endpoint: str, aws_account: str) -> None:
    settings = settings_for(aws_endpoint, aws_account, VISIBILITY_SECONDS="600")
    provision(settings)
    queues = Queues(settings)
    queues.send("mail-events", [Outgoing("body")])
    (message,) = queues.receive("mail-events")
    queues.return_later("mail-events", message, 0)
    assert wait_until(lambda: queues.receive("mail-events"), SECONDS, "it comes back")


@pytest.mark.parametrize(
    ("queue", "waiting"),
    [
        ("order-documents", "order-documents-waiting"),
        ("orders.fifo", "orders-waiting.fifo"),
        ("mail-events", "mail-events-waiting"),
    ],
)
def test_what_is_received_too_often_goes_to_the_waiting_queue_of_its_own(
    queues: Queues, queue: str, waiting: str
) -> None:
    receive_all(queues, queue, TOLD_BY_PROVISIONING[queue])
    queues.send(queue, [Outgoing("body", "group", "id")])
    ids = set()
    for _ in range(2):
        (message,) = wait_until(lambda: queues.receive(queue, wait_seconds=0), SECONDS, "it comes")
        queues.return_later(queue, message, 0)
        ids.add(message.id)
    assert not queues.receive(queue, wait_seconds=0)
    (kept,) = queues.receive(waiting)
    assert (ids, kept.body) == ({kept.id}, "body")


def test_provisioning_twice_with_other_settings_is_harmless(
    settings: Settings, aws_endpoint: str, aws_account: str
) -> None:
    Queues(settings).send("mail-events", [Outgoing("kept")])
    provision(settings_for(aws_endpoint, aws_account, VISIBILITY_SECONDS="7", MAX_RECEIVES="5"))
    (message,) = receive_all(Queues(settings), "mail-events", 1)
    assert message.body == "kept"


def test_a_queue_that_is_not_there_or_does_not_answer_is_worth_another_try(
    queues: Queues, aws_account: str
) -> None:
    away = Queues(settings_for(f"http://127.0.0.1:{free_port()}", aws_account))
    with RawServer(answer("200 OK", b"<!doctype html>")) as server:
        garbled = Queues(settings_for(server.url, aws_account))
        for asked, queue in ((queues, "no-such-queue"), (away, "order-documents"), (garbled, "a")):
            with pytest.raises(Upstream, match=f"The queue {queue}") as failed:
                asked.receive(queue)
            assert failed.value.retryable


def test_a_garbled_answer_does_not_say_that_a_message_was_taken(settings: Settings, aws_account: str) -> None:
    told = b'{"QueueUrl": "http://127.0.0.1/a"}'
    with RawServer(answer("200 OK", told), answer("200 OK", b"<!doctype html>")) as server:
        queues = Queues(settings_for(server.url, aws_account))
        with pytest.raises(Upstream, match="did not take a message"):
            queues.send("a", [Outgoing("body")])


def test_an_object_is_read_in_the_version_that_is_asked_for(files: Files, settings: Settings) -> None:
    bucket = settings.orders_bucket
    first = files.write(bucket, "a/ñ b.xml", b"first", "application/xml")
    second = files.write(bucket, "a/ñ b.xml", b"second", "application/xml")
    assert first != second
    assert files.read(bucket, "a/ñ b.xml", first, max_bytes=100) == b"first"
    assert files.read(bucket, "a/ñ b.xml", max_bytes=100) == b"second"


def test_of_an_object_that_is_too_large_no_more_is_read_than_shows_it(
    files: Files, settings: Settings
) -> None:
    files.write(settings.orders_bucket, "large", b"x" * 1_000, "text/plain")
    assert len(files.read(settings.orders_bucket, "large", max_bytes=10)) == 11


@pytest.mark.parametrize("key", ["gone", "gone/../again"])
def test_an_object_that_is_gone_is_not_found(files: Files, settings: Settings, key: str) -> None:
    with pytest.raises(NotFound) as gone:
        files.read(settings.orders_bucket, key, max_bytes=10)
    assert gone.value.code == "document-gone"


def test_files_that_cannot_be_reached_are_worth_another_try(aws_account: str) -> None:
    away = Files(settings_for(f"http://127.0.0.1:{free_port()}", aws_account))
    with pytest.raises(Upstream) as failed:
        away.read("bucket", "key", max_bytes=10)
    assert failed.value.retryable


def test_many_threads_may_make_their_clients_at_the_same_time(settings: Settings) -> None:
    with ThreadPoolExecutor(12) as pool:
        depths = list(pool.map(lambda _: Queues(settings).depth("mail-events"), range(24)))
    assert depths == [0] * 24


@pytest.mark.parametrize("body", ["", "[1]", "null", '{"a":' * 100_000])
def test_a_message_that_is_no_json_object_is_told_by_a_value_error(body: str) -> None:
    with pytest.raises(ValueError):
        loads(body)
