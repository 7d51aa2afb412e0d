"""The tax document system is down: orders wait with reasons, and are pushed when it is up again."""

from __future__ import annotations

from collections.abc import Callable

from playwright.sync_api import Page, expect

from portal.orders.states import OrderStatus
from sandbox.demo import DemoPerson
from sandbox.samples import as_json, sample_order
from tests.browser.conftest import ServedPortal
from tests.faults.orders import (
    assert_every_effect_once,
    effects_by_order,
    gift_cards_of,
    orders_by_status,
    put_orders,
    wait_for_completion,
)
from tests.servers.waiting import wait_until

NUMBERS = ["T-1", "T-2"]


def test_orders_stopped_by_an_outage_are_pushed_from_the_browser_and_completed(
    portal: ServedPortal, open_page: Callable[[DemoPerson], Page]
) -> None:
    stand_ins = portal.backbone.client
    stand_ins.put_fault("tax-documents", "down")
    put_orders(portal.runtime, NUMBERS)
    wait_until(
        lambda: orders_by_status(portal.runtime) == {OrderStatus.EXCEPTION: len(NUMBERS)},
        90,
        "the orders stop as exceptions",
    )
    # Each customer was told of the incident, once.
    assert effects_by_order(stand_ins)["mail"] == dict.fromkeys(NUMBERS, 1)

    page = open_page(DemoPerson.SUPPORT)
    page.get_by_role("link", name="Exceptions").first.click()
    expect(page.get_by_text("The tax document system").first).to_be_visible()
    page.goto(f"{portal.address}/orders/T-1")
    expect(page.get_by_text("The tax document system").first).to_be_visible()
    stand_ins.clear_fault("tax-documents")
    for number in NUMBERS:
        page.goto(f"{portal.address}/orders/{number}")
        page.get_by_role("button", name="Push").first.click()
        expect(page.get_by_text("Passed").first).to_be_visible()

    wait_for_completion(portal.runtime, len(NUMBERS))
    page.goto(f"{portal.address}/orders/T-1")
    expect(page.get_by_text("Completed", exact=True).first).to_be_visible()
    ledgers = effects_by_order(stand_ins)
    # The incident, its end, and the completion.
    assert ledgers["mail"] == dict.fromkeys(NUMBERS, 3)
    once = dict.fromkeys(NUMBERS, 1)
    assert ledgers == {
        "gift-card": gift_cards_of(NUMBERS),
        "eom": once,
        "tax-documents": once,
        "pos": once,
        "mail": dict.fromkeys(NUMBERS, 3),
    }


def test_two_people_who_push_at_once_are_told_who_won(
    portal: ServedPortal, open_page: Callable[[DemoPerson], Page]
) -> None:
    stand_ins = portal.backbone.client
    _put_order_with_a_refused_tax_id(portal, "T-1")
    wait_until(lambda: orders_by_status(portal.runtime) == {OrderStatus.EXCEPTION: 1}, 30, "the order stops")
    first, second = open_page(DemoPerson.SUPPORT), open_page(DemoPerson.SUPPORT_TWO)
    for page in (first, second):
        page.goto(f"{portal.address}/orders/T-1")
    # Whoever pushed first waits for a verdict while the second still sees the button.
    stand_ins.put_fault("tax-documents", "slow", seconds=4)
    first.get_by_role("button", name="Push").first.click()
    expect(first.get_by_text("Running").first).to_be_visible()
    second.get_by_role("button", name="Push").first.click()

    expect(second.get_by_text("support already pushed").first).to_be_visible()
    expect(first.get_by_text("Failed again").first).to_be_visible()


def _put_order_with_a_refused_tax_id(portal: ServedPortal, number: str) -> None:
    order = sample_order(number, seed=1)
    order["customer"]["tax_id"] = "76.086.428-X"
    bucket = portal.runtime.settings.orders_bucket
    portal.runtime.files.write(bucket, f"{number}.json", as_json(order), "application/json")


def test_an_order_goes_from_the_bucket_to_its_mail_with_every_effect_once(portal: ServedPortal) -> None:
    put_orders(portal.runtime, NUMBERS)
    wait_for_completion(portal.runtime, len(NUMBERS))
    assert_every_effect_once(portal.backbone.client, NUMBERS, gift_cards_of(NUMBERS))
