"""What outside systems quote of a person is not kept in the clear."""

from __future__ import annotations

from typing import Any

import pytest

from portal.orders.canonical import Order, parse_order
from portal.orders.personal import personal_values, without_personal_data


@pytest.fixture
def order() -> Order:
    return parse_order(
        {
            "number": "A-1",
            "customer": {
                "name": "Rosa Díaz",
                "email": "rosa@example.com",
                "phone": "+56 9 1234",
                "tax_id": "1111-X",
            },
            "delivery": {
                "contact_name": "Rosa Díaz Muñoz",
                "address": {"street": "Calle Ñuble", "number": "12"},
            },
            "gift_cards": [{"number": "6006111122223333", "amount": "1"}],
            "lines": [{"name": "Lamp"}],
        }
    )


@pytest.mark.parametrize(
    ("told", "kept"),
    [
        ("The tax id 1111-X is unknown.", "The tax id [customer.tax_id] is unknown."),
        ("to ROSA@example.com: refused", "to [customer.email]: refused"),
        ("for Rosa Díaz Muñoz, Calle Ñuble 12", "for [delivery.contact_name], [delivery.street] 12"),
        ("call +56 9 1234!", "call [customer.phone]!"),
        ({"a": [{"card": "6006111122223333"}]}, {"a": [{"card": "[gift_cards[0].number]"}]}),
        ({"ids": ("Rosa Díaz",), "n": 3, "none": None}, {"ids": ["[customer.name]"], "n": 3, "none": None}),
    ],
)
def test_a_personal_value_is_replaced_by_the_name_of_its_field(order: Order, told: Any, kept: Any) -> None:
    assert without_personal_data(told, personal_values(order)) == kept


@pytest.mark.parametrize("told", ["FOLIO-21111-X", "1111-XYZ", "POS-60061111222233334444", "A-1 Lamp", ""])
def test_what_only_looks_like_it_within_a_longer_word_stays(order: Order, told: str) -> None:
    assert without_personal_data(told, personal_values(order)) == told


def test_values_too_short_to_tell_apart_from_words_are_not_looked_for() -> None:
    order = parse_order(
        {"number": "A-1", "customer": {"name": "Ana", "tax_id": "7"}, "lines": [{"name": "x"}]}
    )
    assert personal_values(order) == {}
