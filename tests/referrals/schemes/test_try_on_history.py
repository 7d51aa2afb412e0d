"""A scheme tried on what happened, against examples worked by hand."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction

import pytest

from portal.referrals.schemes.try_on_history import (
    Asked,
    Past,
    Result,
    Spend,
    TriedTerms,
    compare_earners,
    judge,
    try_on_history,
)

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
START = NOW - timedelta(days=60)
ALL = (Asked("sign-up"), Asked("verification"), Asked("spend", Decimal(100), "USD"))
TERMS = TriedTerms(ALL, "days", 30, 0, None, Decimal("10.10"), Decimal("5.20"))


def past(number: int = 1, referrer: int = 41, *, begun: datetime = START, **more: object) -> Past:
    """Give a referral of which verification on day 1 and a spend of 120 on day 2 + `number` are known."""
    spent_at = begun + timedelta(days=2 + number)
    told = {
        "happened": {"verification": begun + timedelta(days=1)},
        "spends": (Spend(Decimal(120), "USD", spent_at),),
        "polled_until": spent_at,
        "denied": False,
    }
    return Past(number, 1000 + number, referrer, begun, **(told | more))  # type: ignore[arg-type]


def result(one: Past, terms: TriedTerms = TERMS) -> Result:
    return judge(one, terms, NOW)[0]


def test_a_worked_example_with_a_limit_and_a_budget() -> None:
    # In the order of their spends 1 to 5: three of referrer 41 (limit 2), one of 42, one of 43.
    history = [past(1), past(2), past(3), past(4, 42), past(5, 43)]
    # 15.30 + 15.30 + 5.20 (over the limit) + 15.30 = 51.10; the fifth would make 66.40.
    tried = try_on_history(history, replace(TERMS, limit=2, budget=Decimal(60)), NOW)
    assert tried.cost == Decimal("51.10")
    assert (tried.referrer_rewards, tried.recruit_rewards) == (3, 4)
    assert (tried.over_limit, tried.over_budget) == (1, 1)
    assert tried.count("earns") == 5
    without = try_on_history(history, TERMS, NOW)
    assert (without.cost, without.over_limit, without.over_budget) == (Decimal("76.50"), 0, 0)


def test_what_was_earned_before_counts_for_the_limit() -> None:
    history = [past(1), past(2), past(3, 42)]
    tried = try_on_history(history, replace(TERMS, limit=3), NOW, earned_before={41: 2, 42: 3})
    assert (tried.referrer_rewards, tried.recruit_rewards, tried.over_limit) == (1, 3, 2)
    assert [one.referrer_amount for one in tried.earners] == [Decimal("10.10"), None, None]


def test_who_earns_is_told_with_what_each_side_gets_and_under_which_terms() -> None:
    history = [past(1), past(2), past(3, 42)]
    here = try_on_history(history, replace(TERMS, budget=Decimal("20.50"), limit=1), NOW)
    # 15.30 and 5.20 use the budget up; the third waits, and is not told.
    assert [(one.referral_id, one.user_id, one.referrer_user_id) for one in here.earners] == [
        (1, 1001, 41),
        (2, 1002, 41),
    ]
    assert [(one.recruit_amount, one.referrer_amount) for one in here.earners] == [
        (Decimal("5.20"), Decimal("10.10")),
        (Decimal("5.20"), None),
    ]
    only_last = [past(3, 42), replace(past(2), happened={})]
    compared = compare_earners(here, try_on_history(only_last, TERMS, NOW))
    assert [(one.either.referral_id, one.here is None, one.there is None) for one in compared] == [
        (3, True, False),
        (2, False, True),
        (1, False, True),
    ]


def test_the_order_is_that_of_the_last_conditions_not_of_the_ids() -> None:
    later, earlier = past(9), replace(past(2), referral_id=10, referrer_user_id=42)
    tried = try_on_history([later, earlier], replace(TERMS, budget=Decimal("15.30")), NOW)
    assert (tried.recruit_rewards, tried.over_budget) == (1, 1)
    assert judge(earlier, TERMS, NOW)[1] == START + timedelta(days=4)


def test_a_lower_threshold_lets_earn_what_a_poll_saw() -> None:
    open_still = past(spends=(Spend(Decimal(60), "USD", START + timedelta(days=5)),), polled_until=NOW)
    assert result(open_still) is Result.NOT_MET
    lower = (*ALL[:2], Asked("spend", Decimal(50), "USD"))
    assert result(open_still, replace(TERMS, conditions=lower)) is Result.EARNS


def test_a_higher_threshold_cannot_be_judged_where_polls_stopped_before() -> None:
    higher = (*ALL[:2], Asked("spend", Decimal(200), "USD"))
    assert result(past(), replace(TERMS, conditions=higher)) is Result.UNKNOWN
    asked_to_the_end = past(polled_until=START + timedelta(days=30))
    assert result(asked_to_the_end, replace(TERMS, conditions=higher)) is Result.NOT_MET


def test_a_longer_period_cannot_be_judged_after_the_polls_of_an_expired_referral() -> None:
    expired = past(spends=(), polled_until=START + timedelta(days=30))
    assert result(expired) is Result.NOT_MET
    assert result(expired, replace(TERMS, period_length=45)) is Result.UNKNOWN


def test_a_shorter_period_makes_a_verification_too_late_and_a_spend_unknown() -> None:
    late = past(happened={"verification": START + timedelta(days=8)})
    assert result(late, replace(TERMS, period_length=7)) is Result.TOO_LATE
    # The poll saw it on day 7; it may have been spent on day 6.
    assert result(past(5), replace(TERMS, period_length=7)) is Result.UNKNOWN


@pytest.mark.parametrize(
    ("one", "said"),
    [
        (past(happened={}), Result.NOT_MET),
        (past(happened={}, begun=NOW - timedelta(days=3), polled_until=NOW), Result.STILL_OPEN),
        (past(polled_until=None, spends=()), Result.UNKNOWN),
        (past(spends=(Spend(Decimal(500), "EUR", START),)), Result.UNKNOWN),
        (past(denied=True), Result.DENIED),
        (past(), Result.EARNS),
    ],
)
def test_what_is_known_decides(one: Past, said: Result) -> None:
    assert result(one) is said


def test_a_condition_that_nobody_was_asked_about_cannot_be_judged() -> None:
    assert result(past(), replace(TERMS, conditions=(Asked("first-login"),))) is Result.UNKNOWN


def test_the_most_that_it_may_cost_counts_those_of_whom_it_is_unknown() -> None:
    tried = try_on_history([past(1), past(2, polled_until=None, spends=())], TERMS, NOW)
    assert (tried.cost, tried.most_cost) == (Decimal("15.30"), Decimal("30.60"))


def test_on_no_history_nothing_is_earned() -> None:
    tried = try_on_history([], TERMS, NOW)
    assert (tried.referrals, tried.cost, tried.count("earns")) == (0, Decimal(0), 0)


def test_a_sample_is_tried_on_its_share_of_the_budget_and_scaled_up() -> None:
    # A third of nine referrals: a budget of 92 is 30.67 for them, which two of 15.30 fit into.
    tried = try_on_history(
        [past(1), past(2), past(3)], replace(TERMS, budget=Decimal(92)), NOW, Fraction(1, 3)
    )
    assert (tried.referrals, tried.cost, tried.over_budget) == (9, Decimal("91.80"), 3)
    assert (tried.referrer_rewards, tried.recruit_rewards, tried.count("earns")) == (6, 6, 9)
