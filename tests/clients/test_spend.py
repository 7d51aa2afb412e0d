"""The answer of the spend service is read strictly."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest

from portal.clients import spend
from portal.clients.http import HttpSystem
from portal.clients.spend import Amounts, Spend
from portal.errors import Upstream
from tests.clients.raw_server import RawServer, answer

GOOD = {"user_id": 1, "amount": "10.50", "currency": "USD"}


def ask(document: object) -> Amounts:
    """Ask for users 1 and 2 of a service that answers with this."""
    with RawServer(answer("200 OK", json.dumps(document).encode())) as server:
        system = HttpSystem("spend", "The spend service", server.url, deadline=2, max_calls=1)
        return spend.amounts(system, [1, 2])


def test_amounts_are_exact_and_one_may_be_missing() -> None:
    assert ask({"amounts": [GOOD]}) == ({1: Spend(Decimal("10.50"), "USD")}, {})


def test_more_may_have_been_refunded_than_spent() -> None:
    assert ask({"amounts": [GOOD | {"amount": "-5.00"}]}).spends == {1: Spend(Decimal("-5.00"), "USD")}


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"amount": 10.5}, "10.5, 'USD'"),
        ({"amount": "1e400"}, "'1e400', 'USD'"),
        ({"amount": "1.005"}, "'1.005', 'USD'"),
        ({"amount": "\uff11"}, "'\uff11', 'USD'"),
        ({"amount": "9" * 200}, "'" + "9" * 79),
        ({"currency": "usd"}, "'10.50', 'usd'"),
        ({"currency": None}, "'10.50', None"),
    ],
)
def test_what_cannot_be_read_of_one_user_leaves_the_others_readable(
    entry: dict[str, object], said: str
) -> None:
    found = ask({"amounts": [GOOD | entry, GOOD | {"user_id": 2}]})
    assert found == ({2: Spend(Decimal("10.50"), "USD")}, {1: said})
    assert ask({"amounts": [GOOD | entry]}) == ({}, {1: said})


@pytest.mark.parametrize(
    "entries",
    [
        None,
        [GOOD | {"user_id": 3}],
        [GOOD | {"user_id": [1]}],
        [GOOD, GOOD | {"currency": "CLP"}],
        [{"amount": "10.50", "currency": "USD"}],
        ["10.50"],
    ],
)
def test_an_answer_that_is_not_its_format_may_be_asked_for_again(entries: object) -> None:
    with pytest.raises(Upstream) as refused:
        ask({"amounts": entries})
    assert (refused.value.code, refused.value.retryable) == ("spend-garbage", True)
    assert not refused.value.outcome_unknown
