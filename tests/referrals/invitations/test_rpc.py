"""`referrals.sendreferralemail` answers address by address, and once for each idempotency key."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest
from sqlalchemy import select

from portal.access import service
from portal.crypto import token_hash
from portal.errors import Conflict, InvalidInput
from portal.events import Actor
from portal.jsonrpc import Caller, RpcError
from portal.referrals.invitations.models import AnsweredRequest
from portal.referrals.invitations.rpc import methods
from portal.runtime import Runtime
from tests.referrals.inviting import add_active_scheme, invitations
from tests.web.portal import OPERATOR, Visitor

(METHOD,) = methods()


@pytest.fixture(autouse=True)
def scheme(runtime: Runtime) -> int:
    now = runtime.clock()
    with runtime.writer() as session:
        for name in ("shop", "app"):
            service.create_api_client(session, name=name, key_hash=name * 16, actor=OPERATOR, now=now)
        return add_active_scheme(session)


def send(runtime: Runtime, *emails: str, client: str = "shop", **more: Any) -> list[dict[str, Any]]:
    caller = Caller(runtime, Actor("client", client), may_administer=False)
    answer: list[dict[str, Any]] = json.loads(
        METHOD.call(caller, {"user_id": 41, "emails": list(emails)} | more)
    )["results"]
    return answer


def test_each_address_is_answered_in_its_place_with_the_words_it_was_given_in(runtime: Runtime) -> None:
    answers = send(runtime, " Ana@example.com", "no address", "ana@EXAMPLE.com")
    assert [(one["email"], one["invited"], one["code"]) for one in answers] == [
        (" Ana@example.com", True, None),
        ("no address", False, "address-invalid"),
        ("ana@EXAMPLE.com", False, "already-invited"),
    ]
    assert answers[0]["invitation_id"] == invitations(runtime)[0].uuid
    assert answers[1]["reason"]


def test_the_own_address_that_the_caller_knows_is_refused(runtime: Runtime) -> None:
    (answer,) = send(runtime, "ana@example.com", own_address="ANA@example.com")
    assert answer["code"] == "own-address"


def test_the_same_key_and_content_gets_the_same_answer_and_sends_nothing(runtime: Runtime) -> None:
    first, again = (send(runtime, "ana@example.com", "bad", idempotency_key="k") for _ in range(2))
    assert first == again
    assert [one["invited"] for one in again] == [True, False]
    assert len(invitations(runtime)) == 1


@pytest.mark.parametrize(
    "other", [{"emails": ["eva@example.com"]}, {"user_id": 42}, {"own_address": "x@example.com"}]
)
def test_the_same_key_with_other_content_is_an_error(runtime: Runtime, other: dict[str, Any]) -> None:
    send(runtime, "ana@example.com", idempotency_key="k")
    with pytest.raises(Conflict) as refused:
        send(runtime, "ana@example.com", idempotency_key="k", **other)
    assert refused.value.code == "idempotency-key-reused"
    assert len(invitations(runtime)) == 1


def test_keys_of_two_clients_are_apart_and_compared_byte_by_byte(runtime: Runtime) -> None:
    send(runtime, "ana@example.com", idempotency_key="k")
    assert send(runtime, "eva@example.com", idempotency_key="k", client="app")[0]["invited"]
    assert send(runtime, "ivo@example.com", idempotency_key="K")[0]["invited"]


def test_requests_with_the_same_key_at_once_get_the_same_answer(runtime: Runtime) -> None:
    start = Barrier(4)

    def one(_: int) -> list[dict[str, Any]]:
        start.wait(10)
        return send(runtime, "ana@example.com", idempotency_key="k")

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(one, range(4)))
    assert answers == [answers[0]] * 4
    assert answers[0][0]["invited"]
    assert len(invitations(runtime)) == 1


def test_kept_answers_name_no_address(runtime: Runtime) -> None:
    send(runtime, "ana@example.com", "bad@", idempotency_key="k")
    with runtime.writer() as session:
        (kept,) = session.scalars(select(AnsweredRequest))
    assert "ana@" not in json.dumps(kept.answer)
    assert "bad@" not in json.dumps(kept.answer)


def test_the_scheme_is_that_of_the_product_or_the_only_active_one(runtime: Runtime, scheme: int) -> None:
    assert send(runtime, "a@example.com", product="cards")[0]["code"] == "no-active-scheme"
    assert send(runtime, "a@example.com", scheme_id=99)[0]["code"] == "no-active-scheme"
    with runtime.writer() as session:
        cards = add_active_scheme(session, "cards")
    with pytest.raises(InvalidInput) as refused:
        send(runtime, "a@example.com")
    assert refused.value.field == "product"
    assert send(runtime, "a@example.com", product="cards")[0]["invited"]
    assert send(runtime, "b@example.com", scheme_id=scheme)[0]["invited"]
    assert [row.scheme_id for row in invitations(runtime)] == [cards, scheme]


@pytest.mark.parametrize(
    "odd",
    [
        {"user_id": 0},
        {"user_id": "41"},
        {"emails": []},
        {"emails": ["a@example.com"] * 101},
        {"emails": "a@example.com"},
        {"emails": ["\ud800@example.com"]},
        {"emails": [None]},
        {"idempotency_key": ""},
        {"idempotency_key": "k" * 129},
        {"idempotency_key": "\ud800"},
        {"extra": 1},
    ],
)
def test_parameters_that_make_no_sense_are_refused_and_nobody_is_invited(
    runtime: Runtime, odd: dict[str, Any]
) -> None:
    with pytest.raises(RpcError) as refused:
        send(runtime, "ana@example.com", **odd)
    assert refused.value.code == -32602
    assert invitations(runtime) == []


def test_the_method_is_called_over_http_and_a_reused_key_is_told(visitor: Visitor, runtime: Runtime) -> None:
    key = "k" * 40
    with runtime.writer() as session:
        hashed, now = token_hash(key), runtime.clock()
        service.create_api_client(session, name="bank", key_hash=hashed, actor=OPERATOR, now=now)

    def call(user_id: int) -> dict[str, Any]:
        params = {"user_id": user_id, "emails": ["ana@example.com"], "idempotency_key": "k"}
        body = {"jsonrpc": "2.0", "method": "Referrals.SendReferralEmail", "params": params, "id": 1}
        answer = visitor.post("/rpc", json=body, headers={"Authorization": f"Bearer {key}"})
        told: dict[str, Any] = json.loads(answer.data)
        return told

    assert call(41)["result"]["results"][0]["invited"]
    assert call(42)["error"]["data"]["code"] == "idempotency-key-reused"
