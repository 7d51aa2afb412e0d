"""What an amount comes to, and whose spend is asked for."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest

from portal.clients.spend import Spend
from portal.db import Database, database_now
from portal.referrals.progress.models import SpendSeen
from portal.referrals.spends.service import (
    Batch,
    OpenReferral,
    judge,
    keep_seen,
    read_open,
    spend_condition,
    threshold_of,
    verdict_on,
)
from portal.referrals.states import ReferralStatus
from tests.referrals.scenes import Scene
from tests.referrals.spending import LONG_AGO, open_referrals, spend_scheme

THRESHOLD = Spend(Decimal("100.00"), "USD")


@pytest.mark.parametrize(
    ("amount", "currency", "verdict"),
    [
        ("100.00", "USD", "met"),
        ("100.01", "USD", "met"),
        ("99.99", "USD", "below"),
        ("100.00", "CLP", "other-currency"),
    ],
)
def test_what_equals_the_threshold_meets_it_in_its_own_currency_only(
    amount: str, currency: str, verdict: str
) -> None:
    assert verdict_on(Spend(Decimal(amount), currency), THRESHOLD) == verdict


def test_the_threshold_is_read_exactly() -> None:
    assert threshold_of('{"threshold": "100.00", "currency": "USD"}') == THRESHOLD


@pytest.mark.parametrize("written", ["100.70", '"100.70"', "100.7"])
def test_a_spend_that_equals_a_threshold_meets_it_also_where_that_is_a_number(written: str) -> None:
    threshold = threshold_of(f'{{"threshold": {written}, "currency": "USD"}}')
    assert verdict_on(Spend(Decimal("100.70"), "USD"), threshold) == "met"
    assert verdict_on(Spend(Decimal("100.69"), "USD"), threshold) == "below"


@pytest.mark.parametrize(
    "data",
    [
        "",
        "{}",
        "[]",
        '{"threshold": "NaN", "currency": "USD"}',
        '{"threshold": "x", "currency": "USD"}',
        '{"threshold": "1.00"}',
        '{"threshold": "1.00", "currency": null}',
    ],
)
def test_a_threshold_that_cannot_be_read_is_none(data: str) -> None:
    threshold = threshold_of(data)
    assert threshold is None
    assert verdict_on(Spend(Decimal(10), "USD"), threshold) == "no-threshold"


def test_both_open_statuses_come_in_the_order_of_their_ids_until_they_expire(database: Database) -> None:
    with database.writer() as session:
        made, now = spend_scheme(session), database_now(session)
        for user_id in range(1, 7):
            status = (ReferralStatus.STARTED, ReferralStatus.QUALIFYING)[user_id % 2]
            expires_at = now + timedelta(seconds=1) if user_id != 4 else now
            open_referrals(session, made, [user_id], status=status, expires_at=expires_at)
        condition_id = spend_condition(session)
        assert condition_id is not None
        first = read_open(session, condition_id, now=now, after=0, limit=4)
        assert first.last_id is not None
        second = read_open(session, condition_id, now=now, after=first.last_id, limit=4)
    assert (first.user_ids, second.user_ids) == ([1, 2, 3], [5, 6])


def test_amounts_that_are_kept_again_after_a_lost_commit_are_kept_once(scene: Scene) -> None:
    with scene.database.writer() as session:
        open_referrals(session, spend_scheme(session), [1, 2])
        condition_id = spend_condition(session)
        assert condition_id is not None
        batch = read_open(session, condition_id, now=database_now(session), after=0, limit=4)
    judged = judge(batch, dict.fromkeys([1, 2], Spend(Decimal(5), "USD")), at=LONG_AGO, poll_run_id=1)
    for _ in range(2):
        with scene.database.writer() as session:
            keep_seen(session, judged, scene.recorder)
    assert len(scene.all(SpendSeen)) == 2


def test_more_refunds_than_spends_are_below_any_threshold_and_seen() -> None:
    refunded = OpenReferral(1, 2, '{"threshold": "0.01", "currency": "USD"}', None, None)
    judged = judge(
        Batch([refunded], LONG_AGO, 1), {2: Spend(Decimal("-5.00"), "USD")}, at=LONG_AGO, poll_run_id=1
    )
    assert ([one.referral_id for one, _ in judged.seen], judged.met, judged.told) == ([1], [], [])
