"""Exceptions as a person meets them: causes first, then the orders."""

from __future__ import annotations

import pytest
from sqlalchemy import event

from portal.errors import Upstream
from portal.orders.progress import Failed
from tests.orders.scenes import DOWN, Scene, plain_order
from tests.web.portal import Visitor

STEP = "Task_IssueAfterIncident"
EOM_REFUSES = Failed(Upstream('<img src=x onerror="go()">', code="eom-no-store", retryable=False))


def test_causes_lead_to_their_orders(shown: Scene, support: Visitor) -> None:
    stopped, refused = shown.receive(plain_order("A-1"), plain_order("B-1"))
    shown.to_exception(stopped)
    shown.step(refused, EOM_REFUSES)
    page = support.get("/exceptions").text
    assert "2 orders stopped" in page
    assert f"code=tax-documents-no-answer&amp;step={STEP}" in page
    of_cause = support.get(f"/exceptions?code=tax-documents-no-answer&step={STEP}").text
    assert "/orders/A-1" in of_cause
    assert "/orders/B-1" not in of_cause


def test_a_reason_of_an_outside_system_stays_text(shown: Scene, support: Visitor) -> None:
    shown.step(shown.receive(plain_order("B-1"))[0], EOM_REFUSES)
    for path in ("/exceptions", "/orders/B-1", "/orders"):
        page = support.get(path).text
        assert "<img src=x" not in page, path
        assert "&lt;img src=x" in page, path


def test_an_order_that_failed_again_shows_who_pushed_it(shown: Scene, support: Visitor) -> None:
    (order_id,) = shown.receive(plain_order("A-1"))
    shown.to_exception(order_id)
    shown.push(order_id, by="bob")
    shown.step(order_id, DOWN)
    page = support.get("/exceptions").text
    assert 'data-status="failed-again"' in page
    assert "<strong>bob</strong>" in page


def test_nothing_stopped_is_said_as_such(support: Visitor) -> None:
    assert "Nothing has stopped" in support.get("/exceptions").text
    assert "None of this cause is left" in support.get("/exceptions?code=gone").text


def test_pages_go_on_within_a_cause(shown: Scene, support: Visitor) -> None:
    for order_id in shown.receive(*[plain_order(f"A-{number:02}") for number in range(51)]):
        shown.step(order_id, EOM_REFUSES)
    first = support.get("/exceptions?code=eom-no-store").text
    assert "A-00<" not in first
    older = first.split('rel="next" href="')[1].split('"')[0].replace("&amp;", "&")
    assert "code=eom-no-store" in older
    assert "A-00<" in support.get(older).text


@pytest.mark.parametrize("path", ["/exceptions", "/orders", "/waiting"])
def test_a_list_takes_as_many_statements_for_many_rows_as_for_one(
    shown: Scene, support: Visitor, path: str
) -> None:
    def add(number: str) -> None:
        shown.step(shown.receive(plain_order(number))[0], EOM_REFUSES)
        shown.keep_waiting(number)

    statements: list[str] = []
    engine = shown.database.reader_engine

    def count() -> int:
        statements.clear()
        assert support.get(path).status_code == 200
        return sum(statement.startswith("SELECT") for statement in statements)

    add("A-1")
    event.listen(engine, "before_cursor_execute", lambda *args: statements.append(args[2]))
    for_one = count()
    for number in range(9):
        add(f"B-{number}")
    assert count() == for_one
