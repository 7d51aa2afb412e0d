"""JSON is read strictly: what other readers guess at is refused."""

from __future__ import annotations

from decimal import Decimal

import pytest

from portal.errors import InvalidInput
from portal.orders.documents import load_formats, read_document
from portal.orders.documents.strict_json import parse_json

BAD = {
    "a key twice": (b'{"number": "1", "number": "2"}', "“number” stands twice"),
    "a key twice, once in disguise": (b'{"number": "1", "n\\u0075mber": "2"}', "“number” stands twice"),
    "a key twice, deep inside": (b'{"a": [{"b": {"c": 1, "c": 1}}]}', "“c” stands twice"),
    "NaN": (b'{"a": NaN}', "NaN is not a number"),
    "Infinity": (b'{"a": Infinity}', "Infinity is not a number"),
    "minus Infinity": (b'{"a": -Infinity}', "-Infinity is not a number"),
    "a nesting of 200,000": (b"[" * 200_000 + b"]" * 200_000, "nested too deeply"),
    "a nesting of 200,000 objects": (b'{"a":' * 200_000 + b"1" + b"}" * 200_000, "nested too deeply"),
    "a number of 9 million digits": (b'{"a": ' + b"9" * 9_000_000 + b"}", "9,000,000 characters"),
    "a fraction of 9 million digits": (b'{"a": 0.' + b"9" * 9_000_000 + b"}", "9,000,002 characters"),
    "a comma too many": (b'{"a": 1,}', "line 1, column"),
    "something after the end": (b'{"a": 1} {}', "extra data, line 1, column 10"),
    "single quotes": (b"{'a': 1}", "line 1, column 2"),
    "a raw line break in a text": (b'{"a": "b\nc"}', "invalid control character, line 1"),
    "no end": (b'{"a": [', "line 1"),
}


@pytest.mark.parametrize(("body", "reason"), BAD.values(), ids=BAD.keys())
def test_json_that_is_not_strict_is_refused(body: bytes, reason: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        read_document(body, load_formats())
    assert refused.value.code == "document-not-json"
    assert reason in refused.value.reason


@pytest.mark.parametrize("body", [b'{"a": "\xff"}', '{"a": 1}'.encode("utf-16"), '{"a": 1}'.encode("utf-32")])
def test_json_that_is_not_utf_8_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidInput) as refused:
        parse_json(body)
    assert refused.value.code == "document-encoding"


def test_a_number_with_a_point_is_read_from_its_text() -> None:
    content = parse_json(b'{"a": 0.1, "b": 1e400, "c": 12}')
    assert content == {"a": Decimal("0.1"), "b": Decimal("1e400"), "c": 12}


def test_a_mark_of_utf_8_is_let_pass() -> None:
    assert parse_json(b'\xef\xbb\xbf{"a": "\xc3\xa5"}') == {"a": "å"}
