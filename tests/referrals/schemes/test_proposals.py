"""Terms that cannot be are refused, each by the name of its field."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from portal.db import Database
from portal.errors import InvalidInput
from portal.referrals.schemes.proposals import Ask, SchemeTerms
from tests.referrals.scheme_scene import SPEND_DATA, create, usable_terms


@pytest.fixture
def terms(database: Database) -> SchemeTerms:
    return usable_terms(database)


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"name": " "}, "name"),
    ({"name": "x" * 101}, "name"),
    ({"product": "a\nb"}, "product"),
    ({"product": "x" * 21}, "product"),
    ({"currency": "usd"}, "currency"),
    ({"currency": "USDT"}, "currency"),
    ({"expiry_period_type": "fortnight"}, "expiry_period_type"),
    ({"expiry_period_length": 0}, "expiry_period_length"),
    ({"limit_rewards": -1}, "limit_rewards"),
    ({"recruit_reward_id": 99}, "recruit_reward_id"),
    ({"referrer_reward_id": 99}, "referrer_reward_id"),
    ({"conditions": (Ask(99, {}),)}, "conditions[0].condition_id"),
    ({"conditions": (Ask(1, {}), Ask(1, {}))}, "conditions[1].condition_id"),
    ({"conditions": (Ask(1, {"x": "y" * 20_000}),)}, "conditions[0].data"),
    ({"conditions": (Ask(3, {"currency": "USD"}),)}, "conditions[0].data.threshold"),
    ({"conditions": (Ask(3, SPEND_DATA | {"threshold": 100}),)}, "conditions[0].data.threshold"),
    ({"conditions": (Ask(3, SPEND_DATA | {"threshold": "NaN"}),)}, "conditions[0].data.threshold"),
    ({"conditions": (Ask(3, SPEND_DATA | {"threshold": "0"}),)}, "conditions[0].data.threshold"),
    ({"conditions": (Ask(3, SPEND_DATA | {"threshold": "1.001"}),)}, "conditions[0].data.threshold"),
    *(
        ({"conditions": (Ask(3, SPEND_DATA | {"threshold": written}),)}, "conditions[0].data.threshold")
        for written in (
            "1e400",
            "1e2",
            "1_000",
            "\uff11\uff10\uff10",
            " 100",
            "100.00\n",
            "+1",
            "-1",
            "1 000",
            ".5",
        )
    ),
    ({"conditions": (Ask(3, SPEND_DATA | {"currency": None}),)}, "conditions[0].data.currency"),
    ({"conditions": tuple(Ask(1, {}) for _ in range(51))}, "conditions"),
]


@pytest.mark.parametrize(("wrong", "field"), WRONG, ids=lambda value: str(value)[:40])
def test_terms_that_cannot_be_are_refused_by_the_name_of_their_field(
    database: Database, terms: SchemeTerms, wrong: dict[str, Any], field: str
) -> None:
    with pytest.raises(InvalidInput) as refused:
        create(database, replace(terms, **wrong))
    assert [error.field for error in refused.value.errors] == [field]


def test_all_that_is_wrong_is_said_at_once(database: Database, terms: SchemeTerms) -> None:
    with pytest.raises(InvalidInput) as refused:
        create(
            database,
            replace(terms, name="", limit_rewards=-1, recruit_reward_id=99, conditions=(Ask(9, {}),)),
        )
    fields = [error.field for error in refused.value.errors]
    assert fields == ["name", "limit_rewards", "recruit_reward_id", "conditions[0].condition_id"]


def test_a_budget_has_two_decimals(database: Database, terms: SchemeTerms) -> None:
    with pytest.raises(InvalidInput) as refused:
        create(database, terms, Decimal("0.001"))
    assert refused.value.field == "budget"
