"""Why a condition is met, waits or has failed, in the cases that the page tests do not reach."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from portal.referrals.progress.explanations import (
    Check,
    CheckState,
    FailedPoll,
    Known,
    PassedRun,
    Polls,
    check_condition,
    why_not_rewarded,
)
from portal.referrals.progress.models import ConditionEvidence, ReferralProgress, SpendSeen
from portal.referrals.rewards.models import RewardGrant
from portal.referrals.schemes.queries import AskedCondition

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
SPEND = AskedCondition(3, "spend", "spend", 3, {"threshold": "100.00", "currency": "USD"})
VERIFICATION = AskedCondition(2, "verification", "verification", 2, {})
POLLS = Polls(NOW + timedelta(seconds=90), in_progress=False)


def check(
    asked: AskedCondition,
    known: Known = Known(),  # noqa: B008 - it is frozen
    *,
    status: str = "started",
    expires_in: int = 1,
    polls: Polls = POLLS,
) -> Check:
    progress = ReferralProgress(status=status, expires_at=NOW + timedelta(days=expires_in))
    return check_condition(asked, progress, known, polls=polls, now=NOW)


def seen(amount: str, currency: str = "USD") -> Known:
    return Known(seen=SpendSeen(amount=Decimal(amount), currency=currency, poll_run_id=7, at=NOW))


def test_a_met_spend_shows_the_amount_against_the_threshold_of_then() -> None:
    evidence = ConditionEvidence(source="poll", source_id="7", at=NOW)
    evidence.amount, evidence.threshold, evidence.currency = Decimal(120), Decimal(90), "USD"
    found = check(SPEND, Known(met_at=NOW, evidence=evidence))
    assert (found.state, found.amount, found.threshold, found.source_id) == (
        CheckState.MET,
        Decimal(120),
        Decimal(90),
        "7",
    )


def test_a_spend_waits_for_the_next_poll_until_the_end() -> None:
    found = check(SPEND, seen("40"))
    assert (found.state, found.next_at, found.until) == (
        CheckState.WAITING,
        POLLS.next_at,
        NOW + timedelta(days=1),
    )


def test_a_poll_that_is_under_way_is_told_instead_of_its_time() -> None:
    found = check(SPEND, polls=Polls(NOW, in_progress=True))
    assert (found.next_check, found.next_at) == ("a poll is under way", None)
    assert check(SPEND, polls=Polls(None, in_progress=False)).next_check == "the first poll"


def test_the_last_poll_is_named_only_when_it_must_have_asked() -> None:
    last = PassedRun(17, NOW, NOW + timedelta(seconds=9))
    polls = Polls(NOW, in_progress=False, last=last)
    before = Known(recorded_at=NOW - timedelta(seconds=1))
    assert check(SPEND, before, polls=polls).asked_by == last
    assert check(SPEND, Known(recorded_at=NOW), polls=polls).asked_by is None
    assert check(SPEND, polls=polls).asked_by is None
    ends_later = Polls(NOW, in_progress=False, last=PassedRun(17, NOW, NOW + timedelta(days=1)))
    assert check(SPEND, before, polls=ends_later).asked_by is None


@pytest.mark.parametrize(
    ("next_at", "under_way", "next_check", "at"),
    [
        (NOW + timedelta(minutes=2), False, "the next try", NOW + timedelta(minutes=2)),
        (NOW + timedelta(minutes=2), True, "a try is under way", None),
        (None, False, "the next poll", POLLS.next_at),
    ],
)
def test_a_poll_that_failed_is_told_with_its_reason_and_what_comes_next(
    next_at: datetime | None, under_way: bool, next_check: str, at: datetime | None
) -> None:
    failed = FailedPoll("It did not answer.", 3, NOW, next_at, under_way)
    found = check(SPEND, Known(failed_poll=failed, recorded_at=NOW - timedelta(days=1)))
    assert found.trouble is not None
    assert found.trouble.startswith("The last poll failed, 3 times so far: It did not answer.")
    assert ("waits for a push" in found.trouble) == (next_at is None)
    assert (found.next_check, found.next_at, found.asked_by) == (next_check, at, None)


def test_a_spend_whose_time_is_over_has_no_next_check() -> None:
    found = check(SPEND, expires_in=-1)
    assert (found.next_check, found.next_at) == (None, None)
    assert found.reason.startswith("The time is over: no poll asks for it any more")


def test_a_spend_in_another_currency_is_told_as_such() -> None:
    assert check(SPEND, seen("400", "EUR")).reason == (
        "The spend that was seen is in EUR, the threshold is in USD."
    )


def test_past_the_end_but_not_yet_expired_only_what_happened_before_counts() -> None:
    found = check(VERIFICATION, expires_in=-1)
    assert (found.state, found.reason.startswith("The time is over")) == (CheckState.WAITING, True)
    late = check(VERIFICATION, Known(late_at=NOW), expires_in=-1)
    assert "came when the time of the referral was over" in late.reason


def test_a_cancelled_referral_waits_for_nothing() -> None:
    found = check(SPEND, seen("40"), status="cancelled")
    assert (found.state, found.next_check, found.amount) == (CheckState.FAILED, None, Decimal(40))
    assert found.reason == "It had not come when the referral was cancelled."


def test_a_threshold_that_is_no_amount_is_not_shown() -> None:
    assert check(AskedCondition(3, "spend", "spend", 3, {"threshold": "much"})).threshold is None


@pytest.mark.parametrize(
    ("review", "tone", "said"),
    [
        ("pending", "info", "is earned, and its delivery is under way."),
        ("flagged", "bad", "if it is not, it waits for somebody to decide about the referral."),
        ("denied", "bad", "if it is not, it is not delivered, since a review denied it."),
    ],
)
def test_of_a_delivery_that_had_begun_it_is_told_what_the_review_makes_of_it(
    review: str, tone: str, said: str
) -> None:
    progress = ReferralProgress(status="converted", review=review, ended_at=NOW)
    grants = [
        RewardGrant(side="recruit", status="sent"),
        RewardGrant(side="referrer", status="earned", attempts=1, reason="The reward system answered 503."),
    ]
    why = why_not_rewarded(progress, [], grants)
    assert (why.tone, said in why.text) == (tone, True)
    assert why.text.endswith("It was tried 1 times: The reward system answered 503.")
