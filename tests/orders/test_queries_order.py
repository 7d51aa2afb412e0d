"""The page of an order tells where it is, what happened, and what became of its mails."""

from __future__ import annotations

from sqlalchemy.orm import Session

from portal.errors import Upstream
from portal.orders.connectors import Passed
from portal.orders.mail_deliveries import Delivered, record_deliveries
from portal.orders.models import PurchaseOrder
from portal.orders.progress import Failed
from portal.orders.queries import find_order, read_content
from portal.orders.queries_order import (
    OrderProgress,
    newest_event_id,
    read_drawing,
    read_mails,
    read_progress,
    read_timeline,
)
from tests.orders.scenes import NOBODY, NOW, SKIPPED, Scene, plain_order

AGAIN = Failed(Upstream("Nobody answered.", code="mail-no-answer", retryable=True, outcome_unknown=True))


def progress_of(scene: Scene, session: Session, number: str = "A") -> tuple[PurchaseOrder, OrderProgress]:
    order = find_order(session, number)
    content = read_content(order, cipher=scene.cipher)
    return order, read_progress(session, order, content, plans=scene.definitions.plans)


def test_the_drawing_is_marked_along_the_way_that_a_stopped_order_took(scene: Scene) -> None:
    (order_id,) = scene.receive(plain_order("A"))
    scene.to_exception(order_id)
    with scene.database.reader() as session:
        _, progress = progress_of(scene, session)
    assert [step.element_id for step in progress.steps] == [
        "Task_RegisterInEom",
        "Task_IssueTaxDocument",
        "Task_RecordIncident",
        "Task_TellOfIncident",
        "Task_IssueAfterIncident",
    ]
    assert progress.marks["Start_OrderReceived"] == "passed"
    assert progress.marks["Flow_NoGiftCard"] == "passed"
    assert progress.marks["Task_IssueTaxDocument"] == "failed"
    assert progress.marks["Error_TaxDocumentNotIssued"] == "passed"
    assert progress.marks["Task_IssueAfterIncident"] == "exception"
    assert "Task_RecordSale" not in progress.marks


def test_the_end_of_a_completed_order_is_marked(scene: Scene) -> None:
    (order_id,) = scene.receive(plain_order("A"))
    scene.complete(order_id)
    with scene.database.reader() as session:
        _, progress = progress_of(scene, session)
    assert progress.marks["End_OrderCompleted"] == "passed"
    assert {step.state for step in progress.steps} == {"passed"}


def test_a_due_step_is_told_as_due_running_or_retrying(scene: Scene) -> None:
    (order_id,) = scene.receive(plain_order("A"))
    states = []

    def look() -> None:
        with scene.database.reader() as session:
            (step,) = progress_of(scene, session)[1].steps
        states.append((step.state, step.attempts, step.next_at is not None))

    look()
    turn = scene.claim(order_id)
    look()
    scene.finish(turn, AGAIN)
    look()
    assert states == [("due", 0, False), ("running", 0, False), ("retrying", 1, True)]


def test_results_of_several_effects_are_told_by_name(scene: Scene) -> None:
    (order_id,) = scene.receive(plain_order("A"))
    scene.step(order_id, Passed({"redemptions": [{"redemption_id": "R-1"}, {"redemption_id": "R-2"}]}))
    with scene.database.reader() as session:
        step = progress_of(scene, session)[1].steps[0]
    assert step.results == (("redemptions 1 redemption_id", "R-1"), ("redemptions 2 redemption_id", "R-2"))


def test_the_timeline_tells_the_newest_first_and_goes_on_from_an_entry(scene: Scene) -> None:
    (order_id,) = scene.receive(plain_order("A"))
    scene.to_exception(order_id)
    with scene.database.reader() as session:
        whole = read_timeline(session, order_id)
        first = read_timeline(session, order_id, size=3)
        rest = read_timeline(session, order_id, before=first.older)
        news = read_timeline(session, order_id, after=first.entries[1].id)
        assert newest_event_id(session, order_id) == whole.newest == whole.entries[0].id
    assert [*first.entries, *rest.entries] == whole.entries
    assert whole.entries[-1].title == "Order received"
    assert news.entries == whole.entries[:1]
    assert whole.older is None


def test_failures_alone_are_told_with_attempt_and_answer(scene: Scene) -> None:
    (order_id,) = scene.receive(plain_order("A"))
    scene.to_exception(order_id)
    with scene.database.reader() as session:
        failures = read_timeline(session, order_id, failures_only=True).entries
    assert [entry.code for entry in failures] == ["tax-documents-no-answer"] * 2
    assert (failures[1].attempt, failures[1].answer) == (1, "ProtocolError: Connection aborted")
    assert failures[1].outcome_unknown
    assert failures[1].actor == "runner"


def mail_state(scene: Scene, number: str = "A") -> tuple[str, str | None]:
    with scene.database.reader() as session:
        order, progress = progress_of(scene, session, number)
        (mail,) = read_mails(session, order, progress.steps)
    return mail.state, mail.reason


def test_a_mail_is_pending_unknown_sent_and_delivered_as_far_as_anybody_knows(scene: Scene) -> None:
    (order_id,) = scene.receive(plain_order("A"))
    scene.step(order_id, *[Passed({}) for _ in range(3)])
    assert mail_state(scene)[0] == "pending"
    scene.step(order_id, AGAIN)
    assert mail_state(scene)[0] == "unknown"
    scene.step(order_id, Passed({"message_id": "m-1"}))
    assert mail_state(scene)[0] == "sent"
    key = f"{scene.order('A').uuid.replace('-', '')}-mail-completed"
    with scene.database.writer() as session:
        record_deliveries(session, [Delivered(key, "m-1", NOW)])
    assert mail_state(scene)[0] == "delivered"


def test_a_mail_without_an_address_was_not_sent_and_says_why(scene: Scene) -> None:
    (order_id,) = scene.receive(plain_order("A", customer=NOBODY))
    scene.step(order_id, *[Passed({}) for _ in range(3)], SKIPPED)
    assert mail_state(scene) == ("not-sent", SKIPPED.reason)


def test_the_drawing_is_that_of_the_version_the_order_started_with(scene: Scene) -> None:
    scene.receive(plain_order("A"))
    with scene.database.reader() as session:
        _, progress = progress_of(scene, session)
        assert (
            read_drawing(session, progress.version_id) == scene.definitions.get("retail-order").bpmn.decode()
        )
        assert read_drawing(session, 99) is None
