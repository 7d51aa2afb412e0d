"""A push is told as what it is: requested, running, passed, or failed again and why."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import delete

from portal.errors import Upstream
from portal.orders.connectors import Passed
from portal.orders.progress import Failed
from portal.orders.queries_exceptions import read_push
from portal.orders.queries_waiting import list_waiting
from portal.orders.states import WaitingState
from portal.orders.verdicts import PushState, Verdict
from portal.orders.waiting import WORK_KIND, push_waiting, waiting_passed
from portal.work import Work
from tests.orders.scenes import DOWN, LEASE, NOW, RUNNER, Scene, person, plain_order

STEP = "Task_IssueAfterIncident"
NO_ANSWER = "The tax document system did not answer."


def verdict(scene: Scene, order_id: int) -> Verdict | None:
    with scene.database.reader() as session:
        found = read_push(session, order_id, STEP)
    assert found is not None
    return found[1]


def stopped(scene: Scene) -> int:
    (order_id,) = scene.receive(plain_order("A"))
    scene.to_exception(order_id)
    return order_id


def test_a_step_that_nobody_pushed_has_no_verdict(scene: Scene) -> None:
    assert verdict(scene, stopped(scene)) is None


def test_a_push_is_requested_then_running_then_passed(scene: Scene) -> None:
    order_id = stopped(scene)
    scene.push(order_id, STEP, by="ana")
    assert verdict(scene, order_id) == Verdict(PushState.REQUESTED, "ana", NOW, attempt=1)
    turn = scene.claim(order_id)
    assert verdict(scene, order_id) == Verdict(PushState.RUNNING, "ana", NOW, attempt=1)
    scene.finish(turn, Passed({"folio": "7"}))
    final = verdict(scene, order_id)
    assert final == Verdict(PushState.PASSED, "ana", NOW, attempt=1)
    assert final.is_final


def test_a_push_that_fails_for_good_has_failed_again_with_the_new_reason(scene: Scene) -> None:
    order_id = stopped(scene)
    scene.push(order_id, STEP, by="ana")
    refused = Failed(Upstream("The tax id is not valid.", code="tax-id-invalid", retryable=False))
    scene.step(order_id, refused)
    final = verdict(scene, order_id)
    assert final == Verdict(PushState.FAILED_AGAIN, "ana", NOW, 1, reason="The tax id is not valid.")
    assert final.is_final


def test_a_push_whose_attempt_failed_is_retrying_until_its_attempts_are_used_up(scene: Scene) -> None:
    order_id = stopped(scene)
    scene.push(order_id, STEP, by="ana")
    scene.step(order_id, Failed(Upstream(NO_ANSWER, code="no-answer", retryable=True)))
    told = verdict(scene, order_id)
    assert told is not None
    assert (told.state, told.attempt, told.reason) == (PushState.RETRYING, 1, NO_ANSWER)
    assert told.next_at is not None
    assert not told.is_final


def test_a_second_push_is_told_with_its_own_actor_and_time(scene: Scene) -> None:
    order_id = stopped(scene)
    scene.push(order_id, STEP, by="ana")
    scene.step(order_id, DOWN)
    scene.now += timedelta(minutes=5)
    first = verdict(scene, order_id)
    scene.push(order_id, STEP, by="bob")
    second = verdict(scene, order_id)
    assert first is not None
    assert second == Verdict(PushState.REQUESTED, "bob", NOW + timedelta(minutes=5), attempt=2)
    assert first.mark != second.mark


def message_verdict(scene: Scene) -> Verdict | None:
    with scene.database.reader() as session:
        (row,) = list_waiting(session, states=list(WaitingState)).rows
    return row.verdict


def test_a_waiting_message_passes_through_the_same_states(scene: Scene) -> None:
    scene.keep_waiting("in/a.xml")
    assert message_verdict(scene) is None
    with scene.database.writer() as session:
        push_waiting(session, 1, actor=person("ana"), now=scene.now)
    assert message_verdict(scene) == Verdict(PushState.REQUESTED, "ana", NOW, 1)
    with scene.database.writer() as session:
        session.execute(delete(Work).where(Work.kind == WORK_KIND))
    assert message_verdict(scene) == Verdict(PushState.RUNNING, "ana", NOW, 1)
    scene.keep_waiting("in/a.xml", reason="Still no order.", waiting_id=1)
    assert message_verdict(scene) == Verdict(PushState.FAILED_AGAIN, "ana", NOW, 1, reason="Still no order.")
    with scene.database.writer() as session:
        push_waiting(session, 1, actor=person("bob"), now=scene.now + LEASE)
        waiting_passed(session, 1, actor=RUNNER, now=scene.now + LEASE)
    assert message_verdict(scene) == Verdict(PushState.PASSED, "bob", NOW + LEASE, 2)
