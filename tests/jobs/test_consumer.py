"""Messages are taken, handled and acknowledged, and those that fail harm no others."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from functools import partial
from operator import ne

import pytest
from sqlalchemy import select

from jobs.consumer import Handled, Source, consume
from jobs.job import Job
from portal.clients.aws import Message, Outgoing
from portal.errors import InvalidInput, Upstream
from portal.events import Actor
from portal.orders.models import WaitingMessage
from portal.orders.states import WaitingState
from portal.orders.waiting import Undelivered, keep_waiting, push_waiting
from portal.runtime import Runtime, build_runtime
from tests.jobs.conftest import running
from tests.jobs.deadly import POISON, QUEUE, WAITING
from tests.servers.forwarder import Forwarder
from tests.servers.mariadb import Cluster
from tests.servers.waiting import wait_until

SOURCE = Source(QUEUE, WAITING, lambda message: f"subject of {message.body}")
ORDERS = Source("orders.fifo", "orders-waiting.fifo", lambda message: message.body)
SECONDS = 30
REFUSED = InvalidInput("It has no number.", field="number", code="document-invalid")
DOWN = Upstream("The bucket is away.", code="aws", retryable=True)

Handle = Callable[[Sequence[Message]], list[Handled]]


class Seen:
    """A handler that writes down what it is handed, and answers what it is told to."""

    def __init__(self, answer: Callable[[Message], Handled] = lambda message: None) -> None:
        self.batches: list[list[str]] = []
        self._answer = answer

    def __call__(self, messages: Sequence[Message]) -> list[Handled]:
        self.batches.append([message.body for message in messages])
        return [self._answer(message) for message in messages]

    @property
    def bodies(self) -> list[str]:
        return [body for batch in self.batches for body in batch]


def send(runtime: Runtime, *bodies: str, **attributes: str) -> None:
    runtime.queues.send(QUEUE, [Outgoing(body, attributes=attributes) for body in bodies])


def empty(runtime: Runtime, queue: str = QUEUE) -> bool:
    """Tell whether no message is left on a queue, also none that is hidden."""
    attributes = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    url = runtime.queues._url(queue)
    told = runtime.queues._sqs.get_queue_attributes(QueueUrl=url, AttributeNames=attributes)["Attributes"]
    return not any(int(number) for number in told.values())


def test_what_was_handled_is_acknowledged_and_counted(runtime: Runtime) -> None:
    send(runtime, "a", "b", "c")
    job, seen = Job("mail-events", runtime), Seen()
    with running(job, partial(consume, job, SOURCE, seen)):
        wait_until(lambda: empty(runtime), SECONDS, "all are acknowledged")
    assert sorted(seen.bodies) == ["a", "b", "c"]
    assert job.counters == {"received": 3, "done": 3}


def test_what_fails_too_often_waits_with_its_reason_while_others_flow(runtime: Runtime) -> None:
    send(runtime, "bad", "good")
    job, seen = Job("mail-events", runtime), Seen(lambda message: REFUSED if message.body == "bad" else None)
    with running(job, partial(consume, job, SOURCE, seen)):
        wait_until(lambda: empty(runtime), SECONDS, "it is on the waiting queue")
    (kept,) = runtime.queues.receive(WAITING)
    assert seen.bodies.count("good") == 1
    assert seen.bodies.count("bad") == 3
    assert kept.body == "bad"
    assert kept.attributes == {
        "queue": QUEUE,
        "code": "document-invalid",
        "reason": "It has no number. (field number)",
        "subject": "subject of bad",
        "receives": "3",
    }


def test_what_fails_together_comes_back_one_by_one(runtime: Runtime) -> None:
    def handle(messages: Sequence[Message]) -> list[Handled]:
        batches.append([message.body for message in messages])
        if "bad" in batches[-1]:
            raise ZeroDivisionError("a defect")
        return [None] * len(messages)

    batches: list[list[str]] = []
    send(runtime, "a", "bad", "b")
    job = Job("mail-events", runtime)
    with running(job, partial(consume, job, SOURCE, handle)):
        wait_until(lambda: empty(runtime), SECONDS, "all are done or waiting")
    (kept,) = runtime.queues.receive(WAITING)
    assert sorted(batches[0]) == ["a", "b", "bad"]
    assert all(len(batch) == 1 for batch in batches[1:])
    assert job.counters["done"] == 2
    assert (kept.body, kept.attributes["code"]) == ("bad", "handling-failed")
    assert kept.attributes["reason"] == "Handling it failed: ZeroDivisionError: a defect"


def test_a_message_that_cannot_be_named_reaches_the_waiting_queue_too(runtime: Runtime) -> None:
    def unnamed(message: Message) -> str:
        raise AttributeError("it has no name")

    send(runtime, "bad", receives="1")
    job = Job("mail-events", runtime)
    with running(job, partial(consume, job, Source(QUEUE, WAITING, unnamed), Seen(lambda message: REFUSED))):
        (kept,) = wait_until(lambda: runtime.queues.receive(WAITING), SECONDS, "it waits")
    assert kept.attributes["code"] == "document-invalid"


def is_over(runtime: Runtime, job: subprocess.Popen[bytes]) -> bool:
    return job.poll() is not None or empty(runtime)


def test_a_message_that_kills_its_job_each_time_waits_and_takes_no_neighbours_along(runtime: Runtime) -> None:
    innocent = [f"innocent-{number}" for number in range(9)]
    send(runtime, *innocent[:5], POISON, *innocent[5:])
    settings = runtime.settings.model_dump(exclude_none=True)
    environment = os.environ | {name.upper(): str(value) for name, value in settings.items()}
    deaths = 0
    while not empty(runtime):
        job = subprocess.Popen([sys.executable, "-m", "tests.jobs.deadly"], env=environment)
        wait_until(partial(is_over, runtime, job), SECONDS, "it is over")
        deaths += job.poll() == -signal.SIGKILL
        job.terminate()
        job.wait(SECONDS)
    kept = runtime.queues.receive(WAITING)
    assert [message.body for message in kept] == [POISON]
    assert deaths == runtime.settings.max_receives


def test_a_later_message_of_a_group_waits_for_the_one_before_it(runtime: Runtime) -> None:
    failed: list[str] = []

    def fail_once(message: Message) -> Handled:
        if message.body == "first" and not failed:
            failed.append(message.body)
            return DOWN
        return None

    bodies = [("first", "A"), ("second", "A"), ("third", "A"), ("other", "B")]
    runtime.queues.send("orders.fifo", [Outgoing(body, group, body) for body, group in bodies])
    job, seen = Job("reader", runtime), Seen(fail_once)
    with running(job, partial(consume, job, ORDERS, seen)):
        wait_until(lambda: empty(runtime, "orders.fifo"), SECONDS, "all are done")
    of_group = [body for body in seen.bodies if body != "other"]
    assert of_group == ["first", "first", "second", "third"]
    assert seen.bodies.index("other") < 2


def test_what_takes_longer_than_it_is_hidden_is_handled_twice_and_not_lost(runtime: Runtime) -> None:
    twice = threading.Barrier(2)

    def slowly(messages: Sequence[Message]) -> list[Handled]:
        twice.wait(SECONDS)
        return [None] * len(messages)

    send(runtime, "slow")
    job = Job("mail-events", runtime)
    with running(job, partial(consume, job, SOURCE, slowly, 2)):
        wait_until(lambda: empty(runtime), SECONDS, "it is acknowledged")
    assert job.counters["received"] == 2
    assert not runtime.queues.receive(WAITING, wait_seconds=0)


def pushed(runtime: Runtime) -> int:
    """Keep a message that was pushed, and return its id."""
    now, support = runtime.clock(), Actor("person", "ana")
    kept = Undelivered("m-1", QUEUE, None, "S", "body", 3, "document-invalid", "No.")
    runtime.transact(
        lambda session: keep_waiting(session, kept, cipher=runtime.cipher, actor=support, now=now)
    )
    with runtime.writer() as session:
        waiting_id = session.scalars(select(WaitingMessage.id)).one()
        push_waiting(session, waiting_id, actor=support, now=now)
    return waiting_id


def state(runtime: Runtime) -> str:
    with runtime.writer() as session:
        return session.scalars(select(WaitingMessage.state)).one()


def test_a_pushed_message_that_is_handled_is_told_to_have_passed(runtime: Runtime) -> None:
    send(runtime, "body", waiting_id=str(pushed(runtime)))
    job = Job("mail-events", runtime)
    with running(job, partial(consume, job, SOURCE, Seen())):
        wait_until(lambda: empty(runtime), SECONDS, "it is acknowledged")
    assert state(runtime) == WaitingState.PASSED


def test_a_pushed_message_that_is_refused_goes_back_to_waiting_at_once(runtime: Runtime) -> None:
    waiting_id = str(pushed(runtime))
    send(runtime, "body", waiting_id=waiting_id)
    job, seen = Job("mail-events", runtime), Seen(lambda message: REFUSED)
    with running(job, partial(consume, job, SOURCE, seen)):
        (kept,) = wait_until(lambda: runtime.queues.receive(WAITING), SECONDS, "it waits again")
    assert seen.bodies == ["body"]
    assert kept.attributes["waiting_id"] == waiting_id
    assert state(runtime) == WaitingState.REQUESTED


@pytest.mark.parametrize("forged", ["x", "²", "-1", "1e3"])
def test_a_forged_waiting_id_is_none(runtime: Runtime, forged: str) -> None:
    send(runtime, "body", waiting_id=forged)
    job = Job("mail-events", runtime)
    with running(job, partial(consume, job, SOURCE, Seen())):
        wait_until(lambda: empty(runtime), SECONDS, "it is acknowledged")


def go_round(job: Job, times: int) -> None:
    """Wait until the job's loop has gone round so often."""
    for _ in range(times):
        changed = partial(ne, job._last_turns, dict(job._last_turns))
        wait_until(changed, SECONDS, "the loop goes round")


def test_while_the_database_is_away_no_message_is_taken_and_no_receipt_burnt(
    mariadb: Cluster, mariadb_database: str, runtime: Runtime
) -> None:
    with Forwarder(mariadb.primary.port) as forwarder:
        url = mariadb.writer_url(mariadb_database).replace(f":{mariadb.primary.port}/", f":{forwarder.port}/")
        away = build_runtime(runtime.settings.model_copy(update={"database_writer_url": url}))
        receives: list[int] = []

        def ask_the_database(messages: Sequence[Message]) -> list[Handled]:
            receives.extend(message.receives for message in messages)
            with away.writer() as session:
                session.connection()
            return [None] * len(messages)

        forwarder.point_at(9)
        send(runtime, "body")
        job = Job("mail-events", away)
        with running(job, partial(consume, job, SOURCE, ask_the_database)):
            wait_until(lambda: receives, SECONDS, "it was taken")
            wait_until(lambda: runtime.queues.depth(QUEUE) == 1, SECONDS, "it is there again")
            go_round(job, 2)
            assert receives == [1]
            forwarder.point_at(mariadb.primary.port)
            wait_until(lambda: empty(runtime), SECONDS, "it is acknowledged")
        assert receives == [1, 2]
        away.database.dispose()
