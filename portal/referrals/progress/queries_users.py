"""What is asked about the referrals of users: how many there are, and which."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from sqlalchemy import Integer, Numeric, String, select, text, union_all
from sqlalchemy.orm import Session, aliased

from portal.db import Database
from portal.referrals.models import Condition, ReferralCondition, SchemeCondition
from portal.referrals.progress.models import ReferralProgress
from portal.referrals.states import ReferralStatus

# One question, of text: it is the one that is asked most often.
_STATS = text(
    "SELECT 'invitation' AS what, status, '' AS currency, COUNT(*) AS number, 0 AS amount"
    " FROM invitation WHERE referrer_user_id = :user_id AND referral_id IS NULL GROUP BY status"
    " UNION ALL"
    " SELECT 'referral', status, '', COUNT(*), 0"
    " FROM referral_progress WHERE referrer_user_id = :user_id GROUP BY status"
    " UNION ALL"
    " SELECT 'reward', status, currency, COUNT(*), SUM(amount)"
    " FROM reward_grant WHERE user_id = :user_id GROUP BY status, currency"
).columns(what=String, status=String, currency=String, number=Integer, amount=Numeric(14, 2))


@dataclass(frozen=True, slots=True)
class RewardSum:
    """How many rewards of a user are in a status, and their amounts together."""

    status: str
    currency: str
    number: int
    amount: Decimal


@dataclass(frozen=True, slots=True)
class UserStats:
    """How far those are whom a user has invited, each counted where it stands; and the user's rewards."""

    numbers: Mapping[str, int]
    rewards: Sequence[RewardSum]


@dataclass(frozen=True, slots=True)
class Need:
    """A condition of a referral, and when it was met, if it was."""

    condition_id: int
    name: str
    met_at: datetime | None


@dataclass(frozen=True, slots=True)
class UserReferral:
    """A referral as its referrer may see it, with its conditions in their order."""

    id: int
    scheme_id: int
    user_id: int
    referrer_user_id: int
    status: str
    started_at: datetime
    expires_at: datetime | None
    ended_at: datetime | None
    conditions: tuple[Need, ...]


def user_stats(database: Database, user_id: int) -> UserStats:
    """Count what a user has brought and earned, as far as the reader knows."""
    numbers: dict[str, int] = dict.fromkeys(ReferralStatus, 0)
    rewards = []
    for what, status, currency, number, amount in database.ask(_STATS, {"user_id": user_id}):
        if what == "reward":
            rewards.append(RewardSum(status, currency, number, amount))
        else:
            numbers[status] = numbers.get(status, 0) + number
    return UserStats(numbers, rewards)


def referrals_of(
    session: Session, user_ids: Sequence[int], *, limit: int, below: int | None = None
) -> dict[int, list[UserReferral]]:
    """Return the newest referrals that each of these users made, with ids `below`, at most `limit` each."""
    found: dict[int, list[UserReferral]] = {user_id: [] for user_id in user_ids}
    if not found:
        return found
    newest = []
    for user_id in found:
        of_user = select(ReferralProgress).where(ReferralProgress.referrer_user_id == user_id)
        if below is not None:
            of_user = of_user.where(ReferralProgress.referral_id < below)
        of_user = of_user.order_by(ReferralProgress.referral_id.desc()).limit(limit)
        newest.append(select(of_user.subquery()))
    wanted = aliased(ReferralProgress, union_all(*newest).subquery())
    rows = session.scalars(select(wanted).order_by(wanted.referral_id.desc())).all()
    needs = _needs_of(session, rows)
    for row in rows:
        found[row.referrer_user_id].append(_referral(row, needs[row.referral_id]))
    return found


def _needs_of(session: Session, rows: Sequence[ReferralProgress]) -> dict[int, list[Need]]:
    asked: dict[int, list[tuple[int, str]]] = defaultdict(list)
    of_schemes = (
        select(SchemeCondition.referral_scheme_id, Condition.id, Condition.name)
        .join(Condition, Condition.id == SchemeCondition.condition_id)
        .where(SchemeCondition.referral_scheme_id.in_({row.scheme_id for row in rows}))
        .order_by(SchemeCondition.referral_scheme_id, SchemeCondition.ordinal, Condition.id)
    )
    for scheme_id, condition_id, name in session.execute(of_schemes):
        asked[scheme_id].append((condition_id, name))
    met = select(
        ReferralCondition.referral_id, ReferralCondition.condition_id, ReferralCondition.created_at
    ).where(ReferralCondition.referral_id.in_([row.referral_id for row in rows]))
    times = {(referral, condition): at for referral, condition, at in session.execute(met)}
    return {
        row.referral_id: [
            Need(condition_id, name, times.get((row.referral_id, condition_id)))
            for condition_id, name in asked[row.scheme_id]
        ]
        for row in rows
    }


def _referral(row: ReferralProgress, needs: list[Need]) -> UserReferral:
    return UserReferral(
        id=row.referral_id,
        scheme_id=row.scheme_id,
        user_id=row.user_id,
        referrer_user_id=row.referrer_user_id,
        status=row.status,
        started_at=row.started_at,
        expires_at=row.expires_at,
        ended_at=row.ended_at,
        conditions=tuple(needs),
    )
