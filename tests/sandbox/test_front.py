"""The calls of the application: one effect for each key, and what faults do to it."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from urllib3.exceptions import ProtocolError

from tests.sandbox.running import EOM, GIFT_CARD, POS, TAX_DOCUMENTS, RunningSandbox, call_of

CALLS = {"gift-card": GIFT_CARD, "eom": EOM, "tax-documents": TAX_DOCUMENTS, "pos": POS}
ANSWERS = {
    "gift-card": {"redemption_id", "balance"},
    "eom": {"eom_id"},
    "tax-documents": {"folio", "type", "issued_at"},
    "pos": {"sale_id"},
}


@pytest.mark.parametrize("system", CALLS)
def test_the_same_key_again_gets_the_same_answer_and_no_second_effect(
    sandbox: RunningSandbox, order: str, system: str
) -> None:
    path, key = CALLS[system], f"{order}:{system}/1"
    first = sandbox.post(path, call_of(path, order), key)
    again = sandbox.post(path, call_of(path, order), key)
    asked = sandbox.send("GET", f"/{system}/effects/{key}")
    assert (first.status, again.status, asked.status) == (201, 200, 200)
    assert first.json().keys() == ANSWERS[system]
    assert first.data == again.data == asked.data
    assert (first.headers.get("Idempotent-Replay"), again.headers["Idempotent-Replay"]) == (None, "true")
    (effect,) = sandbox.client.effects(system, order=order)
    assert (effect["key"], effect["order_number"], effect["request"]) == (key, order, call_of(path, order))
    assert effect["external_id"] in first.json().values()


def test_another_body_under_the_same_key_is_refused(sandbox: RunningSandbox, order: str) -> None:
    sandbox.post(POS, call_of(POS, order), order)
    answer = sandbox.post(POS, {**call_of(POS, order), "total": "1"}, order)
    assert (answer.status, answer.json()["code"]) == (422, "idempotency-key-reused")
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert sandbox.orders_with_effects("pos", order) == 1


def test_of_many_calls_at_once_with_one_key_one_has_the_effect(sandbox: RunningSandbox, order: str) -> None:
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: sandbox.post(EOM, call_of(EOM, order), order), range(48)))
    assert sorted({answer.status for answer in answers}) == [200, 201]
    assert len({answer.data for answer in answers}) == 1
    assert sandbox.orders_with_effects("eom", order) == 1


def test_each_effect_has_an_outside_id_of_its_own(sandbox: RunningSandbox, order: str) -> None:
    folios = {
        sandbox.post(TAX_DOCUMENTS, call_of(TAX_DOCUMENTS, order), f"{order}-{n}").json()["folio"]
        for n in range(5)
    }
    assert len(folios) == 5


@pytest.mark.parametrize("key", [None, "", "x" * 256, "tab\there"])
def test_a_call_without_a_usable_key_is_refused(sandbox: RunningSandbox, order: str, key: str | None) -> None:
    answer = sandbox.post(POS, call_of(POS, order), key)
    assert (answer.status, answer.json()["code"]) == (400, "idempotency-key-missing")
    assert sandbox.orders_with_effects("pos", order) == 0


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"x"', b"\xff", b'{"total": NaN}', b"[" * 200_000])
def test_a_body_that_is_no_json_object_is_refused(sandbox: RunningSandbox, order: str, body: bytes) -> None:
    answer = sandbox.post(POS, body, order)
    assert (answer.status, answer.json()["code"]) == (400, "invalid-json")


@pytest.mark.parametrize(
    ("path", "field", "value"),
    [
        (EOM, "order", []),
        (EOM, "order_number", ""),
        (EOM, "order_number", "a\nb"),
        (EOM, "order_number", "9" * 65),
        (TAX_DOCUMENTS, "type", "credit-note"),
        (TAX_DOCUMENTS, "customer", "Ana"),
        (POS, "currency", "PESO"),
        (GIFT_CARD, "card_number", None),
        (GIFT_CARD, "amount", None),
        (GIFT_CARD, "amount", "-1"),
        (GIFT_CARD, "amount", "1.234"),
        (GIFT_CARD, "amount", "1e4"),
        (GIFT_CARD, "amount", "NaN"),
        (GIFT_CARD, "amount", "1_000"),
        (GIFT_CARD, "amount", "１２"),
        (POS, "total", True),
        (POS, "total", []),
    ],
)
def test_a_bad_value_is_refused_by_the_name_of_its_field(
    sandbox: RunningSandbox, order: str, path: str, field: str, value: Any
) -> None:
    answer = sandbox.post(path, {**call_of(path, order), field: value}, order)
    assert (answer.status, answer.json()["field"]) == (400, field)


def test_an_amount_may_be_a_json_number(sandbox: RunningSandbox, order: str) -> None:
    answer = sandbox.post(GIFT_CARD, {**call_of(GIFT_CARD, order), "amount": 0.1}, order)
    assert answer.json()["balance"].endswith("999.9")


@pytest.mark.parametrize(
    ("path", "change", "code"),
    [
        (GIFT_CARD, {"card_number": "6006111122220000"}, "insufficient-balance"),
        (GIFT_CARD, {"amount": "1000000000.01"}, "insufficient-balance"),
        (TAX_DOCUMENTS, {"customer": {"tax_id": "123-X"}}, "tax-id-invalid"),
    ],
)
def test_a_refusal_of_the_business_has_its_code_and_no_effect(
    sandbox: RunningSandbox, order: str, path: str, change: dict[str, Any], code: str
) -> None:
    answer = sandbox.post(path, call_of(path, order) | change, order)
    assert (answer.status, answer.json()["code"]) == (422, code)
    assert sandbox.orders_with_effects(path.split("/")[1], order) == 0


def test_what_a_key_never_had_is_told_by_404(sandbox: RunningSandbox, order: str) -> None:
    answer = sandbox.send("GET", f"/eom/effects/{order}")
    assert (answer.status, answer.json()["code"]) == (404, "effect-not-found")


def test_down_closes_the_connection_before_any_effect(sandbox: RunningSandbox, order: str) -> None:
    sandbox.client.put_fault("eom", "down", times=2)
    with pytest.raises(ProtocolError):
        sandbox.post(EOM, call_of(EOM, order), order)
    with pytest.raises(ProtocolError):
        sandbox.send("GET", f"/eom/effects/{order}")
    assert sandbox.orders_with_effects("eom", order) == 0
    assert sandbox.post(EOM, call_of(EOM, order), order).status == 201


def test_a_lost_answer_has_its_effect_and_can_be_asked_for(sandbox: RunningSandbox, order: str) -> None:
    sandbox.client.put_fault("pos", "lost-answer")
    with pytest.raises(ProtocolError):
        sandbox.post(POS, call_of(POS, order), order)
    with pytest.raises(ProtocolError):
        sandbox.post(POS, call_of(POS, order), order)
    (effect,) = sandbox.client.effects("pos", order=order)
    asked = sandbox.send("GET", f"/pos/effects/{order}")
    assert asked.json() == {"sale_id": effect["external_id"]}


@pytest.mark.parametrize(("kind", "status"), [("500", 500), ("garbage", 200)])
def test_an_error_and_garbage_have_no_effect(
    sandbox: RunningSandbox, order: str, kind: str, status: int
) -> None:
    sandbox.client.put_fault("tax-documents", kind)
    answer = sandbox.post(TAX_DOCUMENTS, call_of(TAX_DOCUMENTS, order), order)
    assert answer.status == status
    assert (b"<html" in answer.data or b"<!doctype html" in answer.data) == (kind == "garbage")
    assert sandbox.orders_with_effects("tax-documents", order) == 0


def test_a_slow_system_answers_late_with_its_effect_done(sandbox: RunningSandbox, order: str) -> None:
    sandbox.client.put_fault("gift-card", "slow", seconds=0.4)
    with ThreadPoolExecutor(1) as pool:
        started = time.monotonic()
        answer = pool.submit(sandbox.post, GIFT_CARD, call_of(GIFT_CARD, order), order)
        assert sandbox.post(POS, call_of(POS, order), order).status == 201
        assert not answer.done()
        assert answer.result().status == 201
    assert time.monotonic() - started >= 0.4
    assert sandbox.orders_with_effects("gift-card", order) == 1


def test_a_fault_hits_its_own_system_only(sandbox: RunningSandbox, order: str) -> None:
    sandbox.client.put_fault("eom", "down")
    assert sandbox.post(POS, call_of(POS, order), order).status == 201


def test_a_body_over_the_limit_is_refused(sandbox: RunningSandbox, order: str) -> None:
    assert sandbox.post(EOM, b" " * (16 * 1024 * 1024 + 1), order).status == 413
