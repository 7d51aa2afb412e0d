"""Every error becomes a page, a fragment or a problem document (RFC 9457)."""

import http
import json

import structlog
from flask import Flask, Response, g, make_response, render_template, request
from flask_wtf.csrf import CSRFError
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from werkzeug.exceptions import HTTPException, InternalServerError

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
from portal.web.htmx import wants_fragment

log = structlog.get_logger()

_STATUS: dict[type[WaybillError], int] = {
    NotFound: 404,
    Conflict: 409,
    Forbidden: 403,
    InvalidInput: 422,
    TooManyRequests: 429,
    Upstream: 503,
}
# A document that cannot be parsed is no order at all; one that can, but breaks its rules, is 422.
_STATUS_OF_CODE = {
    "document-too-large": 413,
    "document-encoding": 400,
    "document-unsafe": 400,
    "document-not-xml": 400,
    "document-not-json": 400,
}
_RETRY_SECONDS = 5


def answer_errors(app: Flask) -> None:
    """Let every error that a request meets be answered here."""
    app.register_error_handler(Exception, _answer)


def error_response(
    status: int, code: str, reason: str | None, errors: list[FieldError] | None = None
) -> Response:
    """Say what went wrong, in the form that whoever asks can use."""
    if request.path.startswith(("/api/", "/health/")):
        return _problem(status, code, reason, errors or [])
    facts = {"status": status, "reason": reason, "request_id": g.get("request_id")}
    if wants_fragment():
        # 4xx are swapped in where the button was asked to put its answer.
        facts["reason"] = reason or http.HTTPStatus(status).phrase
        return make_response(render_template("errors/fragment.html", **facts), status)
    return make_response(render_template("errors/page.html", **facts), status)


def problem(
    status: int, code: str, reason: str | None, *, instance: str, request_id: str | None
) -> dict[str, object]:
    """Return a problem document (RFC 9457)."""
    phrase = http.HTTPStatus(status)
    return {
        "type": "about:blank",
        "title": phrase.phrase,
        "status": status,
        "detail": reason or phrase.description or phrase.phrase,
        "code": code,
        "instance": instance,
        "request_id": request_id,
    }


def is_database_away(error: Exception) -> bool:
    """Tell whether an error says that the database did not answer."""
    lost = isinstance(error, DBAPIError) and error.connection_invalidated
    return lost or isinstance(error, OperationalError | InterfaceError | PoolTimeout)


def _problem(status: int, code: str, reason: str | None, errors: list[FieldError]) -> Response:
    document = problem(status, code, reason, instance=request.path, request_id=g.get("request_id"))
    if errors:
        document["errors"] = [{"field": error.field, "reason": error.reason} for error in errors]
    return Response(json.dumps(document), status, mimetype="application/problem+json")


def _answer(error: Exception) -> Response:
    if isinstance(error, WaybillError) and isinstance(error, tuple(_STATUS)):
        return _answer_our_own(error)
    if isinstance(error, HTTPException) and not isinstance(error, InternalServerError):
        return _answer_http(error)
    if is_database_away(error):
        log.error("database away", error=str(error))
        return _later(error_response(503, "database-away", "The database does not answer right now."))
    log.error("request failed", exc_info=error)
    return error_response(500, "internal-error", None)


def _answer_our_own(error: WaybillError) -> Response:
    status = _STATUS_OF_CODE.get(error.code) or next(
        status for kind, status in _STATUS.items() if isinstance(error, kind)
    )
    if isinstance(error, Upstream):
        log.error("outside system away", code=error.code, error=error.reason)
        reason = "Something that Waybill needs does not answer right now. Nothing was changed."
        return _later(error_response(status, error.code, reason))
    fields = error.errors if isinstance(error, InvalidInput) else []
    response = error_response(status, error.code, error.reason, fields)
    if isinstance(error, TooManyRequests):
        response.headers["Retry-After"] = str(error.retry_after)
    return response


def _answer_http(error: HTTPException) -> Response:
    if error.response is not None or error.code is None or error.code < 400:
        return make_response(error.get_response())
    reason = error.description if error.description != type(error).description else None
    code = http.HTTPStatus(error.code).phrase.lower().replace(" ", "-")
    if isinstance(error, CSRFError):
        code, reason = "csrf", "This page is out of date. Load it again, then repeat what you did."
    response = error_response(error.code, code, reason)
    for name, value in error.get_headers():
        if name.lower() not in ("content-type", "content-length"):
            response.headers.add(name, value)
    return response


def _later(response: Response) -> Response:
    response.headers["Retry-After"] = str(_RETRY_SECONDS)
    return response
