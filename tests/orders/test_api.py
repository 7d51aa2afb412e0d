"""The API takes orders in once, refuses what is none by problem documents, and tells how far an order is."""

from __future__ import annotations

import json
from functools import partial
from urllib.parse import quote

import pytest
from flask import Flask
from sqlalchemy import func, select, update
from werkzeug.test import TestResponse

from portal.access import service
from portal.crypto import token_hash
from portal.db import migrate
from portal.events import Actor
from portal.orders.canonical import order_schema
from portal.orders.intake import take_in
from portal.orders.models import OrderStep, PurchaseOrder
from portal.runtime import Runtime
from portal.settings import Settings
from sandbox.provision import provision
from sandbox.samples import as_json, sample_order
from sandbox.ubl import as_ubl
from tests.servers.mariadb import Cluster
from tests.servers.urls import Urls
from tests.web.portal import OPERATOR, Visitor, new_visitor, open_portal, runtime_of, settings_for

KEY = "the key of the shop"
JSON, XML = "application/json", "application/xml"


def settings_with_aws(urls: Urls, endpoint: str, account: str) -> Settings:
    settings = settings_for(
        urls,
        AWS_ENDPOINT_URL=endpoint,
        AWS_ACCESS_KEY_ID=account,
        ORDERS_BUCKET=f"orders-in-{account}",
        ORIGINALS_BUCKET=f"originals-{account}",
    )
    provision(settings)
    return settings


def add_client(runtime: Runtime, name: str = "shop", key: str = KEY) -> None:
    create = partial(
        service.create_api_client, name=name, key_hash=token_hash(key), actor=OPERATOR, now=runtime.clock()
    )
    runtime.transact(create)


@pytest.fixture
def portal_settings(migrated_urls: Urls, aws_endpoint: str, aws_account: str) -> Settings:
    return settings_with_aws(Urls(migrated_urls.writer, migrated_urls.writer), aws_endpoint, aws_account)


@pytest.fixture
def shop(app: Flask, runtime: Runtime) -> Visitor:
    """Give a client of the API."""
    add_client(runtime)
    return client_of(app)


def client_of(app: Flask, key: str = KEY) -> Visitor:
    visitor = new_visitor(app)
    visitor.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {key}"
    return visitor


def hand_over(shop: Visitor, body: bytes, kind: str = JSON) -> TestResponse:
    return shop.post("/api/orders", data=body, content_type=kind)


def orders(runtime: Runtime) -> int:
    with runtime.writer() as session:
        return session.scalar(select(func.count()).select_from(PurchaseOrder)) or 0


@pytest.mark.parametrize(
    "kind",
    [XML, "text/xml", "application/ubl+xml", f"{XML}; charset=utf-8", JSON, "application/x+json"],
)
def test_a_new_order_is_accepted_with_its_address(shop: Visitor, runtime: Runtime, kind: str) -> None:
    order = sample_order("W-1", seed=1)
    answer = hand_over(shop, as_json(order) if "json" in kind else as_ubl(order), kind)
    assert answer.status_code == 202, answer.text
    assert answer.headers["Location"] == "/api/orders/W-1"
    assert answer.get_json() == {"number": "W-1", "outcome": "new", "address": "/api/orders/W-1"}
    assert orders(runtime) == 1


def test_the_same_order_again_is_answered_as_known(shop: Visitor, runtime: Runtime) -> None:
    order = sample_order("W-1", seed=1)
    hand_over(shop, as_json(order))
    answer = hand_over(shop, as_ubl(order), XML)
    assert (answer.status_code, answer.headers["Location"]) == (200, "/api/orders/W-1")
    assert orders(runtime) == 1


def test_another_order_of_the_same_number_is_refused(shop: Visitor, runtime: Runtime) -> None:
    hand_over(shop, as_json(sample_order("W-1", seed=1)))
    answer = hand_over(shop, as_json(sample_order("W-1", seed=2)))
    assert (answer.status_code, answer.get_json()["code"]) == (409, "order-differs")
    assert orders(runtime) == 1


@pytest.mark.parametrize(
    ("body", "kind", "status", "code"),
    [
        (b"{", JSON, 400, "document-not-json"),
        (b"[]", JSON, 422, "document-unknown-format"),
        (b"<Order", XML, 400, "document-not-xml"),
        (b"<Order/>", XML, 422, "document-unknown-format"),
        (b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>', XML, 400, "document-unsafe"),
        (b"<a>\xff</a>", XML, 400, "document-encoding"),
        (b"<a/>", JSON, 400, "bad-request"),
        (b"{}", XML, 400, "bad-request"),
        (b"", XML, 400, "document-not-xml"),
        (b"{}", "text/plain", 415, "unsupported-media-type"),
        (b"{}", "", 415, "unsupported-media-type"),
        (b"number=1", "application/x-www-form-urlencoded", 415, "unsupported-media-type"),
        (b"x" * 20_001, XML, 413, "request-entity-too-large"),
    ],
)
def test_what_is_no_order_is_refused_by_a_problem_document(
    portal_settings: Settings, body: bytes, kind: str, status: int, code: str
) -> None:
    app = open_portal(portal_settings.model_copy(update={"max_document_bytes": 20_000}))
    add_client(runtime_of(app))
    answer = hand_over(client_of(app), body, kind)
    assert (answer.status_code, answer.get_json()["code"]) == (status, code), answer.text
    assert answer.mimetype == "application/problem+json"
    assert orders(runtime_of(app)) == 0


def test_every_refused_field_is_named(shop: Visitor) -> None:
    order = sample_order("W-1", seed=1) | {"number": "", "currency": "kr", "surprise": 1}
    answer = hand_over(shop, as_json(order))
    assert answer.status_code == 422
    problem = answer.get_json()
    assert problem["code"] == "order-invalid"
    assert {error["field"] for error in problem["errors"]} == {"number", "currency", "surprise"}


def test_a_compressed_body_is_refused(shop: Visitor) -> None:
    answer = shop.post(
        "/api/orders", data=b"\x1f\x8b", content_type=JSON, headers={"Content-Encoding": "gzip"}
    )
    assert answer.status_code == 415


def test_without_the_bucket_the_client_is_told_to_come_back(portal_settings: Settings) -> None:
    app = open_portal(portal_settings.model_copy(update={"aws_endpoint_url": "http://127.0.0.1:9"}))
    add_client(runtime_of(app))
    answer = hand_over(client_of(app), as_json(sample_order("W-1", seed=1)))
    assert answer.status_code == 503
    assert answer.headers["Retry-After"] == "5"
    assert orders(runtime_of(app)) == 0


def test_a_client_that_asks_too_often_is_told_to_wait(portal_settings: Settings) -> None:
    app = open_portal(portal_settings.model_copy(update={"api_requests_per_minute": 2}))
    runtime = runtime_of(app)
    now = runtime.clock().replace(second=20)
    runtime.clock = lambda: now
    add_client(runtime)
    add_client(runtime, "other", "another key")
    answers = [client_of(app).get("/api/orders/none") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [404, 404, 429]
    assert answers[-1].headers["Retry-After"] == "40"
    assert answers[-1].get_json()["code"] == "rate-limited"
    assert client_of(app, "another key").get("/api/orders/none").status_code == 404


def test_a_disabled_client_is_refused(shop: Visitor, runtime: Runtime) -> None:
    runtime.transact(partial(service.disable_api_client, name="shop", actor=OPERATOR, now=runtime.clock()))
    answer = shop.get("/api/orders/none")
    assert answer.status_code == 401
    assert "error=invalid_token" in answer.headers["WWW-Authenticate"]


def test_an_order_tells_how_far_it_is(shop: Visitor) -> None:
    hand_over(shop, as_json(sample_order("W-1", seed=1)))
    told = shop.get("/api/orders/W-1").get_json()
    assert (told["number"], told["status"], told["completed_at"]) == ("W-1", "processing", None)
    assert told["received_at"].endswith("Z")
    (step,) = told["steps"]
    assert (step["state"], step["attempts"], step["code"]) == ("due", 0, None)
    (entry,) = told["timeline"]
    assert (entry["kind"], entry["by"]) == ("order.received", "client")


def test_no_personal_data_is_told(shop: Visitor, runtime: Runtime) -> None:
    order = sample_order("W-1", seed=3)
    hand_over(shop, as_json(order))
    with runtime.writer() as session:
        session.execute(
            update(OrderStep).values(
                reason="The mail to rosa@example.com was refused.", result={"to": "rosa@example.com"}
            )
        )
    text = shop.get("/api/orders/W-1").text
    for secret in ("rosa@example.com", *(str(value) for value in order["customer"].values())):
        assert secret not in text


@pytest.mark.parametrize("number", ["A/B", "a b", "ñ長", "50%", "~2F", "//x", "A?b#c"])
def test_an_order_of_any_number_has_an_address(shop: Visitor, number: str) -> None:
    answer = hand_over(shop, as_json(sample_order(number, seed=1)))
    assert shop.get(answer.headers["Location"]).get_json()["number"] == number
    assert shop.get(f"/api/orders/{quote(number, safe='')}").get_json()["number"] == number


def test_an_unknown_order_is_not_found(shop: Visitor) -> None:
    answer = shop.get("/api/orders/none")
    assert (answer.status_code, answer.get_json()["code"]) == (404, "not-found")


def test_an_order_is_told_at_once_although_the_replica_lags(
    own_mariadb: Cluster, aws_endpoint: str, aws_account: str
) -> None:
    name = own_mariadb.create_database("lagging")
    urls = Urls(own_mariadb.writer_url(name), own_mariadb.reader_url(name))
    migrate(urls.writer)
    own_mariadb.wait_until_caught_up()
    app = open_portal(settings_with_aws(urls, aws_endpoint, aws_account))
    add_client(runtime_of(app))
    own_mariadb.lag(30)
    body = as_json(sample_order("W-1", seed=1))
    take_in(runtime_of(app), body, source="api", actor=Actor("client", "shop"))
    assert client_of(app).get("/api/orders/W-1").status_code == 200
    runtime_of(app).database.dispose()


def test_the_schema_is_public_and_need_not_be_fetched_twice(visitor: Visitor) -> None:
    answer = visitor.get("/api/schemas/order.json")
    assert json.loads(answer.text) == order_schema()
    assert "public" in answer.headers["Cache-Control"]
    again = visitor.get("/api/schemas/order.json", headers={"If-None-Match": answer.headers["ETag"]})
    assert (again.status_code, again.text) == (304, "")
