"""The portal as its users meet it: gunicorn with its jobs, stand-ins behind it, and a browser before it."""

from __future__ import annotations

import base64
import os
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
import urllib3
from playwright.sync_api import Browser, BrowserContext, Page

from portal.runtime import Runtime, build_runtime
from portal.settings import load_settings
from sandbox.backbone import Backbone
from sandbox.child import Child
from sandbox.demo import DemoPerson, make_demo_people
from sandbox.emulator import HOST, free_port
from tests.servers.urls import Urls

PASSWORD = "a password of the tests"


@dataclass(frozen=True, slots=True)
class ServedPortal:
    """A running portal: its address, what is around it, and a runtime to look behind it."""

    address: str
    backbone: Backbone
    runtime: Runtime


@pytest.fixture
def portal(
    migrated_urls: Urls, aws_endpoint: str, aws_account: str, tmp_path: Path
) -> Iterator[ServedPortal]:
    """Give a running portal with its jobs, once on SQLite and once on MariaDB with a replica to read from."""
    environment = os.environ | {
        "DATABASE_WRITER_URL": migrated_urls.writer,
        "DATABASE_READER_URL": migrated_urls.reader,
        "SECRET_KEY": secrets.token_hex(32),
        "DATA_KEY": base64.b64encode(secrets.token_bytes(32)).decode(),
        "COOKIE_SECURE": "false",
        "AWS_ACCESS_KEY_ID": aws_account,
        "AWS_SECRET_ACCESS_KEY": "test",
        "ORDERS_BUCKET": f"orders-in-{aws_account}",
        "ORIGINALS_BUCKET": f"order-originals-{aws_account}",
        "PORT": str(free_port()),
        "WEB_WORKERS": "1",
    }
    backbone = Backbone(tmp_path, aws_endpoint, environment)
    server: Child | None = None
    try:
        backbone.wait_ready()
        backbone.prepare()
        runtime = build_runtime(load_settings(backbone.environment))
        make_demo_people(runtime.settings, PASSWORD, secrets.token_hex(16), datetime.now(UTC))
        arguments = ["gunicorn", "--config", "gunicorn.conf.py"]
        server = Child("The portal", arguments, backbone.environment, tmp_path / "portal.log")
        address = f"http://{HOST}:{environment['PORT']}"
        server.wait_until(lambda: _is_ready(address), 60)
        yield ServedPortal(address, backbone, runtime)
        runtime.database.dispose()
    finally:
        if server is not None:
            server.stop()
        backbone.stop()


def _is_ready(address: str) -> bool:
    try:
        return urllib3.request("GET", f"{address}/health/ready", timeout=5, retries=False).status == 200
    except urllib3.exceptions.HTTPError:
        return False


@pytest.fixture
def open_page(portal: ServedPortal, browser: Browser) -> Iterator[Callable[[DemoPerson], Page]]:
    """Give a way to open a page in which a person is logged in, each in a browser profile of its own."""
    contexts: list[BrowserContext] = []

    def open_page(person: DemoPerson) -> Page:
        contexts.append(browser.new_context(locale="en-GB", timezone_id="Europe/London"))
        page = contexts[-1].new_page()
        page.goto(f"{portal.address}/login")
        page.get_by_label("Login").fill(person.login)
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Log in").click()
        page.wait_for_url(f"{portal.address}/")
        return page

    yield open_page
    for context in contexts:
        context.close()
