"""How outside HTTP systems are called: a total deadline, a cap on calls, a key that stays the same."""

import http.client
import io
import json
import socket
import time
from dataclasses import dataclass
from typing import Any

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import (
    ConnectTimeoutError,
    EmptyPoolError,
    HTTPError,
    MaxRetryError,
    NewConnectionError,
)

from portal.errors import Upstream

_MAX_ANSWER_BYTES = 1_000_000
_PIECE_BYTES = 65_536
_EXCERPT = 500
# Refused before the system looked at it, so it is safe and useful to try again later.
_RETRYABLE = frozenset({408, 425, 429})
_NEVER_SENT = (NewConnectionError, ConnectTimeoutError, EmptyPoolError)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a system answered: the parsed JSON object, and the status it came with."""

    status: int
    body: dict[str, Any]


class HttpSystem:
    """One outside system that takes JSON over HTTP.

    Raises Upstream: `retryable` unless the system refused the request (4xx); `outcome_unknown` when the
    request may have had its effect although no usable answer came.
    """

    def __init__(self, name: str, title: str, url: str, *, deadline: float, max_calls: int) -> None:
        self.name = name
        self.title = title
        self._url = url.rstrip("/")
        self._deadline = deadline
        self._pool = urllib3.PoolManager(maxsize=max_calls, block=True, retries=False)
        self._pool.pool_classes_by_scheme = {"http": _PunctualPool, "https": _PunctualTlsPool}

    def post(self, path: str, body: dict[str, Any], idempotency_key: str) -> Answer:
        """Cause an effect at most once for this key, however often it is called."""
        return self._request("POST", path, json.dumps(body, default=str).encode(), idempotency_key)

    def ask(self, path: str, body: dict[str, Any]) -> Answer:
        """Ask what is too long for an address; it has no effect, so it may be asked again."""
        return self._request("POST", path, json.dumps(body).encode(), None)

    def outcome(self, idempotency_key: str) -> Answer | None:
        """Ask what became of the call with this key; None when the system never carried it out."""
        try:
            return self._request("GET", f"/effects/{idempotency_key}", None, None)
        except Upstream as error:
            if error.status == 404:
                return None
            if error.retryable:
                raise
            # The question was refused, which says nothing of the call that it asks for.
            raise Upstream(
                f"{self.title} does not tell what became of an earlier attempt. {error.reason}",
                code=f"{self.name}-untold",
                retryable=True,
                outcome_unknown=True,
                status=error.status,
                answer=error.answer,
            ) from error

    def _request(self, method: str, path: str, body: bytes | None, key: str | None) -> Answer:
        headers = {"Accept": "application/json"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        if key is not None:
            headers["Idempotency-Key"] = key
        try:
            response = self._pool.request(
                method,
                self._url + path,
                body=body,
                headers=headers,
                preload_content=False,
                decode_content=False,
                redirect=False,
                pool_timeout=self._deadline,
                timeout=urllib3.Timeout(connect=min(3.0, self._deadline), total=self._deadline),
            )
            status, text = response.status, _read(response)
        except (HTTPError, OSError) as error:
            raise self._unanswered(error, has_effect=key is not None) from error
        return self._judge(status, text, has_effect=key is not None)

    def _unanswered(self, error: Exception, *, has_effect: bool) -> Upstream:
        cause = error.reason if isinstance(error, MaxRetryError) else error
        never_sent = isinstance(cause, _NEVER_SENT)
        return Upstream(
            f"{self.title} cannot be reached." if never_sent else f"{self.title} did not answer.",
            code=f"{self.name}-unreachable" if never_sent else f"{self.name}-no-answer",
            retryable=True,
            outcome_unknown=not never_sent and has_effect,
            answer=f"{type(cause).__name__}: {cause}"[:_EXCERPT],
        )

    def _judge(self, status: int, text: bytes, *, has_effect: bool) -> Answer:
        excerpt = text[:_EXCERPT].decode("utf-8", "replace")
        body = _json_object(text)
        if status < 300 and body is not None:
            return Answer(status, body)
        if status >= 500 or status in _RETRYABLE or status < 400:
            reason = (
                f"answered {status}" if status >= 400 else "answered with something that is not its format"
            )
            raise Upstream(
                f"{self.title} {reason}.",
                code=f"{self.name}-{'error' if status >= 400 else 'garbage'}",
                retryable=True,
                outcome_unknown=has_effect and status not in _RETRYABLE,
                status=status,
                answer=excerpt,
            )
        problem = body or {}
        detail = str(problem.get("detail") or problem.get("title") or f"status {status}")[:_EXCERPT]
        raise Upstream(
            f"{self.title} refused it: {detail}",
            code=f"{self.name}-{problem.get('code') or 'refused'}"[:64],
            retryable=False,
            status=status,
            answer=excerpt,
        )


def _read(response: urllib3.BaseHTTPResponse) -> bytes:
    text = b""
    try:
        while part := response.read1(_PIECE_BYTES):
            text += part
            if len(text) > _MAX_ANSWER_BYTES:
                raise HTTPError("the answer was too long")
    except BaseException:
        response.close()
        raise
    finally:
        # Also a closed connection goes back: it is one of the few places for calls at the same time.
        response.release_conn()
    return text


def _json_object(text: bytes) -> dict[str, Any] | None:
    """Return a JSON object (RFC 8259: no NaN), or None when the text is anything else."""
    try:
        found = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


class _PunctualStream(io.RawIOBase):
    """Reads from a socket with its timeout as the time for all that is read, not for each piece."""

    def __init__(self, source: socket.socket) -> None:
        self._socket = source
        self._stream = source.makefile("rb", buffering=0)
        self._ends_at = time.monotonic() + (source.gettimeout() or 0.0)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left = self._ends_at - time.monotonic()
        if left <= 0:
            raise TimeoutError("the answer took too long")
        self._socket.settimeout(left)
        return self._stream.readinto(buffer)

    def close(self) -> None:
        self._stream.close()
        super().close()


class _PunctualResponse(http.client.HTTPResponse):
    """An answer that is there in time or not at all, even when it trickles in byte by byte."""

    def __init__(self, sock: socket.socket, *arguments: Any, **options: Any) -> None:
        super().__init__(sock, *arguments, **options)
        self.fp.close()
        self.fp = io.BufferedReader(_PunctualStream(sock))


class _PunctualConnection(HTTPConnection):
    response_class = _PunctualResponse


class _PunctualTlsConnection(HTTPSConnection):
    response_class = _PunctualResponse


class _PunctualPool(urllib3.HTTPConnectionPool):
    ConnectionCls = _PunctualConnection


class _PunctualTlsPool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _PunctualTlsConnection
