"""The list of orders as a person meets it."""

from __future__ import annotations

from datetime import timedelta

import pytest

from portal.orders.canonical import Customer
from tests.orders.scenes import Scene, plain_order
from tests.web.portal import Visitor

HOSTILE = '<img src=x onerror="alert(1)">'


def test_an_order_is_listed_with_where_it_is_and_why_it_stopped(shown: Scene, executive: Visitor) -> None:
    (order_id,) = shown.receive(plain_order("A-1"))
    shown.to_exception(order_id)
    page = executive.get("/orders").text
    assert 'href="/orders/A-1"' in page
    assert "Issue the tax document after the incident" in page
    assert "The tax document system did not answer." in page
    assert "Rosa Díaz" in page


def test_text_of_an_order_stays_text(shown: Scene, support: Visitor) -> None:
    shown.receive(plain_order("A-1", store=HOSTILE, customer=Customer(name=HOSTILE, email=HOSTILE)))
    for path in ("/orders", "/orders/A-1", "/orders/A-1/documents/canonical"):
        page = support.get(path).text
        assert "<img src=x" not in page, path
        assert "&lt;img src=x" in page, path
    assert (
        "<img"
        not in support.get("/orders", query_string={"q": HOSTILE, "store": HOSTILE}).text.split("<main")[1]
    )


def test_pages_are_linked_and_keep_the_filters(shown: Scene, support: Visitor) -> None:
    shown.receive(*[plain_order(f"A-{number:03}") for number in range(51)])
    shown.now += timedelta(seconds=1)
    first = support.get("/orders?channel=kiosk").text
    assert "A-000<" not in first
    older = link(first, "next")
    assert "channel=kiosk" in older
    second = support.get(older).text
    assert "A-000<" in second
    assert "A-050<" not in second
    assert "A-050<" in support.get(link(second, "prev")).text


@pytest.mark.parametrize(
    ("query", "field"),
    [("status=stuck", "Status"), ("amount_from=abc", "Amount from"), ("received_to=soon", "Received to")],
)
def test_a_bad_filter_is_refused_by_its_name_and_nothing_is_listed(
    shown: Scene, support: Visitor, query: str, field: str
) -> None:
    shown.receive(plain_order("A-1"))
    answer = support.get(f"/orders?{query}")
    assert answer.status_code == 422
    assert f"{field}: " in answer.text
    assert 'aria-invalid="true"' in answer.text
    assert "/orders/A-1" not in answer.text


def test_a_page_that_does_not_exist_is_refused(support: Visitor) -> None:
    answer = support.get("/orders?older=nonsense")
    assert answer.status_code == 422
    assert "begin at its first page" in answer.text


def test_one_known_number_leads_straight_to_its_order(shown: Scene, support: Visitor) -> None:
    shown.receive(plain_order("A-1"), plain_order("B/2 ñ"))
    assert support.get("/orders?q=A-1").location == "/orders/A-1"
    assert support.get("/orders?q=A-9").status_code == 200


def test_several_numbers_are_listed_and_those_not_known_are_named(shown: Scene, support: Visitor) -> None:
    shown.receive(plain_order("A-1"), plain_order("A-2"), plain_order("A-3"))
    page = support.get("/orders", query_string={"q": "A-1, A-3\nA-9"}).text
    assert "/orders/A-1" in page
    assert "/orders/A-3" in page
    assert "/orders/A-2" not in page
    assert "1 of 3 pasted numbers are not known: " in page
    assert "A-9" in page


def test_an_order_is_found_by_its_mail_address(shown: Scene, support: Visitor) -> None:
    shown.receive(
        plain_order("A-1", customer=Customer(email="josé@example.com")),
        plain_order("A-2", customer=Customer(email="jose@example.com")),
    )
    page = support.get("/orders", query_string={"q": "josé@example.com"}).text
    assert "/orders/A-1" in page
    assert "/orders/A-2" not in page


def test_a_link_with_days_means_the_same_days_to_everybody(shown: Scene, support: Visitor) -> None:
    support.set_cookie("zone", "America/Santiago")
    page = support.get("/orders?received_from=2026-01-01&channel=kiosk").text
    assert "zone=America/Santiago" in page or "zone=America%2FSantiago" in page
    assert "2026-01-01 (America/Santiago)" in page
    given = support.get("/orders?received_from=2026-01-01&zone=Europe/Stockholm").text
    assert "2026-01-01 (Europe/Stockholm)" in given
    assert support.get("/orders?received_from=2026-01-01&zone=../etc").status_code == 200


def test_a_list_without_rows_says_so(support: Visitor) -> None:
    assert "No orders yet" in support.get("/orders").text
    assert "No order matches" in support.get("/orders?store=Nowhere").text


def link(page: str, relation: str) -> str:
    """Return the address of the link to the next or previous page."""
    tag = next(part for part in page.split("<a ") if f'rel="{relation}"' in part.split(">")[0])
    return tag.split('href="')[1].split('"')[0].replace("&amp;", "&")
