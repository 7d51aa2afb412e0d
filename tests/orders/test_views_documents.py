"""Documents are shown masked, as a page and as a part of one."""

from __future__ import annotations

import secrets

import pytest
from sqlalchemy import update

from portal.clients.aws import make_client
from portal.orders.models import PurchaseOrder
from portal.runtime import Runtime
from portal.settings import Settings
from tests.orders.scenes import Scene, plain_order
from tests.servers.urls import Urls
from tests.web.portal import Visitor, settings_for

ORIGINAL = b'<Order><Note>&lt;b&gt;</Note><PaymentID>4111111111111111</PaymentID><X onerror="go()"/></Order>'


@pytest.fixture
def portal_settings(migrated_urls: Urls, aws_endpoint: str, aws_account: str) -> Settings:
    """Give settings with an emulator behind them."""
    urls = Urls(migrated_urls.writer, migrated_urls.writer)
    return settings_for(urls, AWS_ENDPOINT_URL=aws_endpoint, AWS_ACCESS_KEY_ID=aws_account)


@pytest.fixture
def bucket(runtime: Runtime) -> str:
    """Give a bucket of this test's own, with the document of the scene's orders in it."""
    name = f"originals-{secrets.token_hex(6)}"
    make_client("s3", runtime.settings).create_bucket(Bucket=name)
    runtime.files.write(name, "in/order.json", ORIGINAL, "application/xml")
    return name


def lay(scene: Scene, bucket: str) -> None:
    """Let order A-1's document lie in a bucket."""
    scene.receive(plain_order("A-1"))
    with scene.database.writer() as session:
        session.execute(update(PurchaseOrder).values(document_bucket=bucket, document_version=None))


def test_an_original_is_shown_as_text_with_its_cards_masked(
    shown: Scene, bucket: str, support: Visitor
) -> None:
    lay(shown, bucket)
    page = support.get("/orders/A-1/documents/original").text
    assert "4111111111111111" not in page
    assert "&lt;PaymentID&gt;•••• 1111" in page
    assert "<X onerror" not in page
    assert "<html" in page


def test_htmx_is_given_the_text_alone(shown: Scene, bucket: str, support: Visitor) -> None:
    lay(shown, bucket)
    for which in ("original", "canonical"):
        fragment = support.get(f"/orders/A-1/documents/{which}", headers={"HX-Request": "true"})
        assert "<html" not in fragment.text
        assert "HX-Request" in fragment.headers["Vary"]


def test_a_download_is_masked_plain_text_that_no_browser_runs(
    shown: Scene, bucket: str, support: Visitor
) -> None:
    lay(shown, bucket)
    answer = support.get("/orders/A-1/documents/original?download=1")
    assert answer.mimetype == "text/plain"
    assert answer.headers["Content-Disposition"].startswith("attachment")
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "4111111111111111" not in answer.text


def test_a_long_original_is_shown_up_to_a_bound_and_says_so(
    shown: Scene, bucket: str, runtime: Runtime, support: Visitor
) -> None:
    lay(shown, bucket)
    runtime.files.write(bucket, "in/order.json", b"<a>" + b"x" * 300_000, "application/xml")
    page = support.get("/orders/A-1/documents/original").text
    assert "This is the beginning only." in page
    assert len(page) < 250_000


def test_an_original_that_is_gone_says_so(shown: Scene, bucket: str, support: Visitor) -> None:
    lay(shown, f"{bucket}-gone")
    page = support.get("/orders/A-1/documents/original")
    assert page.status_code == 200
    assert "no longer in" in page.text


def test_a_drawing_is_kept_by_browsers_for_it_never_changes(shown: Scene, executive: Visitor) -> None:
    shown.receive(plain_order("A-1"))
    answer = executive.get("/processes/1/drawing.bpmn")
    assert answer.mimetype == "application/xml"
    assert "immutable" in answer.headers["Cache-Control"]
    assert b"retail-order" in answer.data
    assert executive.get("/processes/9/drawing.bpmn").status_code == 404
