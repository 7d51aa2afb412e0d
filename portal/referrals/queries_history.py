"""What really happened in the referrals of a product, as a scheme is tried on it."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from sqlalchemy import Row, select
from sqlalchemy.orm import Session

from portal.referrals.conditions import event_types
from portal.referrals.models import ReferralScheme, SchemeCondition
from portal.referrals.progress import OPEN, SPEND
from portal.referrals.progress_models import ConditionEvidence, ReferralProgress, SpendSeen, UserFact
from portal.referrals.queries_schemes import Scheme
from portal.referrals.states import Review
from portal.referrals.try_on_history import Asked, Past, Spend, TriedTerms

MOST_REFERRALS = 20_000


@dataclass(frozen=True, slots=True)
class History:
    """What happened since `since`; `complete` is false when there were more referrals than are read."""

    since: datetime
    past: list[Past]
    complete: bool


def read_history(session: Session, product: str, *, since: datetime, now: datetime) -> History:
    """Read the newest referrals of a product that began at `since` or later, with what is known of them."""
    progress = ReferralProgress
    newest = session.execute(
        select(
            progress.referral_id,
            progress.referrer_user_id,
            progress.user_id,
            progress.scheme_id,
            progress.status,
            progress.review,
            progress.started_at,
            progress.ended_at,
        )
        .order_by(progress.referral_id.desc())
        .limit(MOST_REFERRALS)
    ).all()
    if not newest:
        return History(since, [], complete=True)
    complete = len(newest) < MOST_REFERRALS or newest[-1].started_at < since
    if not complete:
        since = newest[-1].started_at
    of_product = set(session.scalars(select(ReferralScheme.id).where(ReferralScheme.product == product)))
    rows = [row for row in newest if row.scheme_id in of_product and row.started_at >= since]
    told = _Told.read(session, newest[-1].referral_id)
    return History(since, [told.past_of(row, now) for row in rows], complete)


def tried_terms(scheme: Scheme) -> TriedTerms:
    """Return the terms of a version as they are tried on history."""
    return TriedTerms(
        conditions=tuple(_asked(one.event_type, one.data) for one in scheme.conditions),
        period_type=scheme.expiry_period_type,
        period_length=scheme.expiry_period_length,
        limit=scheme.limit_rewards,
        budget=scheme.budget,
        referrer_amount=scheme.referrer_reward.amount,
        recruit_amount=scheme.recruit_reward.amount,
    )


def _asked(event_type: str, data: Mapping[str, Any]) -> Asked:
    try:
        threshold = Decimal(str(data["threshold"])) if "threshold" in data else None
    except InvalidOperation:
        threshold = None
    return Asked(event_type, threshold, data.get("currency"))


@dataclass(frozen=True, slots=True)
class _Told:
    """What is known of referrals and their recruits, by their ids."""

    happened: Mapping[int, Mapping[str, datetime]]
    spent: Mapping[int, Spend]
    seen: Mapping[int, Spend]
    verified: Mapping[int, Mapping[str, datetime]]
    polled_schemes: frozenset[int]

    @classmethod
    def read(cls, session: Session, first_referral_id: int) -> "_Told":
        """Read by ranges of ids: so many ids in one list would be slower than the rows between them."""
        happened: dict[int, dict[str, datetime]] = defaultdict(dict)
        spent = {}
        known_types = event_types(session)
        evidence = select(ConditionEvidence).where(ConditionEvidence.referral_id >= first_referral_id)
        for row in session.scalars(evidence):
            event_type = known_types[row.condition_id]
            happened[row.referral_id][event_type] = row.at
            if event_type == SPEND and row.amount is not None and row.currency is not None:
                spent[row.referral_id] = Spend(row.amount, row.currency, row.at)
        seen = {
            row.referral_id: Spend(row.amount, row.currency, row.at)
            for row in session.scalars(select(SpendSeen).where(SpendSeen.referral_id >= first_referral_id))
        }
        facts: dict[int, dict[str, datetime]] = defaultdict(dict)
        known = (
            select(UserFact.user_id, UserFact.event_type, UserFact.at)
            .join(ReferralProgress, ReferralProgress.user_id == UserFact.user_id)
            .where(ReferralProgress.referral_id >= first_referral_id)
        )
        for user_id, event_type, at in session.execute(known):
            facts[user_id][event_type] = at
        spends = [condition_id for condition_id, one in known_types.items() if one == SPEND]
        polled = select(SchemeCondition.referral_scheme_id).where(SchemeCondition.condition_id.in_(spends))
        return cls(happened, spent, seen, facts, frozenset(session.scalars(polled)))

    def past_of(self, row: Row[*tuple[Any, ...]], now: datetime) -> Past:
        """Put together what is known of one referral."""
        spends = (self.spent.get(row.referral_id), self.seen.get(row.referral_id))
        return Past(
            referral_id=row.referral_id,
            referrer_user_id=row.referrer_user_id,
            started_at=row.started_at,
            happened={**self.verified.get(row.user_id, {}), **self.happened.get(row.referral_id, {})},
            spends=tuple(_without_none(spends)),
            polled_until=self._polled_until(row, now),
            denied=row.review == Review.DENIED,
        )

    def _polled_until(self, row: Row[*tuple[Any, ...]], now: datetime) -> datetime | None:
        if row.scheme_id not in self.polled_schemes:
            return None
        spent_at = self.happened.get(row.referral_id, {}).get(SPEND)
        if spent_at is not None:
            return spent_at
        return now if row.status in OPEN else row.ended_at


def _without_none(spends: Iterable[Spend | None]) -> list[Spend]:
    return [spend for spend in spends if spend is not None]
