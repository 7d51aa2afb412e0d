"""A format is a file: what it says is what is read."""

from __future__ import annotations

from typing import Any

import pytest
from lxml import etree

from portal.errors import InvalidInput
from portal.orders.canonical import Order, canonical_json
from portal.orders.documents.xml_format import XmlFormat, xml_format

SHOP: dict[str, Any] = {
    "name": "shop",
    "title": "Shop order",
    "recognise": {"root": "order"},
    "namespaces": {},
    "agree": {"currency": "lines//@currency"},
    "order": {
        "number": "@no",
        "currency": "@currency",
        "customer": {"at": ["buyer", "guest"], "name": "name", "email": "mail"},
        "lines": {"each": "lines/line", "sku": "@sku", "amount": "price"},
        "gift_cards": {"each": "cards/card", "number": "@no", "amount": "/order/paid[@card = $item/@no]"},
    },
}


def shop(**changes: Any) -> XmlFormat:
    return xml_format({**SHOP, **changes})


def read(content: str, attributes: str = "no='N-1'") -> Order:
    return shop().read(etree.fromstring(f"<order {attributes}>{content}</order>"))


LINE = "<lines><line sku='a'><price>10</price></line></lines>"


def test_fields_parts_and_lists_are_read_from_where_the_format_says() -> None:
    order = read(
        "<guest><name>Eva</name></guest>"
        + LINE
        + "<cards><card no='A'/><card no='B'/></cards><paid card='B'>2</paid><paid card='A'>1</paid>"
    )
    assert canonical_json(order).decode() == (
        '{"customer":{"name":"Eva"},"gift_cards":[{"amount":"1.00","number":"A"},{"amount":"2.00","number":"B"}],'
        '"lines":[{"amount":"10.00","id":"1","sku":"a"}],"number":"N-1","totals":{"payable":"10.00"}}'
    )


def test_a_part_is_read_from_one_place_and_never_mixed_from_two() -> None:
    order = read("<buyer><name>Eva</name></buyer><guest><mail>other@example.org</mail></guest>" + LINE)
    assert (order.customer.name, order.customer.email) == ("Eva", None)


def test_every_refused_field_is_told_with_where_it_stands() -> None:
    with pytest.raises(InvalidInput) as refused:
        read(
            "<lines><line><price>10<!-- -->00</price></line><line><price>1.001</price></line></lines>"
            "<cards><card no='A'/></cards>",
            "",
        )
    assert refused.value.code == "order-invalid"
    reasons = {error.field: error.reason for error in refused.value.errors}
    assert reasons.keys() == {"number", "lines[0].amount", "lines[1].amount", "gift_cards[0].amount"}
    assert "text only. It is read from lines/line: price." in reasons["lines[0].amount"]
    assert "“1.001” is not an amount" in reasons["lines[1].amount"]
    assert reasons["number"] == "number is missing, and cannot be left out. It is read from @no."
    assert "/order/paid[@card = $item/@no]" in reasons["gift_cards[0].amount"]
    assert (refused.value.field, refused.value.reason) == ("lines[0].amount", reasons["lines[0].amount"])


def test_a_required_field_that_cannot_be_read_is_told_once() -> None:
    wrong = shop(order={**SHOP["order"], "number": "no"})
    with pytest.raises(InvalidInput) as refused:
        wrong.read(etree.fromstring(f"<order><no>1<!-- -->2</no>{LINE}</order>"))
    assert [error.field for error in refused.value.errors] == ["number"]


def test_a_field_that_cannot_be_read_refuses_the_order_though_it_is_optional() -> None:
    with pytest.raises(InvalidInput, match=r"customer\.name has a comment"):
        read("<buyer><name>E<!-- -->va</name></buyer>" + LINE)


def test_values_that_must_agree_and_do_not_are_refused() -> None:
    prices = ["<price currency='SEK'>10</price>", "<price currency='EUR'>1</price>"]
    lines = f"<lines>{''.join(f'<line>{price}</line>' for price in prices)}</lines>"
    with pytest.raises(
        InvalidInput, match="currency is SEK, but the document also has values in “EUR”"
    ) as refused:
        read(lines, "no='1' currency='SEK'")
    assert refused.value.field == "currency"
    assert read(lines.replace("EUR", "SEK"), "no='1' currency='SEK'").currency == "SEK"


def test_a_misspelt_field_of_a_format_is_told_as_soon_as_it_is_read() -> None:
    wrong = shop(order={**SHOP["order"], "nubmer": "@no"})
    with pytest.raises(InvalidInput, match="nubmer is not a field of an order"):
        wrong.read(etree.fromstring(f"<order no='1'>{LINE}</order>"))


def test_a_doctype_is_refused_unless_the_format_has_one() -> None:
    assert not shop().external_doctype
    assert shop(doctype="external-only").external_doctype
    with pytest.raises(ValueError, match="it can be refused or external-only"):
        shop(doctype="any")
