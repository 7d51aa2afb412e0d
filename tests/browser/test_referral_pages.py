"""The pages of referrals in a real browser: whole without JavaScript, and within a phone's width."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import pytest
from flask import Flask
from playwright.sync_api import Browser, Page, expect
from werkzeug.serving import make_server

from portal.referrals.rewards.models import RewardGrant
from portal.runtime import Runtime
from portal.settings import Settings
from tests.referrals.scenes import RECRUIT, REFERRER, Scene, scheme
from tests.referrals.test_views_attention import failed_batch, set_grants
from tests.servers.urls import Urls
from tests.web.portal import PASSWORD, settings_for

PAGES = (
    "/referrals",
    "/search",
    f"/search?q=ana@example.com+somebody@example.com+{REFERRER}+{RECRUIT}",
    "/referrals/attention?pushed=3_4",
    "/referrals/attention/pending",
    "/referrals/attention/flagged",
    "/referrals/attention/spends",
    "/referrals/polls",
    f"/referrals/users/{REFERRER}",
    f"/referrals/users/{RECRUIT}",
    "/schemes",
    "/schemes/new",
    "/schemes/1",
    "/schemes/1/edit",
    "/schemes/1/try",
    "/rewards",
    "/rewards/new",
    "/conditions",
    "/conditions/new",
    "/rpc-methods",
)


@pytest.fixture
def portal_settings(migrated_sqlite: Path, tmp_path: Path) -> Settings:
    """Give settings for one database: browsers do not tell one from another."""
    copy = shutil.copyfile(migrated_sqlite, tmp_path / "waybill.db")
    return settings_for(Urls(f"sqlite:///{copy}", f"sqlite:///{copy}"))


@pytest.fixture
def address(app: Flask) -> Iterator[str]:
    """Give the address at which the portal is served."""
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def shown(runtime: Runtime) -> Scene:
    """Give a referral that was flagged, whose referrer is its recruit, and one of a long address."""
    with runtime.writer() as session:
        scheme_id = scheme(session, total="1000.00")
    scene = Scene(runtime.database, scheme_id, runtime.cipher, runtime.clock())
    scene.convert(RECRUIT, "ana@example.com", referrer=RECRUIT)
    scene.convert(RECRUIT + 1)
    scene.invite("somebody-with-a-rather-long-name@subdomain.of.a-long-domain.example.com")
    reason = "The reward system did not answer within 10 seconds."
    failed = {"status": "failed", "code": "rewards-no-answer", "reason": reason}
    set_grants(scene, RewardGrant.status == "earned", **failed)
    failed_batch(scene, retried=False)
    return scene


def log_in(page: Page, address: str) -> None:
    page.goto(f"{address}/login")
    page.get_by_label("Login").fill("admin")
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    page.wait_for_url(f"{address}/")


def test_no_page_is_wider_than_a_phone(address: str, shown: Scene, browser: Browser) -> None:
    context = browser.new_context(viewport={"width": 360, "height": 740}, locale="en-GB")
    page = context.new_page()
    log_in(page, address)
    wide = {}
    for path in PAGES:
        answer = page.goto(f"{address}{path}")
        assert answer is not None
        assert answer.status == 200, path
        page.evaluate("document.querySelectorAll('main details').forEach(one => { one.open = true })")
        root = "document.documentElement"
        wide[path] = page.evaluate(f"{root}.scrollWidth - {root}.clientWidth")
    context.close()
    assert wide == dict.fromkeys(PAGES, 0)


def test_a_review_is_decided_without_javascript(address: str, shown: Scene, browser: Browser) -> None:
    context = browser.new_context(java_script_enabled=False, locale="en-GB")
    page = context.new_page()
    log_in(page, address)
    page.goto(f"{address}/referrals/users/{RECRUIT}")
    approve = page.locator(".wb-action", has=page.get_by_label("Approve: referral 1", exact=True)).first
    approve.locator("summary").click()
    approve.get_by_label("Reason").fill("   ")
    approve.get_by_role("button", name="Approve").click()
    expect(page.locator(".wb-action[open]").get_by_text("A reason is needed").first).to_be_visible()
    again = page.locator(".wb-action[open]").first
    again.get_by_label("Reason").fill("They are two people.")
    again.get_by_role("button", name="Approve").click()
    expect(page.get_by_text("The referral is approved.")).to_be_visible()
    expect(page.locator("#timeline-card").get_by_text("They are two people.").first).to_be_visible()
    context.close()


def test_a_user_is_found_by_the_keyboard_without_javascript(
    address: str, shown: Scene, browser: Browser
) -> None:
    context = browser.new_context(java_script_enabled=False, locale="en-GB")
    page = context.new_page()
    log_in(page, address)
    page.keyboard.press("Tab")
    while page.locator(":focus").get_attribute("name") != "q":
        page.keyboard.press("Tab")
    page.keyboard.type(f"ana@example.com {RECRUIT + 1} nobody@example.com")
    page.keyboard.press("Enter")
    page.wait_for_url("**/search?q=*")
    expect(page.get_by_text("1 of 3 found nothing: nobody@example.com")).to_be_visible()
    expect(page.get_by_role("searchbox", name="Search", exact=True)).to_have_value(
        f"ana@example.com {RECRUIT + 1} nobody@example.com"
    )
    page.get_by_role("link", name=str(RECRUIT + 1), exact=True).press("Enter")
    expect(page.get_by_role("heading", name=f"User {RECRUIT + 1}")).to_be_visible()
    context.close()


def test_what_becomes_of_a_push_shows_by_itself(address: str, shown: Scene, browser: Browser) -> None:
    context = browser.new_context(locale="en-GB")
    page = context.new_page()
    log_in(page, address)
    page.goto(f"{address}/referrals/attention")
    page.get_by_role("button", name="Push to retry: reward 3").click()
    pushed = page.locator("#pushed-rewards")
    expect(pushed.get_by_text("Requested")).to_be_visible()
    set_grants(shown, RewardGrant.id == 3, status="sent")
    expect(pushed.get_by_text("Delivered")).to_be_visible()
    context.close()
