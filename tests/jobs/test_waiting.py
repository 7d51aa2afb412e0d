"""What waits is kept with its reason, and sent back when somebody pushes it."""

from __future__ import annotations

from functools import partial

import pytest
from sqlalchemy import select, update

from jobs.job import Job
from jobs.waiting import run
from portal.clients.aws import Message, Outgoing
from portal.events import Actor
from portal.orders.models import WaitingMessage
from portal.orders.states import WaitingState
from portal.orders.waiting import push_waiting, waiting_passed
from portal.runtime import Runtime
from portal.work import Work
from tests.jobs.conftest import running
from tests.servers.urls import Urls
from tests.servers.waiting import wait_until

SECONDS = 30
SUPPORT = Actor("person", "ana")
TOLD = {
    "queue": "orders.fifo",
    "code": "document-invalid",
    "reason": "It has no number.",
    "subject": "W-1",
    "receives": "10",
}


@pytest.fixture
def writer_url(migrated_urls: Urls) -> str:
    return migrated_urls.writer


def rows(runtime: Runtime) -> list[WaitingMessage]:
    with runtime.writer() as session:
        return list(session.scalars(select(WaitingMessage).order_by(WaitingMessage.id)))


def push(runtime: Runtime, waiting_id: int) -> None:
    with runtime.writer() as session:
        push_waiting(session, waiting_id, actor=SUPPORT, now=runtime.clock())


def wait(runtime: Runtime, *outgoing: Outgoing) -> None:
    """Put messages on the waiting queue of orders."""
    runtime.queues.send("orders-waiting.fifo", outgoing)


def received(runtime: Runtime, queue: str) -> list[Message]:
    return runtime.queues.receive(queue, wait_seconds=0)


def work_left(runtime: Runtime) -> list[int]:
    """Return the messages that are still to be sent."""
    with runtime.writer() as session:
        return list(session.scalars(select(Work.reference)))


def test_a_message_is_kept_with_its_reason_and_encrypted(runtime: Runtime) -> None:
    wait(runtime, Outgoing("the body", "W-1", "id", TOLD))
    job = Job("waiting", runtime)
    with running(job, partial(run, job)):
        (row,) = wait_until(lambda: rows(runtime), SECONDS, "it is kept")
        wait_until(lambda: job.counters["kept"] == 1, SECONDS, "it is acknowledged")
    assert (row.queue, row.message_group, row.subject) == ("orders.fifo", "W-1", "W-1")
    assert (row.code, row.reason, row.receives) == ("document-invalid", "It has no number.", 10)
    assert b"the body" not in row.body
    assert not received(runtime, "orders-waiting.fifo")


def test_what_sqs_itself_moved_here_is_kept_with_what_is_known(runtime: Runtime) -> None:
    runtime.queues.send("mail-events-waiting", [Outgoing("body")])
    job = Job("waiting", runtime)
    with running(job, partial(run, job)):
        (row,) = wait_until(lambda: rows(runtime), SECONDS, "it is kept")
    assert (row.queue, row.code, row.receives) == (
        "mail-events",
        "stopped-while-handling",
        runtime.settings.max_receives,
    )
    assert "the job stopped" in row.reason


def test_a_pushed_message_goes_back_to_its_queue_and_says_where_it_comes_from(runtime: Runtime) -> None:
    wait(runtime, Outgoing("the body", "W-1", "id", TOLD))
    job = Job("waiting", runtime)
    with running(job, partial(run, job)):
        (row,) = wait_until(lambda: rows(runtime), SECONDS, "it is kept")
        push(runtime, row.id)
        (message,) = wait_until(lambda: received(runtime, "orders.fifo"), SECONDS, "it is sent back")
        wait_until(lambda: job.counters["sent_back"] == 1, SECONDS, "it is counted")
    assert (message.body, message.group) == ("the body", "W-1")
    assert message.attributes == {"waiting_id": str(row.id)}


def test_what_failed_again_goes_back_to_its_row_with_the_new_reason(runtime: Runtime) -> None:
    wait(runtime, Outgoing("the body", "W-1", "id", TOLD))
    job = Job("waiting", runtime)
    with running(job, partial(run, job)):
        (row,) = wait_until(lambda: rows(runtime), SECONDS, "it is kept")
        push(runtime, row.id)
        wait_until(lambda: received(runtime, "orders.fifo"), SECONDS, "it is sent back")
        again = TOLD | {"waiting_id": str(row.id), "reason": "It still has none."}
        wait(runtime, Outgoing("the body", "W-1", "other", again))
        (after,) = wait_until(
            lambda: [one for one in rows(runtime) if one.state == WaitingState.WAITING], SECONDS, "it waits"
        )
    assert (after.id, after.reason, after.pushes) == (row.id, "It still has none.", 1)
    assert len(rows(runtime)) == 1


def test_poison_on_one_waiting_queue_holds_up_neither_the_others_nor_pushing(runtime: Runtime) -> None:
    # More than a row has room for, so that the database refuses it (SQLite takes it).
    runtime.queues.send("order-documents-waiting", [Outgoing("x", attributes={"queue": "q" * 200})])
    wait(runtime, Outgoing("the body", "W-1", "id", TOLD | {"receives": "many"}))
    job = Job("waiting", runtime)
    with running(job, partial(run, job)):
        row, *_ = wait_until(
            lambda: [one for one in rows(runtime) if one.subject == "W-1"], SECONDS, "it is kept"
        )
        push(runtime, row.id)
        wait_until(lambda: received(runtime, "orders.fifo"), SECONDS, "it is sent back")


def test_a_push_that_cannot_be_sent_stays_and_holds_up_no_other(runtime: Runtime) -> None:
    wait(
        runtime, *(Outgoing("body", number, number, TOLD | {"subject": number}) for number in ("W-1", "W-2"))
    )
    job = Job("waiting", runtime)
    with running(job, partial(run, job)):
        first, second = wait_until(lambda: rows(runtime)[1:] and rows(runtime), SECONDS, "both are kept")
        with runtime.writer() as session:
            gone = update(WaitingMessage).where(WaitingMessage.id == first.id).values(queue="no-such-queue")
            session.execute(gone)
        push(runtime, first.id)
        push(runtime, second.id)
        (message,) = wait_until(lambda: received(runtime, "orders.fifo"), SECONDS, "the other is sent back")
        assert message.attributes == {"waiting_id": str(second.id)}
        wait_until(lambda: work_left(runtime) == [first.id], SECONDS, "the one that could not be sent stays")


def test_a_push_whose_verdict_came_before_its_work_was_finished_is_not_sent_again(runtime: Runtime) -> None:
    wait(runtime, Outgoing("the body", "W-1", "id", TOLD))
    job = Job("waiting", runtime)
    with running(job, partial(run, job)):
        (row,) = wait_until(lambda: rows(runtime), SECONDS, "it is kept")
    # As a job leaves it that is killed between the two, of a message that then passes.
    push(runtime, row.id)
    with runtime.writer() as session:
        waiting_passed(session, row.id, actor=SUPPORT, now=runtime.clock(), forget_body=True)
    again = Job("waiting", runtime)
    with running(again, partial(run, again)):
        wait_until(lambda: not work_left(runtime), SECONDS, "its work is finished")
    assert not received(runtime, "orders.fifo")
