"""Parse JSON from strangers: no duplicate keys, no NaN, no float, nothing endless."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any, Final

from portal.errors import InvalidInput
from portal.orders.values import shown

LONGEST_NUMBER: Final = 64


def parse_json(body: bytes) -> object:
    """Parse strict JSON (RFC 8259) in UTF-8; every number with a point is a Decimal of its text.

    Raises InvalidInput, code `document-not-json` or `document-encoding`.
    """
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as refused:
        raise InvalidInput(
            f"Byte {refused.start:,} of the document is not valid UTF-8.", code="document-encoding"
        ) from None
    try:
        content: object = json.loads(
            text,
            object_pairs_hook=_object,
            parse_float=_decimal,
            parse_int=_integer,
            parse_constant=_no_constant,
        )
        return content
    except RecursionError:
        raise _not_json("it is nested too deeply") from None
    except json.JSONDecodeError as refused:
        place = f"line {refused.lineno}, column {refused.colno}"
        raise _not_json(f"{refused.msg.removesuffix(' at').lower()}, {place}") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise _not_json(f"the key {shown(twice)} stands twice in one object")
    return content


def _decimal(text: str) -> Decimal:
    return Decimal(_of_bearable_length(text))


def _integer(text: str) -> int:
    return int(_of_bearable_length(text))


def _of_bearable_length(text: str) -> str:
    if len(text) > LONGEST_NUMBER:
        raise _not_json(f"a number has {len(text):,} characters")
    return text


def _no_constant(name: str) -> None:
    raise _not_json(f"{name} is not a number of JSON")


def _not_json(reason: str) -> InvalidInput:
    return InvalidInput(f"The document is not strict JSON: {reason}.", code="document-not-json")
