"""Every error becomes a page, a fragment or a problem document, and tells nothing of the inside."""

from __future__ import annotations

from pathlib import Path
from typing import NoReturn

import pytest
from flask import Flask
from werkzeug.test import TestResponse

from portal.errors import (
    Conflict,
    FieldError,
    Forbidden,
    InvalidInput,
    NotFound,
    TooManyRequests,
    Upstream,
    WaybillError,
)
from portal.settings import Settings
from portal.web.permissions import public
from tests.web.portal import Visitor, new_visitor, open_portal

RAISED: list[tuple[Exception, int, str]] = [
    (NotFound("There is no order A."), 404, "not-found"),
    (Conflict("Ada already pushed it.", code="already-pushed"), 409, "already-pushed"),
    (Forbidden("Not yours."), 403, "forbidden"),
    (InvalidInput("It is not a date.", field="from"), 422, "invalid-input"),
    (InvalidInput("It has an entity.", code="document-unsafe"), 400, "document-unsafe"),
    (InvalidInput("It is too large.", code="document-too-large"), 413, "document-too-large"),
    (TooManyRequests("Wait.", retry_after=7), 429, "too-many-requests"),
    (Upstream("SQS said: secret host", retryable=True, code="aws"), 503, "aws"),
    (ZeroDivisionError("secret"), 500, "internal-error"),
    (WaybillError("secret"), 500, "internal-error"),
]


def answer_to(app: Flask, error: Exception, prefix: str = "", **headers: str) -> TestResponse:
    def fail() -> NoReturn:
        raise error

    app.add_url_rule(f"{prefix}/fail", "fail", public(fail))
    return new_visitor(app).get(f"{prefix}/fail", headers=headers)


@pytest.mark.parametrize(("error", "status", "code"), RAISED)
def test_an_error_of_the_api_is_a_problem_document(
    app: Flask, error: Exception, status: int, code: str
) -> None:
    answer = answer_to(app, error, "/api")
    assert answer.status_code == status
    assert answer.mimetype == "application/problem+json"
    problem = answer.get_json()
    assert {"type", "title", "status", "detail", "code", "instance"} <= set(problem)
    assert (problem["status"], problem["code"], problem["instance"]) == (status, code, "/api/fail")
    assert "secret" not in answer.text


@pytest.mark.parametrize(("error", "status", "code"), RAISED)
def test_an_error_of_a_page_is_a_page(app: Flask, error: Exception, status: int, code: str) -> None:
    answer = answer_to(app, error)
    assert answer.status_code == status
    assert f"ERROR {status}" in answer.text
    assert answer.headers["X-Request-ID"] in answer.text
    assert "secret" not in answer.text


@pytest.mark.parametrize(("error", "status", "code"), RAISED)
def test_an_error_of_a_fragment_is_a_fragment(app: Flask, error: Exception, status: int, code: str) -> None:
    answer = answer_to(app, error, **{"HX-Request": "true"})
    assert answer.status_code == status
    assert "<html" not in answer.text
    assert "wb-notice" in answer.text
    assert "secret" not in answer.text


def test_a_refusal_names_all_fields(app: Flask) -> None:
    refused = [FieldError("number", "It is missing."), FieldError("lines[0].amount", "It is negative.")]
    answer = answer_to(app, InvalidInput.of(refused, code="order-invalid"), "/api")
    assert answer.get_json()["errors"] == [
        {"field": "number", "reason": "It is missing."},
        {"field": "lines[0].amount", "reason": "It is negative."},
    ]


def test_who_asks_too_often_is_told_when_to_ask_again(app: Flask) -> None:
    assert answer_to(app, TooManyRequests("Wait.", retry_after=7)).headers["Retry-After"] == "7"


def test_a_reason_is_shown_as_text(app: Flask) -> None:
    answer = answer_to(app, NotFound("There is no order <img onerror=x>."))
    assert "<img onerror" not in answer.text
    assert "&lt;img onerror" in answer.text


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/api/nothing", 404, "not-found"),
        ("DELETE", "/api/orders", 405, "method-not-allowed"),
        ("GET", "/nothing", 404, None),
        ("DELETE", "/login", 405, None),
    ],
)
def test_what_there_is_not_is_said_in_the_same_forms(
    visitor: Visitor, method: str, path: str, status: int, code: str | None
) -> None:
    answer = visitor.open(path, method=method)
    assert answer.status_code == status
    if code:
        assert answer.get_json()["code"] == code
    else:
        assert f"ERROR {status}" in answer.text
    if status == 405:
        assert "GET" in answer.headers["Allow"] or "POST" in answer.headers["Allow"]


def test_a_database_that_is_away_is_a_503_with_a_page(portal_settings: Settings) -> None:
    away = "mysql+pymysql://waybill:x@127.0.0.1:9/waybill"
    app = open_portal(
        portal_settings.model_copy(update={"database_writer_url": away, "database_reader_url": away})
    )
    visitor = new_visitor(app)
    visitor.set_cookie("session", "any")
    page = visitor.get("/")
    assert page.status_code == 503
    assert page.headers["Retry-After"] == "5"
    assert "ERROR 503" in page.text
    call = visitor.get("/api/orders/1", headers={"Authorization": "Bearer any"})
    assert (call.status_code, call.get_json()["code"]) == (503, "database-away")
    assert "127.0.0.1" not in page.text + call.text


def test_a_database_without_tables_is_a_503(portal_settings: Settings, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'empty.db'}"
    app = open_portal(
        portal_settings.model_copy(update={"database_writer_url": url, "database_reader_url": url})
    )
    visitor = new_visitor(app)
    visitor.set_cookie("session", "any")
    assert visitor.get("/").status_code == 503
