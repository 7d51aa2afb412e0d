"""The page of an order, and the parts of it that follow the order."""

from __future__ import annotations

import json

import pytest
from sqlalchemy import update

from portal.orders.canonical import Customer, GiftCard
from portal.orders.connectors import Passed
from portal.orders.models import PurchaseOrder
from tests.orders.scenes import AMOUNT, DOWN, NOBODY, SKIPPED, Scene, plain_order
from tests.web.portal import Visitor

HTMX = {"HX-Request": "true"}


def follow(page: str) -> str:
    """Return the address by which a page asks for what happened since it was drawn."""
    follower = page.split('id="follower"')[1]
    return follower.split('hx-get="')[1].split('"')[0].replace("&amp;", "&")


def test_the_page_tells_who_what_how_much_and_where_the_order_is(shown: Scene, executive: Visitor) -> None:
    (order_id,) = shown.receive(plain_order("A-1"))
    shown.to_exception(order_id)
    page = executive.get("/orders/A-1").text
    for told in (
        "Rosa Díaz",
        "rosa@example.com",
        "kiosk",
        "North",
        "Lamp",
        "E-1",
        "The tax document system did not answer.",
        "originals",
        "in/order.json",
    ):
        assert told in page, told
    marks = json.loads(page.split("data-process-marks='")[1].split("'")[0].replace("&#34;", '"'))
    assert marks["Task_IssueAfterIncident"] == "exception"
    assert 'data-process-xml="/processes/1/drawing.bpmn"' in page


def test_an_order_with_any_number_has_its_page_and_its_fragments(shown: Scene, support: Visitor) -> None:
    for number in ("B/2 ñ", "..", "a//b", "~2F", "x?y#z%41", "C/live", "\\"):
        shown.receive(plain_order(number))
        listed = support.get("/orders", query_string={"q": number, "channel": "kiosk"}).text
        address = listed.split('<th scope="row"')[1].split('href="')[1].split('"')[0]
        page = support.get(address)
        assert page.status_code == 200, number
        assert support.get(follow(page.text), headers=HTMX).status_code == 204, number


def test_an_order_that_is_not_there_is_not_found(support: Visitor) -> None:
    for path in ("", "/live?seen=1_1_x", "/documents/original", "/documents/canonical"):
        assert support.get(f"/orders/A-9{path}").status_code == 404, path


def test_an_order_under_way_is_followed_and_one_at_rest_is_not(shown: Scene, support: Visitor) -> None:
    (order_id,) = shown.receive(plain_order("A-1"))
    assert 'hx-trigger="every 2s' in support.get("/orders/A-1").text
    shown.complete(order_id)
    assert "every 2s" not in support.get("/orders/A-1").text


def test_news_bring_only_what_has_changed(shown: Scene, support: Visitor) -> None:
    (order_id,) = shown.receive(plain_order("A-1"))
    shown.step(order_id, Passed({"eom_id": "E-1"}))
    page = support.get("/orders/A-1").text
    assert support.get(follow(page), headers=HTMX).status_code == 204
    shown.step(order_id, DOWN)
    news = support.get(follow(page), headers=HTMX)
    assert news.status_code == 200
    assert 'id="step-Task_IssueTaxDocument"' in news.text
    assert 'id="step-Task_RecordIncident"' in news.text
    assert 'id="step-Task_RegisterInEom"' not in news.text
    assert 'hx-swap-oob="beforeend:#steps"' in news.text
    assert 'hx-swap-oob="afterbegin:#timeline"' in news.text
    assert "the order takes the path for this error" in news.text
    assert "Register the order in EOM: passed" not in news.text
    assert support.get(follow(news.text), headers=HTMX).status_code == 204


def test_a_step_that_begins_to_run_is_news_too(shown: Scene, support: Visitor) -> None:
    (order_id,) = shown.receive(plain_order("A-1"))
    page = support.get("/orders/A-1").text
    shown.claim(order_id)
    news = support.get(follow(page), headers=HTMX)
    assert 'data-status="running"' in news.text
    assert "afterbegin" not in news.text


@pytest.mark.parametrize("seen", ["", "x", "1_x_y", "-1_1_x", f"{'9' * 30}_1_x"])
def test_an_address_for_news_that_is_none_is_refused(shown: Scene, support: Visitor, seen: str) -> None:
    shown.receive(plain_order("A-1"))
    assert support.get("/orders/A-1/live", query_string={"seen": seen}, headers=HTMX).status_code == 422


def test_the_timeline_can_be_cut_to_its_failures(shown: Scene, support: Visitor) -> None:
    (order_id,) = shown.receive(plain_order("A-1"))
    shown.to_exception(order_id)
    timeline = support.get("/orders/A-1?timeline=failures").text.split('id="timeline"')[1].split("</ol>")[0]
    assert "takes the path for this error" in timeline
    assert "Order received" not in timeline


def test_an_order_without_a_mail_address_says_that_its_mails_cannot_be_sent(
    shown: Scene, support: Visitor
) -> None:
    (order_id,) = shown.receive(plain_order("A-1", customer=NOBODY))
    assert "its mails cannot be sent" in support.get("/orders/A-1").text
    shown.step(order_id, *[Passed({}) for _ in range(3)], SKIPPED)
    page = support.get("/orders/A-1").text
    assert 'data-status="not-sent"' in page
    assert SKIPPED.reason in page


def test_an_order_whose_address_is_none_says_that_its_mail_was_not_sent(
    shown: Scene, support: Visitor
) -> None:
    (order_id,) = shown.receive(plain_order("A-1", customer=Customer(email="nobody")))
    assert "cannot be sent" not in support.get("/orders/A-1").text
    shown.step(order_id, *[Passed({}) for _ in range(3)], SKIPPED)
    notice = support.get("/orders/A-1").text.split('id="mail-notice"')[1].split("</div>\n  </div>")[0]
    assert SKIPPED.reason in notice


def test_an_order_that_cannot_be_decrypted_has_a_page_all_the_same(shown: Scene, support: Visitor) -> None:
    shown.receive(plain_order("A-1"))
    with shown.database.writer() as session:
        session.execute(update(PurchaseOrder).values(canonical=b"x" * 40))
    page = support.get("/orders/A-1")
    assert page.status_code == 200
    assert "cannot be read" in page.text
    assert "cannot be read" in support.get("/orders/A-1/documents/canonical").text


def test_card_numbers_are_masked_wherever_an_order_is_shown(shown: Scene, support: Visitor) -> None:
    card = GiftCard(number="6006491234567890", amount=AMOUNT)
    shown.receive(plain_order("A-1", gift_cards=[card]))
    for path in ("", "/documents/canonical", "/documents/canonical?download=1"):
        text = support.get(f"/orders/A-1{path}").text
        assert "6006491234567890" not in text, path
        assert "7890" in text, path
