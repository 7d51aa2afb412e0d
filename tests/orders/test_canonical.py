"""The canonical order: what it takes, what it refuses and in what words, its bytes and its hash."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
from hypothesis import given, settings

from portal.errors import InvalidInput
from portal.orders.canonical import (
    MOST_ERRORS,
    GiftCard,
    Order,
    canonical_json,
    content_hash,
    order_schema,
    parse_order,
)
from tests.orders.orders import orders


def bare(**more: Any) -> dict[str, Any]:
    return {"number": "N-1", "lines": [{"id": "1"}], **more}


def refusal(data: object) -> InvalidInput:
    with pytest.raises(InvalidInput) as refused:
        parse_order(data)
    assert refused.value.code == "order-invalid"
    return refused.value


def test_a_number_and_one_line_are_an_order() -> None:
    order = parse_order(bare())
    assert canonical_json(order) == b'{"lines":[{"id":"1"}],"number":"N-1"}'


def test_canonical_json_is_sorted_dense_and_without_what_is_not_known() -> None:
    order = parse_order(
        bare(
            note="å",
            placed_at="2010-01-20T12:30:00+02:00",
            customer={"name": " Ö "},
            delivery={"address": {"city": None}, "requested_from": "2010-02-10"},
            totals={"payable": 7},
            gift_cards=[{"number": "6033", "amount": "1.5"}],
        )
    )
    assert canonical_json(order).decode() == (
        '{"customer":{"name":"Ö"},"delivery":{"requested_from":"2010-02-10"},'
        '"gift_cards":[{"amount":"1.50","number":"6033"}],"lines":[{"id":"1"}],"note":"å","number":"N-1",'
        '"placed_at":"2010-01-20T10:30:00Z","totals":{"payable":"7.00"}}'
    )


def test_the_hash_is_that_of_the_canonical_json() -> None:
    order = parse_order(bare())
    assert content_hash(order) == hashlib.sha256(canonical_json(order)).hexdigest()


@pytest.mark.parametrize(
    "same",
    [
        bare(totals={"payable": "10.5"}),
        bare(totals={"payable": 10.5}),
        bare(totals={"payable": "10.50"}, customer={}, delivery={}, gift_cards=[], note=None),
        bare(totals={"payable": "10.50", "tax": None}, delivery={"address": {}}),
    ],
)
def test_the_same_order_written_otherwise_has_the_same_hash(same: dict[str, Any]) -> None:
    assert content_hash(parse_order(same)) == content_hash(parse_order(bare(totals={"payable": "10.50"})))


def test_addresses_that_differ_by_an_accent_are_two() -> None:
    accented, plain = (
        parse_order(bare(customer={"email": f"{name}@example.org"})) for name in ("josé", "jose")
    )
    assert accented.customer.email == "josé@example.org"
    assert content_hash(accented) != content_hash(plain)


@pytest.mark.parametrize("blank", ["", " ", "\t\n"])
def test_a_blank_mail_address_is_a_missing_one(blank: str) -> None:
    assert canonical_json(parse_order(bare(customer={"email": blank}))) == canonical_json(parse_order(bare()))


@settings(deadline=None)
@given(orders())
def test_any_order_comes_back_from_its_canonical_json(order: Order) -> None:
    again = parse_order(json.loads(canonical_json(order)))
    assert again == order
    assert content_hash(again) == content_hash(order)


@settings(deadline=None)
@given(orders())
def test_canonical_json_is_the_same_however_its_keys_were_ordered(order: Order) -> None:
    data = json.loads(canonical_json(order))
    assert canonical_json(parse_order(dict(reversed(data.items())))) == canonical_json(order)


def test_what_is_payable_is_the_sum_of_the_lines_when_all_are_known() -> None:
    lines = [{"amount": "10.10"}, {"amount": "0.20"}]
    assert str(parse_order(bare(lines=lines)).totals.payable) == "10.30"
    assert parse_order(bare(lines=[*lines, {}])).totals.payable is None
    assert str(parse_order(bare(lines=lines, totals={"payable": "9"})).totals.payable) == "9.00"


def test_charges_and_allowances_count_in_what_is_payable() -> None:
    def payable(**totals: str) -> str:
        return str(parse_order(bare(lines=[{"amount": "10"}], totals=totals)).totals.payable)

    assert payable(charges="5", allowances="2.50") == "12.50"
    assert payable(allowances="10.01") == "None"
    assert payable(charges="999999999999.99") == "None"


def test_lines_without_an_id_are_given_their_position_and_repeated_ids_stay() -> None:
    order = parse_order(bare(lines=[{"sku": "a"}, {"id": "7"}, {"id": "7"}, {"sku": "b"}]))
    assert [line.id for line in order.lines] == ["1", "7", "7", "4"]


REFUSED: dict[str, tuple[Any, str, str]] = {
    "no number": ({"lines": [{}]}, "number", "is missing"),
    "an empty number": (bare(number="  "), "number", "must not be empty"),
    "a number of 65 characters": (bare(number="x" * 65), "number", "longer than 64"),
    "a number that is none of text": (bare(number=34), "number", "must be text"),
    "a line break in a number": (bare(number="a\nb"), "number", "control or invisible"),
    "a reversed number": (bare(number="a\u202eb"), "number", "control or invisible"),
    "a NUL in a name": (bare(customer={"name": "a\0b"}), "customer.name", "control or invisible"),
    "half a character": (bare(number="\ud800"), "number", "not valid Unicode"),
    "no lines": (bare(lines=[]), "lines", "at least one line"),
    "lines that are none": (bare(lines="x"), "lines", "must be a list"),
    "a line that is none": (bare(lines=["x"]), "lines[0]", "must be an object"),
    "a third decimal": (bare(lines=[{}, {"amount": "1.001"}]), "lines[1].amount", "“1.001” is not an amount"),
    "a negative total": (bare(totals={"payable": -1}), "totals.payable", "is not an amount"),
    "a quantity of zero": (bare(lines=[{"quantity": 0}]), "lines[0].quantity", "above zero"),
    "a country in small letters": (bare(country="se"), "country", "two capital letters"),
    "a currency of two letters": (bare(currency="SE"), "currency", "three capital letters"),
    "a channel with blanks": (bare(channel="Web Shop"), "channel", "lower-case"),
    "a field too many": (bare(role="admin"), "role", "is not a field of an order"),
    "a field too many in a line": (bare(lines=[{"price": 1}]), "lines[0].price", "is not a field"),
    "a gift card without amount": (bare(gift_cards=[{"number": "1"}]), "gift_cards[0].amount", "is missing"),
    "no order at all": ([], "order", "must be an object"),
}


@pytest.mark.parametrize(("data", "field", "reason"), REFUSED.values(), ids=REFUSED.keys())
def test_a_refusal_names_the_field_and_the_reason(data: Any, field: str, reason: str) -> None:
    refused = refusal(data)
    assert refused.field == field
    assert reason in refused.reason
    assert refused.reason.startswith(field)


def test_all_refused_fields_are_told_together() -> None:
    refused = refusal({"lines": [{"amount": "x"}], "country": "Sweden", "extra": 1})
    assert {error.field for error in refused.errors} == {"number", "lines[0].amount", "country", "extra"}
    assert refused.errors[0].field == refused.field
    assert refused.errors[0].reason == refused.reason


def test_a_flood_of_errors_is_cut() -> None:
    assert len(refusal(bare(lines=[{"amount": "x"}] * 500)).errors) == MOST_ERRORS


def test_an_order_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        parse_order(bare()).number = "N-2"  # type: ignore[misc]


def test_the_number_of_a_gift_card_is_in_no_representation() -> None:
    assert "6033" not in repr(parse_order(bare(gift_cards=[{"number": "6033", "amount": "1"}])))
    assert "6033" not in repr(refusal(bare(gift_cards=[{"number": "6033\n1", "amount": "1"}])).errors)
    assert "6033" not in repr(GiftCard.model_validate({"number": "6033", "amount": "1"}))


def test_the_schema_says_what_is_required_and_that_nothing_else_is_allowed() -> None:
    schema = order_schema()
    assert schema["$id"] == "/api/schemas/order.json"
    assert schema["required"] == ["number", "lines"]
    parts = [schema, *schema["$defs"].values()]
    assert [part["title"] for part in parts if part["additionalProperties"] is not False] == []
    assert [part["title"] for part in parts if not part.get("description")] == []
    assert "required" not in schema["$defs"]["Line"]
    json.dumps(schema)


@pytest.mark.parametrize("email", ["a\u200b@example.com", f"{'x' * 900}@example.com", "not an address"])
def test_a_mail_address_that_cannot_be_written_to_does_not_stop_its_order(email: str) -> None:
    order = parse_order({"number": "1", "lines": [{"sku": "a"}], "customer": {"email": email}})
    assert order.customer.email == email
