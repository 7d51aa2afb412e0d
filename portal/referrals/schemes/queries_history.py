"""What really happened in the referrals of a product, as a scheme is tried on it."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from typing import Any

from sqlalchemy import Row, and_, func, or_, select
from sqlalchemy.orm import Session

from portal.referrals.models import ReferralScheme, SchemeCondition
from portal.referrals.progress.models import ConditionEvidence, ReferralProgress, SpendSeen, UserFact
from portal.referrals.progress.service import OPEN, SPEND
from portal.referrals.rewards.earnings import REFERRER, Hold
from portal.referrals.rewards.models import RewardGrant
from portal.referrals.rewards.queries_budget import SET_ASIDE
from portal.referrals.schemes.conditions import event_types, threshold_in
from portal.referrals.schemes.models import ReferrerUsage
from portal.referrals.schemes.queries import Scheme
from portal.referrals.schemes.try_on_history import Asked, Past, Spend, TriedTerms
from portal.referrals.states import ReferralStatus, Review, RewardStatus

MOST_REFERRALS = 20_000
_READ = (
    ReferralProgress.referral_id,
    ReferralProgress.referrer_user_id,
    ReferralProgress.user_id,
    ReferralProgress.scheme_id,
    ReferralProgress.status,
    ReferralProgress.review,
    ReferralProgress.started_at,
    ReferralProgress.ended_at,
)
# By the remainder of their ids referrers fall into so many parts of about the same size; a prime, so that no
# pattern in the ids of users favours a part.
_PARTS = 997
# MariaDB makes a table of a list of 1,000 values, and then reads the other one as a whole.
_BATCH = 500


@dataclass(frozen=True, slots=True)
class History:
    """What happened in `total` referrals since `since`; where there are too many, `past` is a sample of them.

    A sample has all referrals of some referrers, so that the limit of each is held as it would have been.
    """

    since: datetime
    past: list[Past]
    total: int

    @property
    def share(self) -> Fraction:
        """Return which part of all referrals was read."""
        return Fraction(len(self.past), self.total) if self.total else Fraction(1)


def read_history(session: Session, product: str, *, since: datetime, now: datetime) -> History:
    """Read the referrals of a product that began at `since` or later, with what is known of them."""
    progress = ReferralProgress
    schemes = session.scalars(select(ReferralScheme.id).where(ReferralScheme.product == product)).all()
    began = [progress.scheme_id.in_(schemes), progress.started_at >= since]
    part = progress.referrer_user_id % _PARTS
    counted = select(part, func.count()).where(*began).group_by(part)
    sizes = {row[0]: row[1] for row in session.execute(counted)}
    total, chosen = sum(sizes.values()), _choose(sizes)
    if len(chosen) < len(sizes):
        began.append(part.in_(chosen))
    rows = session.execute(select(*_READ).where(*began).limit(MOST_REFERRALS))
    known_types = event_types(session)
    polled = _polled_schemes(session, known_types)
    past: list[Past] = []
    for batch in rows.partitions(_BATCH):
        told = _Told.read(session, batch, known_types, polled)
        past += [told.past_of(row, now) for row in batch]
    return History(since, past, total)


def _choose(sizes: Mapping[int, int]) -> list[int]:
    """Choose as many parts as are read; one at least, also when it alone is too large."""
    chosen, room = [], MOST_REFERRALS
    for part, size in sorted(sizes.items()):
        if size <= room:
            chosen.append(part)
            room -= size
    return chosen or sorted(sizes, key=sizes.__getitem__)[:1]


def earned_before(session: Session, scheme: Scheme, history: History) -> dict[int, int]:
    """Return how many rewards of each referrer counted for a scheme's limit when the history begins.

    That is what counts now without what was earned since: of referrals from the old service nothing but the
    count was kept.
    """
    if not scheme.limit_rewards:
        return {}
    referrers = sorted({one.referrer_user_id for one in history.past})
    counted: dict[int, int] = {}
    for start in range(0, len(referrers), _BATCH):
        counted |= _counted(session, scheme.family_id, referrers[start : start + _BATCH])
    ids, since = list(counted), Counter[int]()
    for start in range(0, len(ids), _BATCH):
        since.update(_earned_since(session, scheme.family_id, ids[start : start + _BATCH], history.since))
    return {referrer: max(0, number - since[referrer]) for referrer, number in counted.items()}


def _counted(session: Session, family_id: int, referrers: Sequence[int]) -> dict[int, int]:
    usage = ReferrerUsage
    counted = select(usage.referrer_user_id, usage.rewards).where(
        usage.family_id == family_id, usage.referrer_user_id.in_(referrers), usage.rewards > 0
    )
    return dict(session.execute(counted).all())


def _earned_since(
    session: Session, family_id: int, referrers: Sequence[int], since: datetime
) -> dict[int, int]:
    progress, grant = ReferralProgress, RewardGrant
    counts = or_(
        grant.id.is_(None),
        grant.status.in_(SET_ASIDE),
        and_(grant.status == RewardStatus.PENDING, grant.code == Hold.IN_REVIEW),
    )
    earned = (
        select(progress.referrer_user_id, func.count())
        .outerjoin(grant, and_(grant.referral_id == progress.referral_id, grant.side == REFERRER))
        .where(
            progress.family_id == family_id,
            progress.referrer_user_id.in_(referrers),
            progress.status == ReferralStatus.CONVERTED,
            func.coalesce(grant.earned_at, progress.ended_at) >= since,
            counts,
        )
        .group_by(progress.referrer_user_id)
    )
    return dict(session.execute(earned).all())


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
    return Asked(event_type, threshold_in(data), data.get("currency"))


@dataclass(frozen=True, slots=True)
class _Told:
    """What is known of some referrals and their recruits, by their ids."""

    happened: Mapping[int, Mapping[str, datetime]]
    spent: Mapping[int, Spend]
    seen: Mapping[int, Spend]
    verified: Mapping[int, Mapping[str, datetime]]
    polled_schemes: frozenset[int]

    @classmethod
    def read(
        cls,
        session: Session,
        rows: Sequence[Row[*tuple[Any, ...]]],
        known_types: Mapping[int, str],
        polled_schemes: frozenset[int],
    ) -> "_Told":
        """Read what is known of a batch; `known_types` are what meets conditions, by their ids."""
        referral_ids = [row.referral_id for row in rows]
        happened: dict[int, dict[str, datetime]] = defaultdict(dict)
        spent = {}
        met = ConditionEvidence
        evidence = select(met.referral_id, met.condition_id, met.at, met.amount, met.currency)
        evidence = evidence.where(met.referral_id.in_(referral_ids))
        for referral_id, condition_id, at, amount, currency in session.execute(evidence):
            event_type = known_types[condition_id]
            happened[referral_id][event_type] = at
            if event_type == SPEND and amount is not None and currency is not None:
                spent[referral_id] = Spend(amount, currency, at)
        saw = select(SpendSeen.referral_id, SpendSeen.amount, SpendSeen.currency, SpendSeen.at)
        saw = saw.where(SpendSeen.referral_id.in_(referral_ids))
        seen = {row.referral_id: Spend(row.amount, row.currency, row.at) for row in session.execute(saw)}
        facts: dict[int, dict[str, datetime]] = defaultdict(dict)
        known = select(UserFact.user_id, UserFact.event_type, UserFact.at)
        known = known.where(UserFact.user_id.in_([row.user_id for row in rows]))
        for user_id, event_type, at in session.execute(known):
            facts[user_id][event_type] = at
        return cls(happened, spent, seen, facts, polled_schemes)

    def past_of(self, row: Row[*tuple[Any, ...]], now: datetime) -> Past:
        """Put together what is known of one referral."""
        spends = (self.spent.get(row.referral_id), self.seen.get(row.referral_id))
        return Past(
            referral_id=row.referral_id,
            user_id=row.user_id,
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


def _polled_schemes(session: Session, known_types: Mapping[int, str]) -> frozenset[int]:
    spends = [condition_id for condition_id, event_type in known_types.items() if event_type == SPEND]
    asked = select(SchemeCondition.referral_scheme_id).where(SchemeCondition.condition_id.in_(spends))
    return frozenset(session.scalars(asked))


def _without_none(spends: Iterable[Spend | None]) -> list[Spend]:
    return [spend for spend in spends if spend is not None]
