"""`referrals.isuseroffered` says the same each time, and records the first time."""

from __future__ import annotations

import json
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import select

from portal.errors import InvalidInput
from portal.jsonrpc import Caller
from portal.referrals.experiments.rpc import methods
from portal.referrals.experiments.service import Plan, start_experiment
from portal.referrals.rewards.models import Exposure
from portal.runtime import Runtime
from tests.referrals.inviting import CLIENT, PRODUCT, add_active_scheme
from tests.web.portal import OPERATOR

(METHOD,) = methods()


def ask(runtime: Runtime, user_id: int, **more: str) -> dict[str, Any]:
    caller = Caller(runtime, CLIENT, may_administer=False)
    answer: dict[str, Any] = json.loads(METHOD.call(caller, {"user_id": user_id} | more))
    return answer


def exposures(runtime: Runtime) -> dict[int, bool]:
    with runtime.writer() as session:
        return {row.user_id: row.offered for row in session.scalars(select(Exposure))}


def test_a_user_is_recorded_with_the_first_answer_and_always_gets_the_same(runtime: Runtime) -> None:
    with runtime.writer() as session:
        add_active_scheme(session)
    plan = Plan("spring", PRODUCT, Decimal(50), runtime.clock() + timedelta(days=1))
    runtime.transact(lambda session: start_experiment(session, plan, actor=OPERATOR, now=runtime.clock()))
    first = {user: ask(runtime, user)["offered"] for user in range(1, 21)}
    assert {user: ask(runtime, user)["offered"] for user in first} == first
    assert exposures(runtime) == first
    assert set(first.values()) == {True, False}
    assert ask(runtime, 1)["experiment_id"] == 1


def test_without_a_scheme_nobody_is_offered_and_without_an_experiment_everybody(runtime: Runtime) -> None:
    nobody = {"offered": False, "experiment_id": None}
    assert ask(runtime, 7) == nobody
    with runtime.writer() as session:
        add_active_scheme(session)
    assert ask(runtime, 7) == {"offered": True, "experiment_id": None}
    assert ask(runtime, 7, product="cards") == nobody
    assert exposures(runtime) == {}


def test_with_several_active_schemes_the_product_is_asked_for(runtime: Runtime) -> None:
    with runtime.writer() as session:
        for product in ("loans", "cards"):
            add_active_scheme(session, product)
    with pytest.raises(InvalidInput):
        ask(runtime, 7)
    assert ask(runtime, 7, product="cards")["offered"]
