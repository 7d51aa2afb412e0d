"""Each request has an id, one line in the log, and a measurement."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from sqlalchemy import select

from portal.logs import mask_secrets
from portal.metrics.models import MetricMinute
from portal.runtime import Runtime
from tests.web.portal import PASSWORD, Visitor


@pytest.fixture
def lines() -> Iterator[list[dict[str, Any]]]:
    """Collect what is logged, as it would be written."""
    found: list[dict[str, Any]] = []

    def keep(_logger: Any, _method: str, event: Any) -> Any:
        found.append(dict(event))
        raise structlog.DropEvent

    before = structlog.get_config()
    structlog.configure(processors=[structlog.contextvars.merge_contextvars, mask_secrets, keep])
    yield found
    structlog.configure(**before)


def requests(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [line for line in lines if line["event"] == "request"]


@pytest.mark.parametrize("given", ["4f1c2d3e-0000", "a" * 64, "job_1.2-3456"])
def test_a_sane_id_of_the_caller_is_kept(visitor: Visitor, given: str) -> None:
    assert visitor.get("/login", headers={"X-Request-ID": given}).headers["X-Request-ID"] == given


@pytest.mark.parametrize("given", ["", "short", "a" * 65, "evil id 1234", "<script>1234", "ñññññññññ"])
def test_any_other_id_is_replaced(visitor: Visitor, given: str) -> None:
    answer = visitor.get("/login", headers={"X-Request-ID": given})
    assert answer.headers["X-Request-ID"] != given
    assert len(answer.headers["X-Request-ID"]) == 36


def test_each_request_has_one_line_with_who_and_what(support: Visitor, lines: list[dict[str, Any]]) -> None:
    answer = support.get("/orders/A%20B?q=secret")
    (line,) = requests(lines)
    assert line["request_id"] == answer.headers["X-Request-ID"]
    assert (line["method"], line["path"], line["status"]) == ("GET", "/orders/A B", answer.status_code)
    assert (line["person"], line["order"]) == ("support", "A B")
    assert line["seconds"] >= 0
    assert "secret" not in json.dumps(line)


def test_a_login_leaves_no_password_in_the_log(visitor: Visitor, lines: list[dict[str, Any]]) -> None:
    visitor.log_in("support", "wrong horse battery")
    visitor.log_in("support")
    told = json.dumps(lines, default=str)
    assert PASSWORD not in told
    assert "horse" not in told
    cookie = visitor.get_cookie("session")
    assert cookie is not None
    assert cookie.value not in told


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
@pytest.mark.parametrize("path", ["/r/t0k3n", "//r/t0k3n", "/r//t0k3n", "/r/t0k3n/", "/r/a\nt0k3n"])
def test_a_link_leaves_no_token_in_the_log(
    visitor: Visitor, lines: list[dict[str, Any]], method: str, path: str
) -> None:
    visitor.open("/", method=method, environ_overrides={"PATH_INFO": path})
    (line,) = requests(lines)
    assert line["path"] == "/r/<token>"
    assert "t0k3n" not in json.dumps(lines, default=str)


def test_what_one_request_binds_is_gone_in_the_next(support: Visitor, lines: list[dict[str, Any]]) -> None:
    support.get("/orders/A")
    support.get("/password")
    assert "order" not in requests(lines)[-1]


def test_every_endpoint_is_measured(visitor: Visitor, runtime: Runtime) -> None:
    visitor.get("/login")
    visitor.get("/nothing")
    runtime.metrics.flush(runtime.transact, runtime.clock())
    with runtime.writer() as session:
        rows = session.scalars(select(MetricMinute).where(MetricMinute.name == "web.request_seconds"))
        assert {row.label for row in rows} >= {"access.log_in", "none"}
