"""What a scheme would have earned people in the past: a calculation over what was read.

Each referral is led again through the terms: from its start, with what is known of its recruit, to the
instant at which the last condition was met, within the period of the terms. Then, in the order of those
instants, the limit of each referrer and the budget are held, as the portal does at a conversion.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction

from portal.referrals.progress.service import SIGN_UP, SPEND, VERIFICATION
from portal.referrals.schemes.periods import end_of_period


class Result(StrEnum):
    """What becomes of a referral under some terms."""

    EARNS = "earns"
    NOT_MET = "not-met"
    TOO_LATE = "too-late"
    STILL_OPEN = "still-open"
    UNKNOWN = "unknown"
    DENIED = "denied"


@dataclass(frozen=True, slots=True)
class Spend:
    """That a poll saw at `at` that a recruit had spent this much."""

    amount: Decimal
    currency: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Past:
    """What really happened in one referral: when each kind of event did, and which spends were seen.

    The spend service was asked until `polled_until`; None: never.
    """

    referral_id: int
    user_id: int
    referrer_user_id: int
    started_at: datetime
    happened: Mapping[str, datetime]
    spends: tuple[Spend, ...]
    polled_until: datetime | None
    denied: bool


@dataclass(frozen=True, slots=True)
class Asked:
    """A condition of the terms; for a spend its threshold and currency."""

    event_type: str
    threshold: Decimal | None = None
    currency: str | None = None


@dataclass(frozen=True, slots=True)
class TriedTerms:
    """The terms that are tried; `limit` 0 and `budget` None are without limit."""

    conditions: tuple[Asked, ...]
    period_type: str
    period_length: int
    limit: int
    budget: Decimal | None
    referrer_amount: Decimal
    recruit_amount: Decimal


@dataclass(frozen=True, slots=True)
class Earner:
    """A referral that would have earned its recruit and, unless over the limit, its referrer so much at `at`.

    `referrer_amount` is None over the limit.
    """

    referral_id: int
    user_id: int
    referrer_user_id: int
    at: datetime
    recruit_amount: Decimal
    referrer_amount: Decimal | None


@dataclass(frozen=True, slots=True)
class Tried:
    """What the terms would have brought: referrals by result, rewards and their cost.

    `over_limit` referrers' rewards and `over_budget` referrals would have waited. `most_cost` is the cost
    if all those would have earned of which it is unknown. `earners` are the referrals that were paid, of a
    sample those in it.
    """

    referrals: int
    results: Mapping[Result, int]
    referrer_rewards: int
    recruit_rewards: int
    cost: Decimal
    most_cost: Decimal
    over_limit: int
    over_budget: int
    earners: tuple[Earner, ...]

    def count(self, result: str) -> int:
        """Return how many referrals came to a result."""
        return self.results.get(Result(result), 0)


@dataclass(frozen=True, slots=True)
class Compared:
    """A referral that would have earned here, there, or in both."""

    here: Earner | None
    there: Earner | None

    @property
    def either(self) -> Earner:
        """Return what is known of it, whichever side has it."""
        earner = self.here or self.there
        if earner is None:
            raise ValueError("A referral that earns nowhere is not compared.")
        return earner


def try_on_history(
    past: Sequence[Past],
    terms: TriedTerms,
    now: datetime,
    share: Fraction = Fraction(1),
    earned_before: Mapping[int, int] | None = None,
) -> Tried:
    """Lead referrals through terms, and return what would have come of it.

    When they are a sample, `share` says which part of all they are: the same part of the budget is held for
    them, and what came of them is scaled up. `earned_before` are the rewards that count for the limit of
    each referrer from the beginning.
    """
    if share != 1:
        tried = try_on_history(past, _of_share(terms, share), now, earned_before=earned_before)
        return _scaled_up(tried, share)
    used = earned_before or {}
    judged = [(one, *judge(one, terms, now)) for one in past]
    results = Counter(result for _, result, _ in judged)
    earning = sorted(
        ((at, one) for one, result, at in judged if result is Result.EARNS and at is not None),
        key=lambda pair: (pair[0], pair[1].referral_id),
    )
    paid = _pay(earning, terms, used)
    unknown = [(now, one) for one, result, _ in judged if result is Result.UNKNOWN]
    most = _pay(earning + unknown, terms, used)
    return Tried(
        referrals=len(past),
        results=results,
        referrer_rewards=len(paid.earners) - paid.over_limit,
        recruit_rewards=len(paid.earners),
        cost=paid.cost,
        most_cost=most.cost,
        over_limit=paid.over_limit,
        over_budget=paid.over_budget,
        earners=paid.earners,
    )


def compare_earners(here: Tried, there: Tried | None) -> list[Compared]:
    """Put beside each other who would have earned under two terms, the newest first."""
    mine = {one.referral_id: one for one in here.earners}
    theirs = {one.referral_id: one for one in there.earners} if there else {}
    compared = [Compared(mine.get(one), theirs.get(one)) for one in {**mine, **theirs}]
    return sorted(compared, key=lambda one: (one.either.at, one.either.referral_id), reverse=True)


def _of_share(terms: TriedTerms, share: Fraction) -> TriedTerms:
    return replace(terms, budget=None if terms.budget is None else _money(Fraction(terms.budget) * share))


def _scaled_up(tried: Tried, share: Fraction) -> Tried:
    return Tried(
        referrals=round(tried.referrals / share),
        results={result: round(count / share) for result, count in tried.results.items()},
        referrer_rewards=round(tried.referrer_rewards / share),
        recruit_rewards=round(tried.recruit_rewards / share),
        cost=_money(Fraction(tried.cost) / share),
        most_cost=_money(Fraction(tried.most_cost) / share),
        over_limit=round(tried.over_limit / share),
        over_budget=round(tried.over_budget / share),
        earners=tried.earners,
    )


def _money(amount: Fraction) -> Decimal:
    return Decimal(round(amount * 100)).scaleb(-2)


def judge(past: Past, terms: TriedTerms, now: datetime) -> tuple[Result, datetime | None]:
    """Return what becomes of one referral, and for one that earns, the instant of its last condition."""
    if past.denied:
        return Result.DENIED, None
    end = end_of_period(past.started_at, terms.period_type, terms.period_length)
    is_over = end is not None and end <= now
    verdicts = [_meet(past, asked, end, now) for asked in terms.conditions]
    for result in (Result.TOO_LATE, Result.NOT_MET):
        if any(found is result for found, _ in verdicts):
            if result is Result.NOT_MET and not is_over:
                return Result.STILL_OPEN, None
            return result, None
    if any(found is Result.UNKNOWN for found, _ in verdicts):
        return Result.UNKNOWN, None
    return Result.EARNS, max((at for _, at in verdicts if at is not None), default=past.started_at)


def _meet(past: Past, asked: Asked, end: datetime | None, now: datetime) -> tuple[Result, datetime | None]:
    if asked.event_type == SPEND:
        return _meet_spend(past, asked, end, now)
    at = past.started_at if asked.event_type == SIGN_UP else past.happened.get(asked.event_type)
    if at is None:
        # Verifications are kept whatever the scheme; of others nobody told who was not asked.
        return Result.NOT_MET if asked.event_type == VERIFICATION else Result.UNKNOWN, None
    return (Result.EARNS, at) if end is None or at < end else (Result.TOO_LATE, None)


def _meet_spend(
    past: Past, asked: Asked, end: datetime | None, now: datetime
) -> tuple[Result, datetime | None]:
    """Tell from the spends that polls saw; of what they did not ask for, nothing is known."""
    if asked.threshold is None or past.polled_until is None:
        return Result.UNKNOWN, None
    enough = [
        spend.at
        for spend in past.spends
        if spend.currency == asked.currency and spend.amount >= asked.threshold
    ]
    if enough:
        at = min(enough)
        # A poll saw it then; when it was spent, and whether that was still in time, it did not say.
        return (Result.EARNS, at) if end is None or at < end else (Result.UNKNOWN, None)
    is_other_currency = any(spend.currency != asked.currency for spend in past.spends)
    asked_to_the_end = past.polled_until >= (now if end is None else min(end, now))
    return Result.UNKNOWN if is_other_currency or not asked_to_the_end else Result.NOT_MET, None


@dataclass(frozen=True, slots=True)
class _Paid:
    earners: tuple[Earner, ...]
    cost: Decimal
    over_limit: int
    over_budget: int


def _pay(
    earning: Iterable[tuple[datetime, Past]], terms: TriedTerms, earned_before: Mapping[int, int]
) -> _Paid:
    usage = Counter(earned_before)
    earners = []
    over_limit = over_budget = 0
    cost = Decimal(0)
    for at, past in earning:
        within = not terms.limit or usage[past.referrer_user_id] < terms.limit
        both = terms.recruit_amount + (terms.referrer_amount if within else 0)
        if terms.budget is not None and cost + both > terms.budget:
            over_budget += 1
            continue
        cost += both
        usage[past.referrer_user_id] += within
        over_limit += not within
        of_referrer = terms.referrer_amount if within else None
        users = (past.user_id, past.referrer_user_id)
        earners.append(Earner(past.referral_id, *users, at, terms.recruit_amount, of_referrer))
    return _Paid(tuple(earners), cost, over_limit, over_budget)
