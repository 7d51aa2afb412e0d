"""The pages of orders in a real browser: live where they say so, whole without JavaScript and on a phone."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import pytest
from flask import Flask
from playwright.sync_api import Browser, BrowserContext, Page, expect
from werkzeug.serving import make_server

from portal.errors import Upstream
from portal.orders.connectors import Passed
from portal.orders.progress import Failed
from portal.runtime import Runtime
from portal.settings import Settings
from tests.orders.scenes import Scene, plain_order
from tests.servers.urls import Urls
from tests.web.portal import PASSWORD, settings_for

STEP = "Task_IssueAfterIncident"
PAGES = ("/", "/orders", "/orders/A-1", "/orders/A-1/documents/canonical", "/exceptions", "/waiting")


@pytest.fixture
def portal_settings(migrated_sqlite: Path, tmp_path: Path) -> Settings:
    """Give settings for one database: browsers do not tell one from another."""
    copy = shutil.copyfile(migrated_sqlite, tmp_path / "waybill.db")
    return settings_for(Urls(f"sqlite:///{copy}", f"sqlite:///{copy}"))


@pytest.fixture
def address(app: Flask) -> Iterator[str]:
    """Give the address at which the portal is served, without jobs: the tests move the orders themselves."""
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def scene(runtime: Runtime) -> Scene:
    """Give the portal's database, with order A-1 stopped after its incident."""
    scene = Scene(runtime.database, runtime.cipher, runtime.definitions, runtime.clock())
    scene.to_exception(scene.receive(plain_order("A-1"))[0])
    return scene


def log_in(page: Page, address: str, path: str = "/", login: str = "support") -> None:
    page.goto(f"{address}/login?next={path}")
    page.get_by_label("Login").fill(login)
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    page.wait_for_url(f"{address}{path}")


def status(page: Page, name: str) -> None:
    """Wait until the place of the push shows this state."""
    expect(page.locator(f".wb-verdict [data-status={name}]")).to_be_visible()


def test_a_push_in_the_list_shows_its_verdict_where_the_button_was(
    address: str, scene: Scene, page: Page
) -> None:
    log_in(page, address, "/exceptions")
    page.get_by_role("button", name="Push to retry").press("Enter")
    status(page, "requested")
    assert page.evaluate("document.activeElement.classList.contains('wb-verdict')")
    turn = scene.claim(1)
    status(page, "running")
    refused = Failed(Upstream("The tax id is not valid.", code="tax-id", retryable=False))
    scene.finish(turn, refused)
    status(page, "failed-again")
    expect(page.get_by_text("The tax id is not valid.")).to_be_visible()
    # Whoever works by keyboard is still where they were.
    assert page.evaluate("document.activeElement.classList.contains('wb-verdict')")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    status(page, "requested")
    scene.step(1, Passed({"folio": "7"}))
    status(page, "passed")
    assert page.url == f"{address}/exceptions"


def test_the_loser_of_two_pushes_is_told_who_won_where_the_button_was(
    address: str, scene: Scene, page: Page
) -> None:
    log_in(page, address, "/exceptions")
    scene.push(1, STEP, by="ana")
    page.get_by_role("button", name="Push to retry").click()
    expect(page.get_by_text("ana already pushed this")).to_be_visible()
    status(page, "requested")
    scene.step(1, Passed({"folio": "7"}))
    status(page, "passed")


def test_the_loser_is_told_on_the_page_of_the_order_for_as_long_as_the_push_runs(
    address: str, scene: Scene, page: Page
) -> None:
    log_in(page, address, "/orders/A-1")
    scene.push(1, STEP, by="ana")
    page.get_by_role("button", name="Push to retry").click()
    status(page, "requested")
    turn = scene.claim(1)
    status(page, "running")
    expect(page.get_by_text("ana already pushed this")).to_be_visible()
    scene.finish(turn, Passed({"folio": "F-7"}))
    status(page, "passed")
    expect(page.locator("#steps")).to_contain_text("F-7")


def test_an_order_is_followed_without_closing_what_is_open(address: str, scene: Scene, page: Page) -> None:
    log_in(page, address, "/orders/A-1")
    answer = page.locator("#timeline details").first
    answer.locator("summary").click()
    page.get_by_role("button", name="Push to retry").click()
    status(page, "requested")
    scene.step(1, Passed({"folio": "F-7"}))
    expect(page.locator("#steps")).to_contain_text("F-7")
    expect(page.locator("#step-Task_TellInProcess")).to_be_visible()
    expect(page.locator("#timeline > li").first).to_contain_text(
        "Issue the tax document after the incident: passed"
    )
    expect(page.locator("#timeline > li").nth(1)).to_contain_text("pushed to retry")
    assert page.locator("#timeline details[open]").count() == 1
    drawn = page.locator(f"[data-element-id={STEP}]").first
    expect(drawn).to_have_class("djs-element djs-shape wb-step-passed")
    scene.step(1, *[Passed({}) for _ in range(3)])
    expect(page.locator("#order-status")).to_contain_text("Completed")
    expect(page.locator("#follower")).not_to_have_attribute("hx-trigger", "every 2s, pushed from:body")
    titles = page.locator("#timeline .wb-entry-title").all_inner_texts()
    assert len(titles) == len(set(titles)), "no entry is told twice"


def test_documents_and_messages_are_loaded_into_the_page(address: str, scene: Scene, page: Page) -> None:
    scene.keep_waiting("in/a.xml")
    log_in(page, address, "/orders/A-1")
    page.get_by_role("link", name="Canonical form").click()
    expect(page.locator("#document-text pre")).to_contain_text("Rosa Díaz")
    assert page.url == f"{address}/orders/A-1"
    page.goto(f"{address}/waiting")
    page.get_by_role("link", name="Show the message").click()
    expect(page.locator(".wb-body pre")).to_contain_text("bad.xml")


def test_everything_works_without_javascript(address: str, scene: Scene, browser: Browser) -> None:
    scene.keep_waiting("in/a.xml")
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    log_in(page, address, "/exceptions")
    page.get_by_role("button", name="Push to retry").click()
    assert page.url == f"{address}/orders/A-1#step-{STEP}"
    expect(page.get_by_text("is requested")).to_be_visible()
    status(page, "requested")
    page.get_by_role("link", name="Canonical form").click()
    expect(page.locator("pre")).to_contain_text("Rosa Díaz")
    page.goto(f"{address}/waiting")
    page.get_by_role("link", name="Show the message").click()
    expect(page.locator("pre")).to_contain_text("bad.xml")
    page.goto(f"{address}/orders")
    page.locator("summary", has_text="Filters").click()
    page.get_by_label("Channel").fill("phone")
    page.get_by_role("button", name="Show orders").click()
    expect(page.get_by_text("No order matches")).to_be_visible()
    context.close()


@pytest.mark.parametrize("width", [360, 768, 1280, 1920])
def test_no_page_is_wider_than_its_screen_or_refused_by_the_policy(
    address: str, scene: Scene, browser: Browser, width: int
) -> None:
    scene.receive(plain_order("N" * 64, store="S" * 64))
    scene.keep_waiting("in/" + "long-" * 90 + ".xml", reason="R" * 300)
    # Dates are widest in American English.
    context = browser.new_context(viewport={"width": width, "height": 800}, locale="en-US")
    page = context.new_page()
    complaints: list[str] = []
    page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    log_in(page, address)
    for path in (*PAGES, f"/orders/{'N' * 64}"):
        page.goto(f"{address}{path}")
        too_wide = page.evaluate("document.documentElement.scrollWidth - innerWidth")
        assert too_wide <= 0, f"{path} is {too_wide} px too wide"
    context.close()
    assert complaints == []


def test_days_and_times_are_those_of_the_viewer(address: str, scene: Scene, browser: Browser) -> None:
    context: BrowserContext = browser.new_context(timezone_id="Pacific/Auckland", locale="en-GB")
    page = context.new_page()
    log_in(page, address, "/orders")
    assert {cookie["name"]: cookie.get("value") for cookie in context.cookies()}["zone"] == "Pacific/Auckland"
    received = page.locator("td[data-label=Received] time").first
    expect(received).to_have_attribute("title", f"{scene.now:%Y-%m-%d %H:%M:%S}.{scene.now:%f}"[:23] + " UTC")
    page.goto(f"{address}/orders?received_from=2026-01-01")
    expect(page.get_by_text("2026-01-01 (Pacific/Auckland)")).to_be_visible()
    context.close()
