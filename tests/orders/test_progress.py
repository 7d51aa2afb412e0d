"""Results of steps become states, next steps, events and work, all together or not at all."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select, update

from portal.db import database_now
from portal.errors import Upstream
from portal.events import Event, timeline
from portal.orders.connectors import Passed, Skipped
from portal.orders.models import OrderStep, PurchaseOrder
from portal.orders.open_orders import Turn
from portal.orders.progress import Failed, Outcome, Progress, Result
from portal.orders.states import OrderStatus, StepState
from portal.work import Work
from tests.orders.scenes import LEASE, RUNNER, Scene, plain_order

EOM, TAX, INCIDENT = "Task_RegisterInEom", "Task_IssueTaxDocument", "Task_RecordIncident"
TOLD, AGAIN, IN_PROCESS = "Task_TellOfIncident", "Task_IssueAfterIncident", "Task_TellInProcess"
SALE, MAIL = "Task_RecordSale", "Task_TellCompleted"
PASSED = Passed({"id": "X-1"}, "POST eom/orders", 201)


def failure(code: str = "eom-error", *, retryable: bool = True, unknown: bool = False, **more: Any) -> Failed:
    reason = more.pop("reason", "The system answered 500.")
    return Failed(Upstream(reason, code=code, retryable=retryable, outcome_unknown=unknown, **more))


REFUSED = failure("tax-documents-refused", retryable=False, reason="The tax id is not known.")


@pytest.fixture
def order_id(scene: Scene) -> int:
    (received,) = scene.receive(plain_order("A-1"))
    return received


def progress_of(*, keeps: bool = True) -> Progress:
    return Progress(actor=RUNNER, lease=LEASE, new_token=lambda: str(uuid.uuid4()), keep=lambda lane: keeps)


def apply(scene: Scene, *results: tuple[Turn, Outcome], keeps: bool = False) -> list[Turn]:
    at = scene.now
    with scene.database.writer() as session:
        return progress_of(keeps=keeps).apply(
            session, [Result(turn, outcome, at - timedelta(seconds=2), at) for turn, outcome in results]
        )


def step_of(scene: Scene, order_id: int, element_id: str) -> OrderStep:
    with scene.database.writer() as session:
        return session.get_one(OrderStep, (order_id, element_id))


def states_of(scene: Scene, order_id: int) -> Mapping[str, str]:
    with scene.database.writer() as session:
        steps = session.scalars(select(OrderStep).where(OrderStep.order_id == order_id)).all()
    return {step.element_id: step.state for step in steps}


def events_of(scene: Scene, order_id: int, *kinds: str) -> list[Event]:
    with scene.database.writer() as session:
        return [event for event in timeline(session, "order", order_id) if not kinds or event.kind in kinds]


def work_of(scene: Scene) -> Work | None:
    with scene.database.writer() as session:
        return session.scalars(select(Work)).one_or_none()


def test_a_step_that_passed_is_followed_by_the_next_with_its_lane(scene: Scene, order_id: int) -> None:
    scene.step(order_id, PASSED)
    step = step_of(scene, order_id, EOM)
    assert (step.state, step.attempts, step.result) == (StepState.PASSED, 1, {"id": "X-1"})
    assert (step.code, step.reason, step.ended_at) == (None, None, scene.now)
    assert states_of(scene, order_id) == {EOM: "passed", TAX: "due"}
    work = work_of(scene)
    assert work is not None
    assert (work.lane, work.attempt, work.lease_token) == ("tax-documents", 0, None)


def test_a_next_step_that_is_kept_stays_with_its_worker_under_a_new_lease(
    scene: Scene, order_id: int
) -> None:
    first = scene.claim(order_id)
    (turn,) = apply(scene, (first, PASSED), keeps=True)
    assert (turn.node.id, turn.attempt, turn.repeated) == (TAX, 1, False)
    assert turn.order.results == {"eom-order": {"id": "X-1"}}
    work = work_of(scene)
    assert work is not None
    assert (work.lease_token, work.attempt) == (turn.claimed.token, 1)
    assert turn.claimed.token != first.claimed.token
    with scene.database.writer() as session:
        assert timedelta(0) < work.due_at - database_now(session) <= LEASE
    assert apply(scene, (first, PASSED)) == []
    assert apply(scene, (turn, PASSED), keeps=True)[0].node.id == SALE


def test_an_order_goes_to_its_end_and_leaves_no_work(scene: Scene, order_id: int) -> None:
    scene.step(order_id, PASSED, PASSED, PASSED, PASSED)
    assert states_of(scene, order_id) == dict.fromkeys((EOM, TAX, SALE, MAIL), "passed")
    order = scene.order("A-1")
    assert order.status == OrderStatus.COMPLETED
    assert order.completed_at is not None
    assert work_of(scene) is None
    assert [event.kind for event in events_of(scene, order_id)] == [
        "order.received",
        *["step.passed"] * 4,
        "order.completed",
    ]


def test_a_step_that_could_do_nothing_is_skipped_with_its_reason(scene: Scene, order_id: int) -> None:
    scene.step(order_id, PASSED, PASSED, PASSED, Skipped("no-mail-address", "There is no address."))
    step = step_of(scene, order_id, MAIL)
    assert (step.state, step.code, step.reason) == ("skipped", "no-mail-address", "There is no address.")
    assert scene.order("A-1").status == OrderStatus.COMPLETED
    assert events_of(scene, order_id, "step.skipped")[0].data["reason"] == "There is no address."


def test_a_failed_attempt_comes_again_after_the_wait_of_its_stage(scene: Scene, order_id: int) -> None:
    waits = scene.definitions.get("retail-order").plan.task(EOM).retry
    for attempt, wait in enumerate(waits, start=1):
        turn = scene.claim(order_id)
        assert (turn.attempt, turn.claimed.attempt, turn.claimed.interrupted) == (attempt, attempt, False)
        assert turn.repeated == (attempt > 1)
        with scene.database.writer() as session:
            before = database_now(session)
        scene.finish(turn, failure())
        work = work_of(scene)
        assert work is not None
        assert timedelta(seconds=wait) <= work.due_at - before < timedelta(seconds=wait + 20)
        assert (work.lease_token, work.lane) == (None, "eom")
    step = step_of(scene, order_id, EOM)
    assert (step.state, step.attempts, step.ended_at) == (StepState.DUE, len(waits), None)
    assert (step.code, step.reason) == ("eom-error", "The system answered 500.")
    assert scene.order("A-1").status == OrderStatus.PROCESSING


def test_a_step_out_of_attempts_is_an_exception_and_every_attempt_is_kept(
    scene: Scene, order_id: int
) -> None:
    attempts = len(scene.definitions.get("retail-order").plan.task(EOM).retry) + 1
    for number in range(attempts):
        scene.step(order_id, failure(answer=f"answer {number}", status=500, unknown=number == 1))
    step = step_of(scene, order_id, EOM)
    assert (step.state, step.attempts, step.ended_at) == (StepState.EXCEPTION, attempts, scene.now)
    assert scene.order("A-1").status == OrderStatus.EXCEPTION
    assert work_of(scene) is None
    told = events_of(scene, order_id, "step.failed", "step.exception")
    assert [event.kind for event in told] == ["step.failed"] * (attempts - 1) + ["step.exception"]
    assert [event.data["answer"] for event in told] == [f"answer {number}" for number in range(attempts)]
    assert [event.data["attempt"] for event in told] == list(range(1, attempts + 1))
    assert [event.data.get("outcome_unknown", False) for event in told] == [n == 1 for n in range(attempts)]
    assert ["next_at" in event.data for event in told] == [True] * (attempts - 1) + [False]
    assert all(event.data["seconds"] == 0 and event.data["status"] == 500 for event in told)
    assert {event.actor for event in told} == {"runner"}


def test_a_refusal_is_not_tried_again(scene: Scene, order_id: int) -> None:
    scene.step(order_id, failure("eom-refused", retryable=False))
    assert step_of(scene, order_id, EOM).state == StepState.EXCEPTION
    assert step_of(scene, order_id, EOM).attempts == 1


def test_a_pushed_step_has_all_its_attempts_again_and_counts_on(scene: Scene, order_id: int) -> None:
    scene.step(order_id, failure("eom-refused", retryable=False))
    scene.push(order_id, EOM)
    turn = scene.claim(order_id)
    assert (turn.attempt, turn.claimed.attempt, turn.repeated) == (2, 1, True)
    scene.finish(turn, failure())
    assert states_of(scene, order_id) == {EOM: "due"}
    scene.step(order_id, PASSED)
    step = step_of(scene, order_id, EOM)
    assert (step.state, step.attempts, step.code, step.reason) == (StepState.PASSED, 3, None, None)
    assert scene.order("A-1").status == OrderStatus.PROCESSING


def test_an_error_with_a_path_of_its_own_takes_it(scene: Scene, order_id: int) -> None:
    scene.step(order_id, PASSED, REFUSED)
    step = step_of(scene, order_id, TAX)
    assert (step.state, step.code) == (StepState.FAILED, "tax-documents-refused")
    assert states_of(scene, order_id) == {EOM: "passed", TAX: "failed", INCIDENT: "due"}
    assert scene.order("A-1").status == OrderStatus.PROCESSING
    turn = scene.claim(order_id)
    assert turn.order.results["error"] == {
        "code": "tax-documents-refused",
        "reason": "The tax id is not known.",
    }


@pytest.mark.parametrize("kept", [True, False], ids=["by one worker", "read anew by each"])
def test_a_step_that_waits_for_a_person_tells_the_reason_of_the_error_before(
    scene: Scene, order_id: int, kept: bool
) -> None:
    turns = [scene.claim(order_id)]
    for outcome in (PASSED, REFUSED, Passed({}), Passed({"message_id": "m-1"})):
        turns = apply(scene, (turns[0], outcome), keeps=kept)
        if not turns and work_of(scene):
            turns = [scene.claim(order_id)]
    assert turns == []
    step = step_of(scene, order_id, AGAIN)
    assert (step.state, step.attempts) == (StepState.EXCEPTION, 0)
    assert (step.code, step.reason) == ("tax-documents-refused", "The tax id is not known.")
    assert scene.order("A-1").status == OrderStatus.EXCEPTION
    assert work_of(scene) is None
    assert events_of(scene, order_id, "step.exception")[0].data["element_id"] == AGAIN


def test_a_push_after_an_incident_takes_the_order_to_its_end(scene: Scene, order_id: int) -> None:
    scene.step(order_id, PASSED, REFUSED, Passed({}), Passed({"message_id": "m-1"}))
    scene.push(order_id, AGAIN)
    turn = scene.claim(order_id)
    first = turn.order.effect_key(turn.order.plan.task(TAX).effect)
    assert turn.order.effect_key(turn.node.effect) == first
    assert turn.repeated
    scene.finish(turn, Passed({"folio": "7"}))
    assert scene.claim(order_id).order.results["tax-document"] == {"folio": "7"}
    scene.step(order_id, *[PASSED] * 3)
    assert states_of(scene, order_id) == dict.fromkeys(
        (EOM, INCIDENT, TOLD, AGAIN, IN_PROCESS, SALE, MAIL), "passed"
    ) | {TAX: "failed"}
    assert scene.order("A-1").status == OrderStatus.COMPLETED


def test_a_result_that_comes_after_another_took_over_is_dropped(scene: Scene, order_id: int) -> None:
    stale = scene.claim(order_id)
    taken_over = scene.claim(order_id)
    assert taken_over.claimed.interrupted
    assert taken_over.repeated
    assert apply(scene, (stale, PASSED), keeps=True) == []
    assert states_of(scene, order_id) == {EOM: "due"}
    assert [event.kind for event in events_of(scene, order_id)] == ["order.received"]
    scene.finish(taken_over, PASSED)
    assert apply(scene, (stale, failure(retryable=False))) == []
    assert states_of(scene, order_id) == {EOM: "passed", TAX: "due"}


def test_a_batch_is_judged_result_by_result(scene: Scene) -> None:
    ids = scene.receive(*(plain_order(f"B-{number}") for number in range(6)))
    turns = [scene.claim(order_id) for order_id in ids]
    stale, turns[3] = turns[3], scene.claim(ids[3])
    outcomes: list[Outcome] = [PASSED, PASSED, failure(), PASSED, failure(retryable=False), failure()]
    outcomes[5] = Skipped("nothing-to-do", "Nothing to do.")
    batch = list(zip([*turns[:3], stale, *turns[4:]], outcomes, strict=True))
    kept = apply(scene, *batch, keeps=True)
    assert [turn.order.id for turn in kept] == [ids[0], ids[1], ids[5]]
    assert [dict(states_of(scene, order_id)) for order_id in ids] == [
        {EOM: "passed", TAX: "due"},
        {EOM: "passed", TAX: "due"},
        {EOM: "due"},
        {EOM: "due"},
        {EOM: "exception"},
        {EOM: "skipped", TAX: "due"},
    ]


@pytest.mark.parametrize("left", [state for state in StepState if state is not StepState.DUE])
@pytest.mark.parametrize(
    "outcome",
    [PASSED, Skipped("c", "r"), failure(), failure(retryable=False)],
    ids=["passed", "skipped", "comes again", "exception"],
)
def test_a_step_that_is_not_due_takes_no_result_and_the_batch_leaves_nothing(
    scene: Scene, order_id: int, left: StepState, outcome: Outcome
) -> None:
    turn = scene.claim(order_id)
    with scene.database.writer() as session:
        session.execute(update(OrderStep).values(state=left))
    with pytest.raises(RuntimeError, match="could not become"):
        apply(scene, (turn, outcome), keeps=True)
    assert states_of(scene, order_id) == {EOM: left}
    assert [event.kind for event in events_of(scene, order_id)] == ["order.received"]


@pytest.mark.parametrize("left", [OrderStatus.EXCEPTION, OrderStatus.COMPLETED])
def test_an_order_is_completed_only_from_where_the_table_leads_there(
    scene: Scene, order_id: int, left: OrderStatus
) -> None:
    long_ago = datetime(2000, 1, 1, tzinfo=UTC)
    scene.step(order_id, PASSED, PASSED, PASSED)
    with scene.database.writer() as session:
        session.execute(update(PurchaseOrder).values(status=left, completed_at=long_ago))
    scene.step(order_id, PASSED)
    order = scene.order("A-1")
    assert (order.status, order.completed_at) == (left, long_ago)


def test_what_a_system_quotes_of_the_customer_is_not_kept_in_the_clear(scene: Scene, order_id: int) -> None:
    quoting = "rosa@example.com (Rosa Díaz) is unknown"
    scene.step(order_id, Passed({"eom_id": "E-1", "for": {"name": "Rosa Díaz"}}))
    scene.step(order_id, failure("tax-documents-refused", retryable=False, reason=quoting, answer=quoting))
    scene.step(order_id, Passed({}), Skipped("mail-address-invalid", quoting))
    with scene.database.writer() as session:
        steps = session.scalars(select(OrderStep)).all()
    kept = [event.data for event in events_of(scene, order_id)]
    shown = f"{kept} {[(step.reason, step.result) for step in steps]}"
    assert "rosa" not in shown.lower()
    assert "[customer.email] ([customer.name]) is unknown" in shown
    assert step_of(scene, order_id, AGAIN).reason == "[customer.email] ([customer.name]) is unknown"
