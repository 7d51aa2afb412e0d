"""How outside HTTP systems are called: a total deadline, a cap on calls, a key that stays the same."""

import json
import time
from dataclasses import dataclass
from typing import Any

import urllib3
from urllib3.exceptions import ConnectTimeoutError, HTTPError, MaxRetryError, NewConnectionError

from portal.errors import Upstream

_MAX_ANSWER_BYTES = 1_000_000
_EXCERPT = 500
# Refused before the system looked at it, so it is safe and useful to try again later.
_RETRYABLE = frozenset({408, 425, 429})


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
        self._pool = urllib3.PoolManager(
            maxsize=max_calls, block=True, retries=False, timeout=urllib3.Timeout(connect=min(3.0, deadline))
        )

    def post(self, path: str, body: dict[str, Any], idempotency_key: str) -> Answer:
        """Cause an effect at most once for this key, however often it is called."""
        return self._request("POST", path, json.dumps(body, default=str).encode(), idempotency_key)

    def outcome(self, idempotency_key: str) -> Answer | None:
        """Ask what became of the call with this key; None when the system never carried it out."""
        try:
            return self._request("GET", f"/effects/{idempotency_key}", None, None)
        except Upstream as error:
            if error.status == 404:
                return None
            raise

    def _request(self, method: str, path: str, body: bytes | None, key: str | None) -> Answer:
        ends_at = time.monotonic() + self._deadline
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
                redirect=False,
                timeout=urllib3.Timeout(connect=min(3.0, self._deadline), total=self._deadline),
            )
            status, text = response.status, self._read(response, ends_at)
        except (HTTPError, OSError) as error:
            raise self._unanswered(error, method) from error
        return self._judge(status, text, method)

    def _read(self, response: urllib3.BaseHTTPResponse, ends_at: float) -> bytes:
        """Read the whole answer, but never past the deadline, however slowly it trickles in."""
        parts, size = [], 0
        for part in response.stream(65_536):
            parts.append(part)
            size += len(part)
            if size > _MAX_ANSWER_BYTES or time.monotonic() > ends_at:
                response.close()
                raise HTTPError("the answer was too long or too slow")
        response.release_conn()
        return b"".join(parts)

    def _unanswered(self, error: Exception, method: str) -> Upstream:
        cause = error.reason if isinstance(error, MaxRetryError) else error
        never_sent = isinstance(cause, (NewConnectionError, ConnectTimeoutError))
        return Upstream(
            f"{self.title} cannot be reached." if never_sent else f"{self.title} did not answer.",
            code=f"{self.name}-unreachable" if never_sent else f"{self.name}-no-answer",
            retryable=True,
            outcome_unknown=not never_sent and method == "POST",
            answer=f"{type(cause).__name__}: {cause}"[:_EXCERPT],
        )

    def _judge(self, status: int, text: bytes, method: str) -> Answer:
        excerpt = text[:_EXCERPT].decode("utf-8", "replace")
        try:
            body = json.loads(text)
        except ValueError:
            body = None
        if status < 300 and isinstance(body, dict):
            return Answer(status, body)
        if status >= 500 or status in _RETRYABLE or status < 400:
            reason = (
                f"answered {status}" if status >= 400 else "answered with something that is not its format"
            )
            raise Upstream(
                f"{self.title} {reason}.",
                code=f"{self.name}-{'error' if status >= 400 else 'garbage'}",
                retryable=True,
                outcome_unknown=method == "POST" and status not in _RETRYABLE,
                status=status,
                answer=excerpt,
            )
        problem = body if isinstance(body, dict) else {}
        detail = problem.get("detail") or problem.get("title") or f"status {status}"
        raise Upstream(
            f"{self.title} refused it: {detail}",
            code=f"{self.name}-{problem.get('code') or 'refused'}"[:64],
            retryable=False,
            status=status,
            answer=excerpt,
        )
