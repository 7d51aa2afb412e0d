"""What the server answers: JSON, problem documents (RFC 9457), or nothing at all."""

from __future__ import annotations

import json
from decimal import Decimal
from http import HTTPStatus
from typing import Any, NamedTuple, NoReturn

MAX_BODY = 16 * 1024 * 1024

Headers = tuple[tuple[str, str], ...]


class Answer(NamedTuple):
    """An HTTP answer, complete."""

    status: int
    body: bytes
    content_type: str = "application/json"
    headers: Headers = ()


class Refused(Exception):
    """Say why a request is refused; `code` is for machines, `field` names the input to blame."""

    def __init__(self, status: int, code: str, detail: str, *, field: str | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.field = field


def invalid(field: str, detail: str) -> Refused:
    """Blame one field of the request, with status 400."""
    return Refused(400, "invalid-input", detail, field=field)


def problem(refusal: Refused) -> Answer:
    """Write a refusal as application/problem+json."""
    document: dict[str, Any] = {
        "type": "about:blank",
        "title": HTTPStatus(refusal.status).phrase,
        "status": refusal.status,
        "detail": refusal.detail,
        "code": refusal.code,
    }
    if refusal.field is not None:
        document["field"] = refusal.field
    return Answer(refusal.status, encode(document), "application/problem+json")


def encode(document: object) -> bytes:
    """Write JSON as compactly as it goes."""
    return _encoder.encode(document).encode()


def decode_object(body: bytes) -> dict[str, Any]:
    """Read a JSON object, with exact decimals; raise Refused for anything else."""
    try:
        document = _decoder.decode(body.decode())
    except (ValueError, RecursionError) as error:
        raise Refused(400, "invalid-json", f"The body is not JSON: {error}") from error
    if not isinstance(document, dict):
        raise Refused(400, "invalid-json", "The body must be a JSON object.")
    return document


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


# Made once: json.loads and json.dumps with options build a new coder at each call.
_decoder = json.JSONDecoder(parse_float=Decimal, parse_constant=_refuse_constant)
_encoder = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, default=str)
