"""`POST /rpc`: JSON-RPC 2.0 over HTTP, answered before Flask: most calls of the portal come this way."""

import json
import re
from collections.abc import Callable, Iterable
from functools import partial
from http import HTTPStatus
from typing import Any

import structlog
from sqlalchemy.exc import SQLAlchemyError
from structlog.contextvars import bind_contextvars, clear_contextvars

from portal import jsonrpc
from portal.access.queries import KnownClient, find_client
from portal.crypto import token_hash
from portal.errors import (
    Conflict,
    Forbidden,
    InvalidInput,
    NotFound,
    TooManyRequests,
    Upstream,
    WaybillError,
)
from portal.events import Actor
from portal.jsonrpc import INTERNAL_ERROR, Caller, Methods, RpcError
from portal.runtime import Runtime
from portal.web.errors import is_database_away, problem

log = structlog.get_logger()

PATH = "/rpc"
LARGEST_BODY = 1_000_000
KEY_KEPT_SECONDS = 1.0
_MOST_KEYS = 1_000
_JSON = ("application/json", "application/json-rpc", "application/jsonrequest")
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{8,64}")

DATABASE_AWAY = -32000
CODES: dict[type[WaybillError], int] = {
    NotFound: -32001,
    Conflict: -32002,
    Forbidden: -32003,
    TooManyRequests: -32004,
    Upstream: -32005,
}

_AWAY = "Something that Waybill needs does not answer right now."

Environ = dict[str, Any]
StartResponse = Callable[..., Any]
Application = Callable[[Environ, StartResponse], Iterable[bytes]]


def error_codes() -> dict[int, str]:
    """Return what each error code of our own means."""
    return {
        DATABASE_AWAY: "The database does not answer right now; the call may be sent again.",
        CODES[NotFound]: "There is no such thing.",
        CODES[Conflict]: "Somebody was first, or the state does not allow it.",
        CODES[Forbidden]: "This client may not do this.",
        CODES[TooManyRequests]: "Asked for too often.",
        CODES[Upstream]: "Something that Waybill needs does not answer right now.",
    }


class Refused(Exception):
    """Say that a request is refused before it is looked into."""

    def __init__(self, status: int, reason: str, **headers: str) -> None:
        super().__init__(status, reason)
        self.status = status
        self.reason = reason
        self.headers = [(name.replace("_", "-"), value) for name, value in headers.items()]


class RpcEndpoint:
    """A WSGI application that answers `/rpc` itself and leaves all else to the `rest`."""

    def __init__(self, rest: Application, runtime: Runtime, methods: Methods) -> None:
        self._rest = rest
        self._runtime = runtime
        self._methods = methods
        self._keys: dict[str, tuple[float, KnownClient | None]] = {}

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        if environ.get("PATH_INFO") != PATH:
            return self._rest(environ, start_response)
        given = environ.get("HTTP_X_REQUEST_ID", "")
        request_id = given if _REQUEST_ID.fullmatch(given) else self._runtime.new_id()
        clear_contextvars()
        bind_contextvars(request_id=request_id)
        try:
            told = self._answer(environ)
        except Refused as refused:
            return _refuse(start_response, refused, request_id)
        headers = [*_HEADERS, ("X-Request-ID", request_id)]
        if told is None:
            start_response("204 No Content", headers)
            return []
        headers += [("Content-Type", "application/json"), ("Content-Length", str(len(told)))]
        start_response("200 OK", headers)
        return [told]

    def _answer(self, environ: Environ) -> bytes | None:
        if environ["REQUEST_METHOD"] != "POST":
            raise Refused(405, "Send calls by POST.", Allow="POST")
        client = self._admit(environ.get("HTTP_AUTHORIZATION", ""))
        caller = Caller(self._runtime, Actor("client", client.name), client.may_administer)
        return jsonrpc.answer(_read_body(environ), partial(self._call, caller))

    def _admit(self, authorization: str) -> KnownClient:
        scheme, _, key = authorization.partition(" ")
        if scheme.lower() != "bearer" or not key.strip():
            raise Refused(
                401,
                "Send the key of an API client: Authorization: Bearer KEY.",
                WWW_Authenticate='Bearer realm="waybill"',
            )
        client = self._find_client(token_hash(key.strip()))
        if client is None:
            raise Refused(
                401,
                "This key is not known, or is no longer valid.",
                WWW_Authenticate='Bearer realm="waybill", error="invalid_token"',
            )
        return client

    def _find_client(self, key_hash: str) -> KnownClient | None:
        now = self._runtime.monotonic()
        at, client = self._keys.get(key_hash, (float("-inf"), None))
        if at > now - KEY_KEPT_SECONDS:
            return client
        try:
            with self._runtime.newest() as session:
                client = find_client(session, key_hash)
        except SQLAlchemyError as error:
            raise Refused(503, _note(error)[1], Retry_After="5") from None
        if len(self._keys) >= _MOST_KEYS:
            self._keys.clear()
        self._keys[key_hash] = (now, client)
        return client

    def _call(self, caller: Caller, name: str, params: list[Any] | dict[str, Any] | None) -> bytes:
        method = self._methods.find(name)
        if method.administrates and not caller.may_administer:
            raise RpcError(CODES[Forbidden], "This client may not administer.", {"code": "forbidden"})
        began = self._runtime.monotonic()
        try:
            return method.call(caller, params)
        except RpcError:
            raise
        except InvalidInput as error:
            raise jsonrpc.of_invalid_input(error) from None
        except WaybillError as error:
            reason = _AWAY if isinstance(error, Upstream) else error.reason
            raise RpcError(CODES.get(type(error), INTERNAL_ERROR), reason, {"code": error.code}) from None
        except Exception as error:  # noqa: BLE001 - the other calls of a batch are answered all the same
            code, reason = _note(error, method=method.name)
            raise RpcError(code, reason) from None
        finally:
            seconds = self._runtime.monotonic() - began
            self._runtime.metrics.timing("rpc.call_seconds", seconds, method.name)


_HEADERS = [("Cache-Control", "no-store"), ("X-Content-Type-Options", "nosniff")]


def _note(error: Exception, **facts: str) -> tuple[int, str]:
    """Log what nobody meant to happen, and return the code and the reason that a client is given."""
    if is_database_away(error):
        log.error("database away", error=str(error), **facts)
        return DATABASE_AWAY, "The database does not answer right now."
    log.error("call failed", exc_info=error, **facts)
    return INTERNAL_ERROR, "Internal error"


def _read_body(environ: Environ) -> bytes:
    kind = environ.get("CONTENT_TYPE", "").partition(";")[0].strip().lower()
    if kind not in _JSON:
        raise Refused(415, "Send a call as application/json.")
    if environ.get("HTTP_CONTENT_ENCODING", "identity").lower() != "identity":
        raise Refused(415, "Send the body without compression.")
    declared = environ.get("CONTENT_LENGTH") or ""
    length = int(declared) if declared.isascii() and declared.isdigit() else None
    if length is None and not environ.get("wsgi.input_terminated"):
        raise Refused(411, "Say how long the body is.")
    wanted = LARGEST_BODY + 1 if length is None else length
    if wanted > LARGEST_BODY and length is not None:
        raise Refused(413, f"A body has at most {LARGEST_BODY:,} bytes here.")
    body: bytes = environ["wsgi.input"].read(wanted)
    if len(body) > LARGEST_BODY:
        raise Refused(413, f"A body has at most {LARGEST_BODY:,} bytes here.")
    return body


def _refuse(start_response: StartResponse, refused: Refused, request_id: str) -> Iterable[bytes]:
    status = HTTPStatus(refused.status)
    code = status.phrase.lower().replace(" ", "-")
    document = problem(refused.status, code, refused.reason, instance=PATH, request_id=request_id)
    body = json.dumps(document).encode()
    kind = [("Content-Type", "application/problem+json"), ("Content-Length", str(len(body)))]
    headers = [*_HEADERS, *refused.headers, *kind, ("X-Request-ID", request_id)]
    start_response(f"{refused.status} {status.phrase}", headers)
    return [body]
