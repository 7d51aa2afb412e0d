"""A referral from its scheme to both rewards: an administrator, a referrer, a friend, and support staff."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable

import pytest
import urllib3
from playwright.sync_api import Page, expect

from portal.access.service import create_api_client
from portal.crypto import token_hash
from portal.events import Actor
from sandbox.demo import DemoPerson
from tests.browser.conftest import ServedPortal
from tests.servers.waiting import wait_until

REFERRER, FRIEND = 41, "ana.friend@example.com"
REWARDS = {"Brought a friend": "25.00", "Was brought": "10.00"}
CONDITIONS = {"Signed up": "sign-up", "Verified": "verification", "Spent enough": "spend"}


@pytest.fixture(autouse=True)
def _quick_polls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPEND_POLL_SECONDS", "1")


def test_a_friend_is_brought_and_both_are_rewarded_while_the_page_tells_each_step(
    portal: ServedPortal, open_page: Callable[[DemoPerson], Page]
) -> None:
    admin, support = open_page(DemoPerson.ADMIN), open_page(DemoPerson.SUPPORT)
    make_scheme(portal, admin)
    stand_ins = portal.backbone.client

    invited = call(portal, "referrals.sendreferralemail", {"user_id": REFERRER, "emails": [FRIEND]})
    assert invited["results"][0]["invited"], invited
    token = token_of_mail(portal)
    shows(support, f"{portal.address}/referrals/users/{REFERRER}", FRIEND, "Mail sent")
    followed = urllib3.request("GET", f"{portal.address}/r/{token}", redirect=False)
    assert followed.headers["Location"].endswith(f"token={token}")
    shows(support, f"{portal.address}/referrals/users/{REFERRER}", "Clicked", "Link followed")

    friend = stand_ins.sign_up(FRIEND, token=token)
    of_friend = f"{portal.address}/referrals/users/{friend}"
    shows(support, of_friend, "waits for Verified and Spent enough (1 of 3 conditions met)")
    stand_ins.verify(friend)
    shows(support, of_friend, "waits for Spent enough (2 of 3 conditions met)", "Qualifying")
    stand_ins.spend(friend, "40.00")
    shows(support, of_friend, "The spend that was seen is below the threshold.", "40.00")
    stand_ins.spend(friend, "120.00")
    shows(support, of_friend, "Rewarded: both rewards are delivered.", "Converted", "120.00")
    granted = {effect["order_number"] for effect in stand_ins.effects("rewards")}
    assert len(stand_ins.effects("rewards")) == 2, granted

    timeline = support.locator("#timeline-card")
    for step in (
        "Referral started",
        "Condition met: Signed up",
        "Condition met: Verified",
        "Condition met: Spent enough",
        "Converted",
        "Reward of the referrer delivered",
        "Reward of the recruit delivered",
    ):
        expect(timeline.get_by_text(step, exact=True)).to_be_visible()
    shows(support, f"{portal.address}/referrals", "100.0% of invited", "35.00")


def make_scheme(portal: ServedPortal, page: Page) -> None:
    """Make rewards, conditions and a scheme by their forms, and activate it."""
    for name, amount in REWARDS.items():
        page.goto(f"{portal.address}/rewards/new")
        page.get_by_label("Name").fill(name)
        page.get_by_label("Amount").fill(amount)
        page.get_by_role("button", name="Save").click()
        expect(page.get_by_text("The reward is made")).to_be_visible()
    for name, event_type in CONDITIONS.items():
        page.goto(f"{portal.address}/conditions/new")
        page.get_by_label("Name").fill(name)
        page.get_by_label("Met by").fill(event_type)
        page.get_by_role("button", name="Save").click()
        expect(page.get_by_text("The condition is made")).to_be_visible()
    page.goto(f"{portal.address}/schemes/new")
    page.get_by_label("Name").fill("Spring")
    page.get_by_label("Product").fill("loans")
    page.get_by_label("Currency").first.fill("USD")
    page.get_by_label("Reward of the referrer").select_option("Brought a friend (25.00)")
    page.get_by_label("Reward of the recruit").select_option("Was brought (10.00)")
    page.get_by_label("Expires after").fill("30")
    page.get_by_label("Unit").select_option("day")
    page.get_by_label("Budget").fill("1000.00")
    for place, name in enumerate(CONDITIONS):
        page.get_by_label(name).check()
        page.get_by_label("Place").nth(place).fill(str(place + 1))
    page.get_by_label("Threshold").fill("100.00")
    page.get_by_label("Currency").last.fill("USD")
    page.get_by_role("button", name="Save as a draft").click()
    expect(page.get_by_text("The scheme is a draft")).to_be_visible()
    page.locator("#actions summary", has_text="Activate").click()
    page.get_by_role("button", name="Activate version 1").click()
    expect(page.get_by_text("The scheme is active")).to_be_visible()


def call(portal: ServedPortal, method: str, params: dict[str, object]) -> dict[str, list[dict[str, object]]]:
    """Call JSON-RPC as a client with a key of its own."""
    key = secrets.token_hex(16)
    portal.runtime.transact(
        lambda session: create_api_client(
            session,
            name=f"shop-{key[:6]}",
            key_hash=token_hash(key),
            actor=Actor("system", "test"),
            now=portal.runtime.clock(),
        )
    )
    answer = urllib3.request(
        "POST",
        f"{portal.address}/rpc",
        json={"jsonrpc": "2.0", "id": 1, "method": method, "params": params},
        headers={"Authorization": f"Bearer {key}"},
    )
    result: dict[str, list[dict[str, object]]] = answer.json()["result"]
    return result


def token_of_mail(portal: ServedPortal) -> str:
    """Wait for the mail of the invitation, and return the token of its link."""

    def mails() -> list[str]:
        return [effect["request"] for effect in portal.backbone.client.effects("mail")]

    wait_until(lambda: bool(mails()), 60, "the mail of the invitation is sent")
    link = re.search(r"/r/([A-Za-z0-9_-]{20,})", str(mails()[0]))
    assert link is not None, mails()
    return link[1]


def shows(page: Page, address: str, *texts: str) -> None:
    """Load a page again until it shows all texts."""

    def all_there() -> bool:
        page.goto(address)
        said = page.locator("main").inner_text()
        return all(text in said for text in texts)

    wait_until(all_there, 60, f"{address} shows {texts}")
