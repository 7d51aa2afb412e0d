"""A document is recognised, read, or refused in words that name what is wrong."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portal.errors import InvalidInput
from portal.orders.canonical import Order, canonical_json, content_hash
from portal.orders.documents import load_formats, read_document
from tests.orders.documents.ubl import ubl_order
from tests.orders.orders import orders

FORMATS = load_formats()
FORMAT = """
name = "{name}"
title = "A"
kind = "xml"
namespaces = {{}}
recognise.root = "a"
order.number = {number}
"""
JSON = b'{"number":"N-1","lines":[{"id":"1"}]}'


def refusal(body: bytes) -> InvalidInput:
    with pytest.raises(InvalidInput) as refused:
        read_document(body, FORMATS)
    return refused.value


def test_the_format_is_told() -> None:
    assert read_document(JSON, FORMATS).format_name == "canonical-json"
    assert read_document(b" \n" + JSON, FORMATS).format_name == "canonical-json"
    assert read_document(ubl_order().encode(), FORMATS).format_name == "ubl-order-2.1"


@settings(deadline=None)
@given(orders())
def test_any_order_comes_back_from_json_with_the_same_hash(order: Order) -> None:
    document = read_document(canonical_json(order), FORMATS)
    assert document.order == order
    assert document.content_hash == content_hash(order)


def test_the_same_order_as_xml_and_as_json_has_the_same_hash() -> None:
    document = read_document(ubl_order().encode(), FORMATS)
    number_as_json = {
        "number": "N-1",
        "currency": "SEK",
        "lines": [{"id": "1", "amount": 10, "quantity": 1.0}],
    }
    number_as_json["lines"][0]["unit"] = "C62"  # type: ignore[index]
    assert read_document(json.dumps(number_as_json).encode(), FORMATS).content_hash == document.content_hash


@pytest.mark.parametrize(
    ("body", "name"),
    [
        (b"<Order/>", "“Order” without a namespace"),
        (b"<Invoice xmlns='urn:other'/>", "“Invoice” of the namespace “urn:other”"),
        (ubl_order().replace("Order-2", "OrderCancellation-2").encode(), "“Order” of the namespace"),
        (b'<!DOCTYPE cXML SYSTEM "http://127.0.0.1:9/cXML.dtd"><cXML/>', "“cXML”"),
        (b"[]", "not one order"),
        (b'[{"number": "1"}]', "not one order"),
    ],
)
def test_an_unknown_format_is_refused_by_its_root(body: bytes, name: str) -> None:
    refused = refusal(body)
    assert refused.code == "document-unknown-format"
    assert name in refused.reason
    assert refused.reason.endswith("Known are: UBL 2.1 Order, canonical order in JSON.")


def test_a_bare_external_doctype_is_accepted_where_the_format_has_one(tmp_path: Path) -> None:
    (tmp_path / "shop.toml").write_text(
        'name = "shop"\ntitle = "Shop order"\nkind = "xml"\ndoctype = "external-only"\nnamespaces = {}\n'
        '[recognise]\nroot = "shop"\n[order]\nnumber = "no"\n[order.lines]\neach = "line"\n'
    )
    body = b'<!DOCTYPE shop SYSTEM "http://127.0.0.1:9/shop.dtd"><shop><no>1</no><line/></shop>'
    assert read_document(body, load_formats(tmp_path)).order.number == "1"
    with pytest.raises(InvalidInput, match="not one order as an object"):
        read_document(JSON, load_formats(tmp_path))


def test_the_limit_holds_for_json_too() -> None:
    assert read_document(JSON, FORMATS, max_bytes=len(JSON)).order.number == "N-1"
    with pytest.raises(InvalidInput) as refused:
        read_document(JSON, FORMATS, max_bytes=len(JSON) - 1)
    assert refused.value.code == "document-too-large"


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_random_bytes_raise_nothing_but_a_refusal(body: bytes) -> None:
    assert refusal(body).reason


@settings(deadline=None)
@given(
    st.sampled_from([ubl_order().encode(), JSON]),
    st.integers(0, 10_000),
    st.binary(max_size=4),
    st.integers(0, 8),
)
def test_a_document_with_random_damage_is_read_or_refused(body: bytes, at: int, put: bytes, cut: int) -> None:
    at %= len(body)
    with suppress(InvalidInput):
        assert read_document(body[:at] + put + body[at + cut :], FORMATS).order.lines


@settings(deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(st.text() | st.sampled_from(["number", "lines", "totals"]), inner)
        ),
    )
)
def test_random_json_raises_nothing_but_a_refusal(content: object) -> None:
    refused = refusal(json.dumps({"order": content}).encode())
    assert refused.reason.encode()


@pytest.mark.parametrize(
    "broken",
    [
        "kind = ",
        'kind = "xml"',
        FORMAT.format(name="a", number='"b["'),
        FORMAT.format(name="a", number="1"),
    ],
)
def test_a_broken_format_file_is_named_at_the_start(broken: str, tmp_path: Path) -> None:
    (tmp_path / "broken.toml").write_text(broken)
    with pytest.raises(ValueError, match=r"broken\.toml cannot be used"):
        load_formats(tmp_path)


def test_two_formats_for_one_root_are_refused_at_the_start(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / f"{name}.toml").write_text(FORMAT.format(name=name, number='"b"'))
    with pytest.raises(ValueError, match="one and two both recognise a"):
        load_formats(tmp_path)
