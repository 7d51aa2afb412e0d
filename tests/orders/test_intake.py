"""An order that is handed over is taken in once, with its original kept."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import func, select

from portal.errors import InvalidInput, Upstream
from portal.events import Actor
from portal.orders.intake import take_in
from portal.orders.models import OrderStep, PurchaseOrder
from portal.runtime import Runtime, build_runtime
from portal.settings import Settings
from sandbox.provision import provision
from sandbox.samples import as_json, sample_order
from sandbox.ubl import as_ubl
from tests.servers.urls import Urls
from tests.web.portal import settings_for

SHOP = Actor("client", "shop")


@pytest.fixture
def portal_settings(migrated_urls: Urls, aws_endpoint: str, aws_account: str) -> Settings:
    settings = settings_for(
        Urls(migrated_urls.writer, migrated_urls.writer),
        AWS_ENDPOINT_URL=aws_endpoint,
        AWS_ACCESS_KEY_ID=aws_account,
        ORDERS_BUCKET=f"orders-in-{aws_account}",
        ORIGINALS_BUCKET=f"originals-{aws_account}",
    )
    provision(settings)
    return settings


@pytest.fixture
def runtime(portal_settings: Settings) -> Iterator[Runtime]:
    built = build_runtime(portal_settings)
    yield built
    built.database.dispose()


def count(runtime: Runtime, table: type) -> int:
    with runtime.writer() as session:
        return session.scalar(select(func.count()).select_from(table)) or 0


@pytest.mark.parametrize("form", ["xml", "json"])
def test_a_new_order_is_taken_in_with_its_original(runtime: Runtime, form: str) -> None:
    order = sample_order("W/1 ñ", seed=1)
    body = as_ubl(order) if form == "xml" else as_json(order)
    receipt = take_in(runtime, body, source="api", actor=SHOP)
    assert (receipt.number, receipt.outcome) == ("W/1 ñ", "new")
    with runtime.writer() as session:
        row = session.get_one(PurchaseOrder, receipt.order_id)
    assert row.source == "api"
    assert row.document_key == f"api/{hashlib.sha256(body).hexdigest()}"
    kept = runtime.files.read(row.document_bucket, row.document_key, row.document_version, max_bytes=10**7)
    assert kept == body
    assert count(runtime, OrderStep) == 1


def test_the_same_order_again_is_known_in_whatever_form(runtime: Runtime) -> None:
    order = sample_order("W-1", seed=1)
    take_in(runtime, as_ubl(order), source="api", actor=SHOP)
    assert take_in(runtime, as_ubl(order), source="import", actor=SHOP).outcome == "known"
    assert take_in(runtime, as_json(order), source="api", actor=SHOP).outcome == "known"
    assert (count(runtime, PurchaseOrder), count(runtime, OrderStep)) == (1, 1)


def test_another_order_of_the_same_number_is_a_conflict(runtime: Runtime) -> None:
    take_in(runtime, as_json(sample_order("W-1", seed=1)), source="api", actor=SHOP)
    assert (
        take_in(runtime, as_json(sample_order("W-1", seed=2)), source="api", actor=SHOP).outcome == "conflict"
    )
    assert count(runtime, PurchaseOrder) == 1


def test_of_many_at_the_same_time_one_is_new(runtime: Runtime) -> None:
    body = as_json(sample_order("W-1", seed=1))
    with ThreadPoolExecutor(6) as pool:
        receipts = list(pool.map(lambda _: take_in(runtime, body, source="api", actor=SHOP), range(12)))
    assert sorted(receipt.outcome for receipt in receipts) == ["known"] * 11 + ["new"]
    assert (count(runtime, PurchaseOrder), count(runtime, OrderStep)) == (1, 1)


def test_what_is_no_order_is_refused_and_nothing_is_kept(runtime: Runtime) -> None:
    with pytest.raises(InvalidInput):
        take_in(runtime, b'{"number": "W-1"}', source="api", actor=SHOP)
    assert count(runtime, PurchaseOrder) == 0


def test_without_the_bucket_nothing_is_half_done(portal_settings: Settings) -> None:
    settings = portal_settings.model_copy(update={"aws_endpoint_url": "http://127.0.0.1:9"})
    runtime = build_runtime(settings)
    with pytest.raises(Upstream):
        take_in(runtime, as_json(sample_order("W-1", seed=1)), source="api", actor=SHOP)
    assert count(runtime, PurchaseOrder) == 0
    runtime.database.dispose()
