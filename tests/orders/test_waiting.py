"""Messages wait with their reason until they pass; each push has one winner."""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from sqlalchemy import select

from portal import work
from portal.errors import Conflict, NotFound
from portal.events import Actor, first_broken_link, timeline
from portal.orders.models import WaitingMessage
from portal.orders.states import WAITING_TRANSITIONS, WaitingState
from portal.orders.waiting import (
    SUBJECT,
    WORK_KIND,
    Undelivered,
    erase_waiting,
    keep_waiting,
    push_waiting,
    waiting_passed,
)
from tests.orders.scenes import LEASE, Scene, person

JOB = Actor("job", "waiting")


def undelivered(waiting_id: int | None = None, **fields: str) -> Undelivered:
    return Undelivered(
        message_id=fields.get("message_id", str(uuid.uuid4())),
        queue=fields.get("queue", "orders.fifo"),
        group="A-1",
        subject="A-1",
        body=fields.get("body", '{"order": "José"}'),
        receives=10,
        code="order-differs",
        reason=fields.get("reason", "It is known with other content."),
        waiting_id=waiting_id,
    )


def keep(scene: Scene, message: Undelivered) -> None:
    with scene.database.writer() as session:
        keep_waiting(session, message, cipher=scene.cipher, actor=JOB, now=scene.now)


def push(scene: Scene, waiting_id: int, by: str = "ana") -> None:
    with scene.database.writer() as session:
        push_waiting(session, waiting_id, actor=person(by), now=scene.now)


def passed(scene: Scene, waiting_id: int) -> None:
    with scene.database.writer() as session:
        waiting_passed(session, waiting_id, actor=JOB, now=scene.now)


def send_back(scene: Scene) -> list[int]:
    """Do what the job does with a push, and tell which messages it was about."""
    with scene.database.writer() as session:
        claims = work.claim(session, WORK_KIND, limit=9, lease=LEASE, token="t")
        work.finish(session, [claimed.id for claimed in claims])
    return [claimed.reference for claimed in claims]


def rows(scene: Scene) -> list[WaitingMessage]:
    with scene.database.writer() as session:
        return list(session.scalars(select(WaitingMessage).order_by(WaitingMessage.id)))


def kinds(scene: Scene, waiting_id: int) -> list[str]:
    with scene.database.writer() as session:
        return [event.kind for event in timeline(session, SUBJECT, waiting_id)]


@pytest.fixture
def waiting_id(scene: Scene) -> int:
    """Give the id of a message that waits."""
    keep(scene, undelivered(message_id="m-1"))
    return rows(scene)[0].id


def test_a_message_is_kept_with_its_reason_and_its_body_encrypted(scene: Scene, waiting_id: int) -> None:
    (row,) = rows(scene)
    assert (row.state, row.receives, row.code, row.pushes) == ("waiting", 10, "order-differs", 0)
    assert row.reason == "It is known with other content."
    assert row.body != undelivered().body.encode()
    assert scene.cipher.decrypt(row.body).decode() == undelivered().body
    assert kinds(scene, waiting_id) == ["message.waiting"]


def test_a_message_that_is_received_twice_is_kept_once(scene: Scene, waiting_id: int) -> None:
    keep(scene, undelivered(message_id="m-1"))
    assert len(rows(scene)) == 1
    assert kinds(scene, waiting_id) == ["message.waiting"]


def test_what_waits_again_is_pushed_again_though_the_work_of_the_first_push_was_never_finished(
    scene: Scene, waiting_id: int
) -> None:
    push(scene, waiting_id)
    keep(scene, undelivered(waiting_id, message_id="m-2"))
    push(scene, waiting_id)
    assert send_back(scene) == [waiting_id]
    assert rows(scene)[0].pushes == 2


def test_a_push_is_work_for_whoever_sends_it_back_and_on_the_audit_trail(
    scene: Scene, waiting_id: int
) -> None:
    push(scene, waiting_id)
    (row,) = rows(scene)
    assert (row.state, row.pushed_by, row.pushed_at, row.pushes) == ("requested", "ana", scene.now, 1)
    assert send_back(scene) == [waiting_id]
    with scene.database.writer() as session:
        event = timeline(session, SUBJECT, waiting_id)[-1]
        assert first_broken_link(session) is None
    assert (event.kind, event.actor, event.data["push"]) == ("message.push-requested", "ana", 1)


def test_of_two_who_push_at_once_one_wins_and_the_other_is_told_who(scene: Scene, waiting_id: int) -> None:
    barrier = Barrier(2)

    def try_to_push(name: str) -> str:
        barrier.wait()
        try:
            push(scene, waiting_id, by=name)
        except Conflict as lost:
            return f"{lost.code}: {lost.reason}"
        return f"won: {name}"

    with ThreadPoolExecutor(2) as pool:
        told = [one.result(30) for one in [pool.submit(try_to_push, name) for name in ("ana", "bo")]]
    (winner,) = [words.removeprefix("won: ") for words in told if words.startswith("won: ")]
    (answer,) = [words for words in told if not words.startswith("won: ")]
    assert answer.startswith(f"already-pushed: {winner} already pushed")
    assert send_back(scene) == [waiting_id]
    assert rows(scene)[0].pushes == 1


def test_a_pushed_message_that_passes_is_done_whoever_says_so_twice(scene: Scene, waiting_id: int) -> None:
    push(scene, waiting_id)
    passed(scene, waiting_id)
    passed(scene, waiting_id)
    (row,) = rows(scene)
    assert (row.state, row.passed_at) == ("passed", scene.now)
    assert kinds(scene, waiting_id) == ["message.waiting", "message.push-requested", "message.passed"]
    with pytest.raises(Conflict):
        push(scene, waiting_id)


def test_a_pushed_message_that_fails_again_goes_back_to_its_row(scene: Scene, waiting_id: int) -> None:
    push(scene, waiting_id)
    send_back(scene)
    keep(scene, undelivered(waiting_id, reason="It still is."))
    (row,) = rows(scene)
    assert (row.id, row.state, row.reason, row.pushes) == (waiting_id, "waiting", "It still is.", 1)
    push(scene, waiting_id, by="bo")
    assert (rows(scene)[0].pushed_by, rows(scene)[0].pushes) == ("bo", 2)


def test_a_message_that_has_passed_does_not_wait_again_by_another_copy_of_it(
    scene: Scene, waiting_id: int
) -> None:
    push(scene, waiting_id)
    passed(scene, waiting_id)
    keep(scene, undelivered(waiting_id))
    assert [row.state for row in rows(scene)] == ["passed"]
    assert kinds(scene, waiting_id)[-1] == "message.passed"


def test_a_message_that_waits_again_may_still_pass_by_another_copy_of_it(
    scene: Scene, waiting_id: int
) -> None:
    push(scene, waiting_id)
    keep(scene, undelivered(waiting_id))
    passed(scene, waiting_id)
    assert [row.state for row in rows(scene)] == ["passed"]


def test_of_what_passed_the_body_is_forgotten_where_it_told_of_people(scene: Scene, waiting_id: int) -> None:
    keep(scene, undelivered(queue="user-sign-ups"))
    with scene.database.writer() as session:
        waiting_passed(session, 1, actor=JOB, now=scene.now)
        waiting_passed(session, 2, actor=JOB, now=scene.now, forget_body=True)
    assert [bool(row.body) for row in rows(scene)] == [True, False]


def test_of_a_person_who_is_erased_the_messages_are_deleted_and_will_not_be_sent(scene: Scene) -> None:
    for queue, body in (("user-sign-ups", "ana"), ("user-sign-ups", "bo"), ("orders.fifo", "ana")):
        keep(scene, undelivered(queue=queue, body=body))
    push(scene, 1)
    with scene.database.writer() as session:
        waiting_passed(session, 2, actor=JOB, now=scene.now, forget_body=True)
        deleted = erase_waiting(
            session,
            {"user-sign-ups"},
            lambda body: body == "ana",
            cipher=scene.cipher,
            actor=person("operator"),
            now=scene.now,
        )
    assert deleted == 1
    assert [row.id for row in rows(scene)] == [2, 3]
    assert send_back(scene) == []
    assert kinds(scene, 1)[-1] == "message.erased"


def test_a_message_of_a_row_that_is_gone_has_a_new_one(scene: Scene) -> None:
    keep(scene, undelivered(waiting_id=999))
    assert [row.state for row in rows(scene)] == ["waiting"]


def test_a_push_of_nothing_is_not_found(scene: Scene) -> None:
    with pytest.raises(NotFound):
        push(scene, 999)
    passed(scene, 999)


@pytest.mark.parametrize("left", WaitingState)
def test_a_message_is_pushed_and_passes_only_as_the_table_says(
    scene: Scene, waiting_id: int, left: WaitingState
) -> None:
    def set_state() -> None:
        with scene.database.writer() as session:
            row = session.get_one(WaitingMessage, waiting_id)
            row.state, row.pushed_by, row.pushed_at = left, "cy", scene.now

    set_state()
    if WaitingState.REQUESTED in WAITING_TRANSITIONS[left]:
        push(scene, waiting_id)
        assert rows(scene)[0].state == WaitingState.REQUESTED
    else:
        with pytest.raises(Conflict, match="cy already pushed"):
            push(scene, waiting_id)
        assert rows(scene)[0].state == left
    set_state()
    passed(scene, waiting_id)
    may_pass = WaitingState.PASSED in WAITING_TRANSITIONS[left]
    assert kinds(scene, waiting_id).count("message.passed") == may_pass
