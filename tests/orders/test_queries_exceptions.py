"""Exceptions are grouped by cause, and listed each once."""

from __future__ import annotations

from datetime import timedelta

from portal.errors import Upstream
from portal.keyset import read_place
from portal.orders.progress import Failed
from portal.orders.queries_exceptions import EXCEPTION_KEY, causes_of_exceptions, list_exceptions, read_push
from tests.orders.scenes import DOWN, NOW, Scene, plain_order

STEP = "Task_IssueAfterIncident"
EOM_REFUSES = Failed(Upstream("EOM refused it: no such store.", code="eom-no-store", retryable=False))


def test_causes_tell_how_many_since_when_and_the_reason_of_the_newest(scene: Scene) -> None:
    older, newer, other = scene.receive(plain_order("A"), plain_order("B"), plain_order("C"))
    scene.to_exception(older)
    scene.push(older)
    scene.now += timedelta(hours=1)
    again = Failed(Upstream("Down since 12:00.", code="tax-documents-no-answer", retryable=False))
    scene.step(older, again)
    scene.now += timedelta(hours=1)
    scene.to_exception(newer)
    scene.push(newer)
    scene.step(newer, DOWN)
    scene.step(other, EOM_REFUSES)
    with scene.database.reader() as session:
        tax, eom = causes_of_exceptions(session)
    assert (tax.code, tax.element_id, tax.count) == ("tax-documents-no-answer", STEP, 2)
    assert tax.reason == "The tax document system did not answer."
    assert (tax.first_at, tax.last_at) == (NOW + timedelta(hours=1), NOW + timedelta(hours=2))
    assert (eom.code, eom.step, eom.system, eom.count) == (
        "eom-no-store",
        "Register the order in EOM",
        "eom",
        1,
    )
    assert eom.reason == "EOM refused it: no such store."


def test_nothing_that_goes_on_again_is_an_exception(scene: Scene) -> None:
    (order_id,) = scene.receive(plain_order("A"))
    scene.to_exception(order_id)
    scene.push(order_id)
    with scene.database.reader() as session:
        assert causes_of_exceptions(session) == []
        assert list_exceptions(session).rows == []


def test_items_are_listed_by_cause_and_page_by_page_each_once(scene: Scene) -> None:
    ids = scene.receive(*[plain_order(f"A-{n}") for n in range(5)])
    for order_id in ids[:3]:
        scene.to_exception(order_id)
    for order_id in ids[3:]:
        scene.step(order_id, EOM_REFUSES)
    with scene.database.reader() as session:
        of_cause = list_exceptions(session, code="eom-no-store", element_id="Task_RegisterInEom")
        assert [row.number for row in of_cause.rows] == ["A-4", "A-3"]
        assert list_exceptions(session, code="eom-no-store", element_id=STEP).rows == []
        first = list_exceptions(session, size=2)
        second = list_exceptions(session, place=read_place(first.older, None, EXCEPTION_KEY), size=2)
        third = list_exceptions(session, place=read_place(second.older, None, EXCEPTION_KEY), size=2)
    rows = [*first.rows, *second.rows, *third.rows]
    assert [row.number for row in rows] == ["A-4", "A-3", "A-2", "A-1", "A-0"]
    assert third.older is None


def test_a_step_that_is_not_there_has_no_push(scene: Scene) -> None:
    (order_id,) = scene.receive(plain_order("A"))
    with scene.database.reader() as session:
        assert read_push(session, order_id, "Task_Nowhere") is None
