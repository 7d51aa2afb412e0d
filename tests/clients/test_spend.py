"""The answer of the spend service is read strictly."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest

from portal.clients import spend
from portal.clients.http import HttpSystem
from portal.clients.spend import Spend
from portal.errors import Upstream
from tests.clients.raw_server import RawServer, answer

GOOD = {"user_id": 1, "amount": "10.50", "currency": "USD"}


def ask(document: object) -> dict[int, Spend]:
    """Ask for users 1 and 2 of a service that answers with this."""
    with RawServer(answer("200 OK", json.dumps(document).encode())) as server:
        system = HttpSystem("spend", "The spend service", server.url, deadline=2, max_calls=1)
        return spend.amounts(system, [1, 2])


def test_amounts_are_exact_and_one_may_be_missing() -> None:
    assert ask({"amounts": [GOOD]}) == {1: Spend(Decimal("10.50"), "USD")}


@pytest.mark.parametrize(
    "entries",
    [
        None,
        [GOOD | {"amount": 10.5}],
        [GOOD | {"amount": "-1"}],
        [GOOD | {"amount": "1e400"}],
        [GOOD | {"amount": "1.005"}],
        [GOOD | {"amount": "\uff11"}],
        [GOOD | {"currency": "usd"}],
        [GOOD | {"currency": None}],
        [GOOD | {"user_id": 3}],
        [GOOD | {"user_id": [1]}],
        [GOOD, GOOD | {"currency": "CLP"}],
        [{"user_id": 1}],
        ["10.50"],
    ],
)
def test_an_answer_that_is_not_its_format_may_be_asked_for_again(entries: object) -> None:
    with pytest.raises(Upstream) as refused:
        ask({"amounts": entries})
    assert (refused.value.code, refused.value.retryable) == ("spend-garbage", True)
    assert not refused.value.outcome_unknown
