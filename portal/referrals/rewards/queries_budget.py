"""Budgets of schemes, when each runs out at the pace of the last weeks, and what waits for room."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from sqlalchemy import case, func, select
from sqlalchemy.orm import Session, aliased

from portal.referrals.models import ReferralScheme, Reward
from portal.referrals.rewards.earnings import Hold
from portal.referrals.rewards.models import RewardGrant
from portal.referrals.schemes.models import SchemeBudget, SchemeVersion
from portal.referrals.states import RewardStatus, SchemeState

PACE_DAYS = 28
# So many of a scheme's newest rewards tell its pace; where they do not reach back as far, a newer pace.
MOST_GRANTS = 20_000
_DAY = timedelta(days=1)
# A reward in one of these has cost its scheme something.
SET_ASIDE = (
    RewardStatus.EARNED,
    RewardStatus.FULFILLED,
    RewardStatus.SENT,
    RewardStatus.REDEEMED,
    RewardStatus.FAILED,
)


@dataclass(frozen=True, slots=True)
class Pace:
    """What was earned in a scheme within so many days."""

    amount: Decimal
    days: Decimal


@dataclass(frozen=True, slots=True)
class Waiting:
    """Rewards that are pending because the budget has no room for them."""

    rewards: int
    amount: Decimal


_NOTHING = Waiting(0, Decimal(0))


@dataclass(frozen=True, slots=True)
class Budget:
    """The budget of a scheme; `total` None is without limit, `runs_out_at` None when it never does so.

    `of_a_referral` is what both its rewards cost under the version that is active, or was last.
    """

    total: Decimal | None
    reserved: Decimal
    committed: Decimal
    spent: Decimal
    of_a_referral: Decimal
    pace: Pace
    waiting: Waiting
    runs_out_at: datetime | None

    @property
    def left(self) -> Decimal | None:
        """Return what is not yet set aside; None without limit."""
        return None if self.total is None else self.total - self.reserved - self.committed - self.spent

    @property
    def has_run_out(self) -> bool:
        """Tell whether no room is left for both rewards of another referral."""
        return self.left is not None and _is_used_up(self.left, self.of_a_referral)

    def share(self, part: Decimal) -> Decimal | None:
        """Return a part of the total in percent."""
        return part * 100 / self.total if self.total else None


def read_budget(session: Session, family_id: int, now: datetime) -> Budget:
    """Return the budget of one scheme."""
    return read_budgets(session, [family_id], now)[family_id]


def read_budgets(session: Session, family_ids: Iterable[int], now: datetime) -> dict[int, Budget]:
    """Return the budgets of schemes by their families; one that has no row yet is without limit."""
    ids = list(family_ids)
    rows = {
        row.family_id: row
        for row in session.scalars(select(SchemeBudget).where(SchemeBudget.family_id.in_(ids)))
    }
    costs, waiting = _costs_of_a_referral(session, ids), _waiting(session, ids)
    begun = _begun(session, ids)
    found = {}
    for family_id in ids:
        pace = _pace(session, family_id, begun.get(family_id), now)
        cost, waits = costs.get(family_id, Decimal(0)), waiting.get(family_id, _NOTHING)
        found[family_id] = _budget(rows.get(family_id), cost, pace, waits, now)
    return found


def runs_out(left: Decimal, of_a_referral: Decimal, pace: Pace, now: datetime) -> datetime | None:
    """Return when no other referral finds room at a pace; None when never, or not within a lifetime."""
    if _is_used_up(left, of_a_referral):
        return now
    if pace.amount <= 0:
        return None
    days = left * pace.days / pace.amount
    return now + _DAY * float(days) if days < 36_500 else None


def _is_used_up(left: Decimal, of_a_referral: Decimal) -> bool:
    return left <= 0 or left < of_a_referral


def _budget(row: SchemeBudget | None, cost: Decimal, pace: Pace, waiting: Waiting, now: datetime) -> Budget:
    if row is None:
        return Budget(None, Decimal(0), Decimal(0), Decimal(0), cost, pace, waiting, None)
    left = None if row.total is None else row.total - row.reserved - row.committed - row.spent
    when = None if left is None else runs_out(left, cost, pace, now)
    return Budget(row.total, row.reserved, row.committed, row.spent, cost, pace, waiting, when)


def _costs_of_a_referral(session: Session, family_ids: list[int]) -> dict[int, Decimal]:
    """Return what both rewards cost under the version of each scheme that is active, or else the newest."""
    recruit, referrer = aliased(Reward), aliased(Reward)
    versions = (
        select(SchemeVersion.family_id, recruit.amount + referrer.amount)
        .join(ReferralScheme, ReferralScheme.id == SchemeVersion.scheme_id)
        .join(recruit, recruit.id == ReferralScheme.recruit_reward_id)
        .join(referrer, referrer.id == ReferralScheme.referrer_reward_id)
        .where(SchemeVersion.family_id.in_(family_ids), SchemeVersion.state != SchemeState.DRAFT)
        # The last of a family is the one that stays.
        .order_by(SchemeVersion.state == SchemeState.ACTIVE, SchemeVersion.version)
    )
    return dict(session.execute(versions).all())


def _begun(session: Session, family_ids: list[int]) -> dict[int, datetime]:
    first = select(SchemeVersion).where(SchemeVersion.family_id.in_(family_ids), SchemeVersion.version == 1)
    return {version.family_id: version.created_at for version in session.scalars(first)}


def _pace(session: Session, family_id: int, begun: datetime | None, now: datetime) -> Pace:
    since = now - _DAY * PACE_DAYS
    grant = RewardGrant
    newest = (
        select(grant.amount, grant.status, grant.earned_at)
        .where(grant.family_id == family_id, grant.earned_at >= since)
        .order_by(grant.earned_at.desc())
        .limit(MOST_GRANTS)
        .subquery()
    )
    counted = case((newest.c.status.in_(SET_ASIDE), newest.c.amount), else_=0)
    row = session.execute(
        select(
            func.sum(counted, type_=grant.amount.type),
            func.count(),
            func.min(newest.c.earned_at, type_=grant.earned_at.type),
        )
    ).one()
    since = row[2] if row[1] == MOST_GRANTS else max(since, begun or since)
    return Pace(row[0] or Decimal(0), _days(since, now))


def _waiting(session: Session, family_ids: list[int]) -> dict[int, Waiting]:
    grant = RewardGrant
    rows = select(grant.family_id, func.count(), func.sum(grant.amount, type_=grant.amount.type)).where(
        grant.family_id.in_(family_ids),
        grant.code == Hold.BUDGET_EXHAUSTED,
        grant.status == RewardStatus.PENDING,
    )
    return {row[0]: Waiting(row[1], row[2]) for row in session.execute(rows.group_by(grant.family_id))}


def _days(since: datetime, now: datetime) -> Decimal:
    """Return at least a day, so that the first hour of a scheme does not tell its pace."""
    return max(Decimal(1), Decimal(round((now - since) / _DAY, 3)))
