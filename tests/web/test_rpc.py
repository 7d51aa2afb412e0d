"""`POST /rpc` over HTTP: who may call, what is refused before it is read, and what goes wrong inside."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from flask import Flask
from sqlalchemy.exc import OperationalError
from werkzeug.test import Client

from portal.access import service
from portal.app import create_app
from portal.crypto import token_hash
from portal.errors import Conflict, NotFound, TooManyRequests, Upstream
from portal.events import Actor
from portal.jsonrpc import Caller, Example, Method, Methods, NoParams
from portal.runtime import Runtime
from portal.settings import Settings
from portal.web.rpc import LARGEST_BODY, RpcEndpoint
from tests.servers.urls import Urls
from tests.web.portal import runtime_of, settings_for

OPERATOR = Actor("person", "shell:operator")
PING = {"jsonrpc": "2.0", "method": "_DEFAULT.Ping", "id": 1}


@dataclass
class Shop:
    """A client of the API, by default one that may not administer."""

    app: Flask
    key: str = "shop-key"

    def post(self, body: Any, **more: Any) -> Any:
        headers = {"Authorization": f"Bearer {self.key}"} | more.pop("headers", {})
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        more = {"content_type": "application/json"} | more
        return self.app.test_client().post("/rpc", data=data, headers=headers, **more)

    def call(self, name: str, params: Any = None, **more: Any) -> Any:
        request = {"jsonrpc": "2.0", "method": name, "id": 1} | (
            {"params": params} if params is not None else {}
        )
        answer = self.post(request, **more)
        assert answer.status_code == 200, answer.text
        return answer.json


@pytest.fixture
def app(migrated_urls: Urls) -> Iterator[Flask]:
    made = create_app(settings_for(Urls(migrated_urls.writer, migrated_urls.writer)))
    runtime = runtime_of(made)
    with runtime.writer() as session:
        for name in ("shop", "admin"):
            service.create_api_client(
                session,
                name=name,
                key_hash=token_hash(f"{name}-key"),
                may_administer=name == "admin",
                actor=OPERATOR,
                now=runtime.clock(),
            )
    yield made
    runtime.database.dispose()


@pytest.fixture
def shop(app: Flask) -> Shop:
    return Shop(app)


def test_a_client_with_its_key_is_answered(shop: Shop) -> None:
    answer = shop.post(PING, headers={"X-Request-ID": "my-request-7"})
    assert (answer.status_code, answer.json) == (200, {"jsonrpc": "2.0", "result": "pong", "id": 1})
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["X-Request-ID"] == "my-request-7"


@pytest.mark.parametrize(
    "headers", [{"Authorization": ""}, {"Authorization": "Bearer other"}, {"Authorization": "Basic shop-key"}]
)
def test_without_a_known_key_nothing_is_answered(shop: Shop, headers: dict[str, str]) -> None:
    answer = shop.post(PING, headers=headers)
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"].startswith('Bearer realm="waybill"')
    assert answer.json["code"] == "unauthorized"


def test_a_key_that_was_disabled_opens_nothing_a_second_later(app: Flask, shop: Shop) -> None:
    runtime, times = runtime_of(app), [100.0]
    runtime.monotonic = lambda: times[0]
    assert shop.call("_default.ping")["result"] == "pong"
    with runtime.writer() as session:
        service.disable_api_client(session, "shop", actor=OPERATOR, now=runtime.clock())
    times[0] += 1.0
    assert shop.post(PING).status_code == 401


def test_notifications_alone_are_answered_with_nothing(shop: Shop) -> None:
    for body in ({"jsonrpc": "2.0", "method": "_default.ping"}, [{"jsonrpc": "2.0", "method": "x"}]):
        answer = shop.post(body)
        assert (answer.status_code, answer.data) == (204, b"")


def test_a_batch_is_answered_call_by_call(shop: Shop) -> None:
    told = shop.post([PING, PING | {"method": "x", "id": 2}, {"jsonrpc": "2.0", "method": "x"}]).json
    assert told == [
        {"jsonrpc": "2.0", "result": "pong", "id": 1},
        {"jsonrpc": "2.0", "error": {"code": -32601, "message": "Method not found"}, "id": 2},
    ]


def test_what_is_no_call_in_json_is_refused_before_it_is_read(shop: Shop) -> None:
    assert shop.post(b"x" * (LARGEST_BODY + 1)).status_code == 413
    assert shop.post(PING, content_type="text/plain").status_code == 415
    assert shop.post(PING, content_type="application/x-www-form-urlencoded").status_code == 415
    assert shop.post(PING, headers={"Content-Encoding": "gzip"}).status_code == 415
    got = shop.app.test_client().get("/rpc")
    assert (got.status_code, got.headers["Allow"]) == (405, "POST")


def test_a_body_of_unknown_length_is_read_to_its_limit(app: Flask, shop: Shop) -> None:
    def post(body: bytes) -> int:
        answer = Client(app).post(
            "/rpc",
            input_stream=io.BytesIO(body),
            headers={"Authorization": "Bearer shop-key", "Content-Type": "application/json"},
            environ_overrides={"wsgi.input_terminated": True},
        )
        return answer.status_code

    assert post(json.dumps(PING).encode()) == 200
    assert post(b" " * (LARGEST_BODY + 1)) == 413


def test_a_body_of_the_largest_size_and_a_deep_one_are_answered(shop: Shop) -> None:
    padded = json.dumps(PING).encode().ljust(LARGEST_BODY)
    assert shop.post(padded).json["result"] == "pong"
    deep = shop.post(b"[" * 200_000)
    assert (deep.status_code, deep.json["error"]["code"]) == (200, -32700)


def test_administrators_methods_are_for_clients_that_may_administer(app: Flask, shop: Shop) -> None:
    reward = {"name": "ten", "amount": "10.00"}
    refused = shop.call("referrals.createreward", reward)
    assert refused["error"]["code"] == -32003
    created = Shop(app, "admin-key").call("referrals.createreward", reward)
    assert created["result"]["amount"] == "10.00"
    with runtime_of(app).reader() as session:
        assert session.connection().exec_driver_sql("SELECT actor_kind, actor FROM event").all()[-1] == (
            "client",
            "admin",
        )


def raising(error: Exception) -> Method:
    def fail(_caller: Caller, _params: NoParams) -> str:
        raise error

    return Method(type(error).__name__, NoParams, str, fail, Example({}, ""))


FAILING = [
    (NotFound("There is no scheme 7."), -32001, "There is no scheme 7.", {"code": "not-found"}),
    (Conflict("Late.", code="scheme-changed"), -32002, "Late.", {"code": "scheme-changed"}),
    (TooManyRequests("Wait.", retry_after=3), -32004, "Wait.", {"code": "too-many-requests"}),
    (
        Upstream("ana@example.com was refused.", retryable=True),
        -32005,
        "Something that Waybill needs does not answer right now.",
        {"code": "upstream"},
    ),
    (
        OperationalError("SELECT secret", {}, Exception("gone")),
        -32000,
        "The database does not answer right now.",
        None,
    ),
    (ZeroDivisionError("secret"), -32603, "Internal error", None),
]


@pytest.mark.parametrize(("error", "code", "message", "data"), FAILING, ids=lambda value: str(value)[:20])
def test_what_goes_wrong_in_one_call_is_told_and_the_others_are_answered(
    app: Flask, shop: Shop, error: Exception, code: int, message: str, data: dict[str, str] | None
) -> None:
    runtime: Runtime = runtime_of(app)
    ping = Method("_default.ping", NoParams, str, lambda *_: "pong", Example({}, "pong"))
    app.wsgi_app = RpcEndpoint(app.wsgi_app, runtime, Methods([raising(error), ping]))  # type: ignore[method-assign]
    told = shop.post([PING | {"method": type(error).__name__, "id": 2}, PING]).json
    expected = {"code": code, "message": message} | ({"data": data} if data else {})
    assert told[0] == {"jsonrpc": "2.0", "error": expected, "id": 2}
    assert told[1]["result"] == "pong"


def test_calls_are_measured_by_method(app: Flask, shop: Shop) -> None:
    shop.call("_DEFAULT.PING")
    runtime = runtime_of(app)
    runtime.metrics.flush(runtime.transact, runtime.clock())
    with runtime.reader() as session:
        rows = session.connection().exec_driver_sql("SELECT label, count FROM metric_minute")
        assert ("_default.ping", 1) in [tuple(row) for row in rows]


def test_a_database_that_is_away_is_told_to_come_back(portal_settings: Settings, tmp_path: Any) -> None:
    away = portal_settings.model_copy(
        update={"database_writer_url": "mysql+pymysql://nobody@127.0.0.1:9/none", "database_reader_url": ""}
    )
    answer = Shop(create_app(away)).post(PING)
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")


def test_all_else_is_answered_by_the_rest(app: Flask) -> None:
    assert app.test_client().get("/login").status_code == 200
    assert app.test_client().post("/rpc/", data=b"{}").status_code == 404
