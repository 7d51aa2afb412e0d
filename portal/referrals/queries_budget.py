"""Budgets of schemes, and when each runs out at the pace of the last weeks."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from sqlalchemy import and_, case, func, select
from sqlalchemy.orm import Session

from portal.referrals.reward_models import RewardGrant
from portal.referrals.scheme_models import SchemeBudget, SchemeVersion
from portal.referrals.states import RewardStatus

PACE_DAYS = 28
# So many of the newest rewards tell the pace; where they do not reach back as far, they tell a newer pace.
MOST_GRANTS = 20_000
_DAY = timedelta(days=1)
_SET_ASIDE = (
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
class Budget:
    """The budget of a scheme; `total` None is without limit, `runs_out_at` None when it never does so."""

    total: Decimal | None
    reserved: Decimal
    committed: Decimal
    spent: Decimal
    pace: Pace
    runs_out_at: datetime | None

    @property
    def left(self) -> Decimal | None:
        """Return what is not yet set aside; None without limit."""
        return None if self.total is None else self.total - self.reserved - self.committed - self.spent

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
    paces = _paces(session, ids, now)
    return {family_id: _budget(rows.get(family_id), paces[family_id], now) for family_id in ids}


def runs_out(left: Decimal, pace: Pace, now: datetime) -> datetime | None:
    """Return when what is left is used up at a pace; None when nothing uses it, or not within a lifetime."""
    if left <= 0:
        return now
    if pace.amount <= 0:
        return None
    days = left * pace.days / pace.amount
    return now + _DAY * float(days) if days < 36_500 else None


def _budget(row: SchemeBudget | None, pace: Pace, now: datetime) -> Budget:
    if row is None:
        return Budget(None, Decimal(0), Decimal(0), Decimal(0), pace, None)
    left = None if row.total is None else row.total - row.reserved - row.committed - row.spent
    when = None if left is None else runs_out(left, pace, now)
    return Budget(row.total, row.reserved, row.committed, row.spent, pace, when)


def _paces(session: Session, family_ids: list[int], now: datetime) -> dict[int, Pace]:
    since = now - _DAY * PACE_DAYS
    grant = RewardGrant
    newest = (
        select(grant.family_id, grant.amount, grant.status, grant.earned_at)
        .order_by(grant.id.desc())
        .limit(MOST_GRANTS)
        .subquery()
    )
    counts = and_(newest.c.status.in_(_SET_ASIDE), newest.c.earned_at >= since)
    amount = func.sum(case((counts, newest.c.amount), else_=0), type_=grant.amount.type)
    of_families = select(
        newest.c.family_id,
        amount,
        func.count(),
        func.min(newest.c.earned_at, type_=grant.earned_at.type),
    ).group_by(newest.c.family_id)
    rows = session.execute(of_families).all()
    if sum(row[2] for row in rows) == MOST_GRANTS:
        since = max(since, min(row[3] for row in rows))
    earned = {row[0]: row[1] for row in rows}
    first = select(SchemeVersion).where(SchemeVersion.family_id.in_(family_ids), SchemeVersion.version == 1)
    begun = {version.family_id: version.created_at for version in session.scalars(first)}
    return {
        family_id: Pace(
            earned.get(family_id, Decimal(0)), _days(max(since, begun.get(family_id, since)), now)
        )
        for family_id in family_ids
    }


def _days(since: datetime, now: datetime) -> Decimal:
    """Return at least a day, so that the first hour of a scheme does not tell its pace."""
    return max(Decimal(1), Decimal(round((now - since) / _DAY, 3)))
