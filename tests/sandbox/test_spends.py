"""The spend service says what users spent, as it was set or by its rule."""

from __future__ import annotations

import json
import secrets
from typing import Any

import pytest
from click.testing import CliRunner

from sandbox.__main__ import main
from sandbox.client import SandboxClient, SandboxSaysNo
from sandbox.spends import BY_RULE_FROM
from tests.sandbox.running import RunningSandbox


@pytest.fixture
def user() -> int:
    """Give a user of this test's own."""
    return secrets.randbelow(BY_RULE_FROM - 1) + 1


def amounts(running: RunningSandbox, *users: int) -> list[dict[str, Any]]:
    answer = running.send("POST", "/spend/amounts", json.dumps({"user_ids": users}).encode())
    assert answer.status == 200
    entries: list[dict[str, Any]] = answer.json()["amounts"]
    return entries


def test_what_was_set_last_is_answered_and_others_spent_nothing(sandbox: RunningSandbox, user: int) -> None:
    sandbox.client.spend(user, "1.00")
    sandbox.client.spend(user, "99.50", "CLP")
    assert amounts(sandbox, user, user + 1) == [
        {"user_id": user, "amount": "99.50", "currency": "CLP"},
        {"user_id": user + 1, "amount": "0.00", "currency": "USD"},
    ]


def test_users_that_nobody_sets_spend_by_their_ids(sandbox: RunningSandbox) -> None:
    found = amounts(sandbox, BY_RULE_FROM, BY_RULE_FROM + 7, BY_RULE_FROM + 999)
    assert [entry["amount"] for entry in found] == ["0.00", "0.70", "99.90"]


def test_what_was_set_outlasts_the_process(
    tmp_path_factory: pytest.TempPathFactory, aws_endpoint: str, user: int
) -> None:
    state = tmp_path_factory.mktemp("sandbox")
    with RunningSandbox(state, aws_endpoint) as running:
        running.client.spend(user, "7.00")
    with RunningSandbox(state, aws_endpoint) as running:
        assert amounts(running, user)[0]["amount"] == "7.00"


def test_the_command_line_sets_an_amount(sandbox: RunningSandbox, user: int) -> None:
    done = CliRunner().invoke(main, ["user", "spend", str(user), "12.00", "--url", sandbox.url])
    assert (done.exit_code, amounts(sandbox, user)[0]["amount"]) == (0, "12.00")


@pytest.mark.parametrize(
    ("amount", "currency"), [("--1", "USD"), ("1.00005", "USD"), ("1", "usd"), ("", "USD")]
)
def test_what_is_no_amount_is_refused(sandbox: RunningSandbox, user: int, amount: str, currency: str) -> None:
    with pytest.raises(SandboxSaysNo):
        sandbox.client.spend(user, amount, currency)


@pytest.mark.parametrize("user_ids", [None, ["1"], [0], [True], list(range(1, 5002))])
def test_a_question_that_makes_no_sense_is_refused(sandbox: RunningSandbox, user_ids: object) -> None:
    answer = sandbox.send("POST", "/spend/amounts", json.dumps({"user_ids": user_ids}).encode())
    assert answer.status in (400, 422)


def test_the_spend_service_fails_on_demand(sandbox: RunningSandbox, user: int) -> None:
    client = SandboxClient(sandbox.url)
    client.put_fault("spend", "500", times=1)
    assert sandbox.send("POST", "/spend/amounts", b'{"user_ids":[1]}').status == 500
    assert amounts(sandbox, user)
