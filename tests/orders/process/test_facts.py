from __future__ import annotations

from decimal import Decimal

from portal.orders.canonical import parse_order
from portal.orders.process.facts import FACTS, facts_of

BARE = {"number": "4711", "lines": [{"name": "Lamp"}]}


def test_an_order_without_optional_parts_has_every_fact() -> None:
    facts = facts_of(parse_order(BARE))
    assert facts == {
        "gift_card_count": 0,
        "gift_card_amount": Decimal(0),
        "total": Decimal(0),
        "currency": "",
        "channel": "",
        "store": "",
        "country": "",
        "has_email": False,
        "has_address": False,
        "line_count": 1,
    }
    assert facts.keys() == FACTS.keys()


def test_facts_are_read_from_the_parts_of_an_order() -> None:
    order = parse_order(
        BARE
        | {
            "channel": "kiosk",
            "store": "S1",
            "country": "ES",
            "currency": "EUR",
            "customer": {"email": "josé@example.com"},
            "delivery": {"address": {"city": "Madrid"}},
            "totals": {"payable": "99.90"},
            "gift_cards": [{"number": "1", "amount": "10.00"}, {"number": "2", "amount": "5.50"}],
        }
    )
    assert facts_of(order) == {
        "gift_card_count": 2,
        "gift_card_amount": Decimal("15.50"),
        "total": Decimal("99.90"),
        "currency": "EUR",
        "channel": "kiosk",
        "store": "S1",
        "country": "ES",
        "has_email": True,
        "has_address": True,
        "line_count": 1,
    }


def test_each_fact_is_of_its_declared_kind() -> None:
    types = {"number": (int, Decimal), "text": (str,), "yes-no": (bool,)}
    for name, fact in facts_of(parse_order(BARE)).items():
        assert type(fact) in types[FACTS[name]], name
