"""Orders are taken in once, and pushed once."""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError

from portal.errors import Conflict, NotFound
from portal.events import Actor, first_broken_link, timeline
from portal.orders.canonical import Order, canonical_json
from portal.orders.connectors import Passed
from portal.orders.models import OrderStep, ProcessVersion, PurchaseOrder
from portal.orders.service import Arrival, DocumentPlace, Receipt, push_to_retry, receive_orders
from portal.orders.states import OrderStatus, StepState
from portal.work import Work
from tests.orders.scenes import DOWN, Scene, person, plain_order

WAITS = "Task_IssueAfterIncident"


def arrival(order: Order, key: str = "in/order.json", **changes: str) -> Arrival:
    document = DocumentPlace("canonical-json", "originals", key, "v1")
    return Arrival(order, document, "bucket", changes.get("uuid", str(uuid.uuid4())))


def receive(scene: Scene, *arrivals: Arrival) -> list[Receipt]:
    with scene.database.writer() as session:
        return receive_orders(
            session,
            arrivals,
            definition=scene.definitions.get("retail-order"),
            cipher=scene.cipher,
            actor=Actor("job", "reader"),
            now=scene.now,
        )


def outcomes(receipts: list[Receipt]) -> list[str]:
    return [receipt.outcome for receipt in receipts]


def count(scene: Scene, table: type) -> int:
    with scene.database.writer() as session:
        return session.scalars(select(func.count()).select_from(table)).one()


def step_of(scene: Scene, order_id: int, element_id: str = WAITS) -> OrderStep:
    with scene.database.writer() as session:
        return session.get_one(OrderStep, (order_id, element_id))


def kinds_of(scene: Scene, order_id: int) -> list[str]:
    with scene.database.writer() as session:
        return [event.kind for event in timeline(session, "order", order_id)]


def test_a_new_order_has_its_first_step_its_work_and_its_event(scene: Scene) -> None:
    (receipt,) = receive(scene, arrival(plain_order("A-1")))
    assert (receipt.number, receipt.outcome) == ("A-1", "new")
    assert kinds_of(scene, receipt.order_id) == ["order.received"]
    with scene.database.writer() as session:
        due = session.scalars(select(Work)).one()
        step = session.scalars(select(OrderStep)).one()
    assert (due.kind, due.reference, due.lane, due.attempt, due.lease_token) == (
        "order",
        receipt.order_id,
        "eom",
        0,
        None,
    )
    assert (step.element_id, step.state, step.attempts) == ("Task_RegisterInEom", StepState.DUE, 0)
    order = scene.order("A-1")
    assert (order.status, order.channel, order.has_email) == (OrderStatus.PROCESSING, "kiosk", True)


def test_the_content_of_an_order_is_kept_encrypted_and_its_address_found_by_its_index(scene: Scene) -> None:
    order = plain_order("A-1")
    receive(scene, arrival(order))
    row = scene.order("A-1")
    assert b"rosa" not in row.canonical.lower()
    assert scene.cipher.decrypt(row.canonical) == canonical_json(order)
    assert row.email_index == scene.cipher.blind_index("rosa@example.com")


def test_a_known_order_with_the_same_content_is_known_and_nothing_more(scene: Scene) -> None:
    (first,) = receive(scene, arrival(plain_order("A-1")))
    (second,) = receive(scene, arrival(plain_order("A-1"), key="in/again.json"))
    assert (second.order_id, second.outcome) == (first.order_id, "known")
    assert kinds_of(scene, first.order_id) == ["order.received"]
    assert count(scene, Work) == 1


def test_a_known_order_with_other_content_is_refused_and_its_timeline_says_so_once(scene: Scene) -> None:
    (first,) = receive(scene, arrival(plain_order("A-1")))
    before = scene.order("A-1").content_hash
    other = arrival(plain_order("A-1", store="South"), key="in/other.json")
    assert outcomes([*receive(scene, other), *receive(scene, other)]) == ["conflict", "conflict"]
    assert scene.order("A-1").content_hash == before
    assert kinds_of(scene, first.order_id) == ["order.received", "order.refused"]
    assert outcomes(receive(scene, arrival(plain_order("A-1", store="West")))) == ["conflict"]
    assert kinds_of(scene, first.order_id) == ["order.received", "order.refused", "order.refused"]


def test_a_batch_may_hold_the_same_number_more_than_once(scene: Scene) -> None:
    receipts = receive(
        scene,
        arrival(plain_order("A-1")),
        arrival(plain_order("A-2")),
        arrival(plain_order("A-1")),
        arrival(plain_order("A-1", store="South")),
    )
    assert outcomes(receipts) == ["new", "new", "known", "conflict"]
    assert [receipt.number for receipt in receipts] == ["A-1", "A-2", "A-1", "A-1"]
    assert count(scene, PurchaseOrder) == count(scene, Work) == 2
    assert kinds_of(scene, receipts[0].order_id) == ["order.received", "order.refused"]


def test_numbers_that_differ_by_an_accent_or_a_case_are_different_orders(scene: Scene) -> None:
    numbers = ("josé-1", "jose-1", "JOSE-1")
    assert outcomes(receive(scene, *(arrival(plain_order(number)) for number in numbers))) == ["new"] * 3


def test_an_arrival_whose_commit_was_not_answered_is_still_new_when_it_is_tried_again(scene: Scene) -> None:
    mine = arrival(plain_order("A-1"))
    receive(scene, mine)
    assert outcomes(receive(scene, mine)) == ["new"]
    assert count(scene, Work) == 1


def test_all_versions_of_a_process_are_stored_once(scene: Scene) -> None:
    receive(scene, arrival(plain_order("A-1")))
    receive(scene, arrival(plain_order("A-2")))
    assert count(scene, ProcessVersion) == 1


def test_two_receivers_of_the_same_new_number_take_it_in_once(scene: Scene) -> None:
    receive(scene, arrival(plain_order("first")))
    barrier = Barrier(2)

    def take() -> str:
        barrier.wait()
        order = arrival(plain_order("A-1"))
        try:
            return receive(scene, order)[0].outcome
        except IntegrityError:
            return receive(scene, order)[0].outcome

    with ThreadPoolExecutor(2) as pool:
        told = [one.result(30) for one in [pool.submit(take) for _ in range(2)]]
    assert sorted(told) == ["known", "new"]
    assert count(scene, PurchaseOrder) == count(scene, Work) == 2


@pytest.fixture
def stopped(scene: Scene) -> int:
    """Give the id of an order that waits for a push after its incident."""
    (order_id,) = scene.receive(plain_order("A-1"))
    scene.to_exception(order_id)
    assert scene.order("A-1").status == OrderStatus.EXCEPTION
    return order_id


def test_a_push_makes_the_step_due_and_the_order_goes_on(scene: Scene, stopped: int) -> None:
    scene.push(stopped, by="ana")
    step = step_of(scene, stopped)
    assert (step.state, step.pushed_by, step.pushed_at) == (StepState.DUE, "ana", scene.now)
    assert step.reason == "The tax document system did not answer."
    assert scene.order("A-1").status == OrderStatus.PROCESSING
    turn = scene.claim(stopped)
    assert (turn.node.id, turn.attempt, turn.repeated) == (WAITS, 1, True)


def test_a_push_is_on_the_audit_trail_with_who_did_it(scene: Scene, stopped: int) -> None:
    scene.push(stopped, by="ana")
    with scene.database.writer() as session:
        event = timeline(session, "order", stopped)[-1]
        assert first_broken_link(session) is None
    assert (event.kind, event.actor_kind, event.actor) == ("step.push-requested", "person", "ana")
    assert event.data == {
        "element_id": WAITS,
        "step": step_of(scene, stopped).name,
        "code": "tax-documents-no-answer",
    }


def test_of_two_who_push_at_once_one_wins_and_the_other_is_told_who(scene: Scene, stopped: int) -> None:
    barrier = Barrier(2)

    def push(name: str) -> str:
        barrier.wait()
        try:
            scene.push(stopped, by=name)
        except Conflict as lost:
            return f"{lost.code}: {lost.reason}"
        return f"won: {name}"

    with ThreadPoolExecutor(2) as pool:
        told = [one.result(30) for one in [pool.submit(push, name) for name in ("ana", "bo")]]
    (winner,) = [words.removeprefix("won: ") for words in told if words.startswith("won: ")]
    (answer,) = [words for words in told if not words.startswith("won: ")]
    assert answer.startswith(f"already-pushed: {winner} already pushed")
    assert f"at {scene.now:%H:%M:%S} UTC" in answer
    assert count(scene, Work) == 1
    assert kinds_of(scene, stopped).count("step.push-requested") == 1


def test_a_step_that_failed_again_can_be_pushed_again(scene: Scene, stopped: int) -> None:
    scene.push(stopped, by="ana")
    scene.step(stopped, DOWN)
    assert step_of(scene, stopped).state == StepState.EXCEPTION
    scene.push(stopped, by="bo")
    assert step_of(scene, stopped).pushed_by == "bo"


def test_a_step_that_has_not_stopped_cannot_be_pushed(scene: Scene) -> None:
    (order_id,) = scene.receive(plain_order("A-1"))
    with pytest.raises(Conflict) as refused:
        scene.push(order_id, "Task_RegisterInEom")
    assert refused.value.code == "not-an-exception"
    scene.step(order_id, Passed({"eom_id": "E-1"}))
    with pytest.raises(Conflict):
        scene.push(order_id, "Task_RegisterInEom")
    assert step_of(scene, order_id, "Task_RegisterInEom").state == StepState.PASSED


@pytest.mark.parametrize(("order", "element"), [(999, WAITS), (1, "Task_RegisterInEo"), (1, WAITS)])
def test_a_push_of_nothing_is_not_found(scene: Scene, order: int, element: str) -> None:
    scene.receive(plain_order("A-1"))
    with pytest.raises(NotFound), scene.database.writer() as session:
        push_to_retry(session, order, element, actor=person("ana"), now=scene.now)
    assert count(scene, Work) == 1
