"""The figures of the overview: what referrals have brought today, what it cost, and what needs a person."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from portal.orders.queries import count_up_to
from portal.orders.queries_overview import MOST_OF_A_DAY
from portal.referrals.progress.models import ReferralProgress
from portal.referrals.progress.queries_funnel import Funnel, read_funnel
from portal.referrals.queries_attention import Counts, count_attention
from portal.referrals.rewards.models import RewardGrant
from portal.referrals.rewards.queries_budget import SET_ASIDE, Budget, read_budgets
from portal.referrals.schemes.models import SchemeVersion
from portal.referrals.schemes.queries import MOST_ACTIVE, Scheme, list_schemes
from portal.referrals.states import ReferralStatus, SchemeState

# As the page of referrals shows it at first.
FUNNEL_DAYS = 28
_WEEK = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Figures:
    """What the tiles show; a count above its bound is the bound and one, money is by currency.

    Those of a week ago are counted from the same hour of the day to the same time of the day.
    `scarcest` is the active scheme whose budget runs out first, None when none has a budget; unless
    `all_budgets`, of the newest MOST_ACTIVE only.
    """

    converted: int
    converted_week_ago: int
    earned: Mapping[str, Decimal]
    earned_week_ago: Mapping[str, Decimal]
    scarcest: tuple[Scheme, Budget] | None
    all_budgets: bool
    attention: Counts


def figures_of(session: Session, *, day_start: datetime, now: datetime) -> Figures:
    """Count what the tiles show: of the day that began at `day_start`, and of what is open now."""
    active = list_schemes(session, state=SchemeState.ACTIVE, limit=MOST_ACTIVE + 1)
    return Figures(
        converted=_converted(session, day_start, now),
        converted_week_ago=_converted(session, day_start - _WEEK, now - _WEEK),
        earned=_earned(session, day_start, now),
        earned_week_ago=_earned(session, day_start - _WEEK, now - _WEEK),
        scarcest=_scarcest(session, active[:MOST_ACTIVE], now),
        all_budgets=len(active) <= MOST_ACTIVE,
        attention=count_attention(session),
    )


def recent_funnel(session: Session, now: datetime) -> Funnel:
    """Count how far those have come who were invited in the last weeks, under any scheme."""
    return read_funnel(session, since=now - timedelta(days=FUNNEL_DAYS), until=now, scheme_ids=None)


def _converted(session: Session, start: datetime, end: datetime) -> int:
    progress = ReferralProgress
    converted = select(progress.referral_id).where(
        progress.status == ReferralStatus.CONVERTED, progress.ended_at >= start, progress.ended_at <= end
    )
    return count_up_to(session, converted, MOST_OF_A_DAY)


def _earned(session: Session, start: datetime, end: datetime) -> Mapping[str, Decimal]:
    """Add up what was earned, scheme by scheme: each of them walks its own part of one index."""
    grant = RewardGrant
    first = select(SchemeVersion.family_id, SchemeVersion.currency).where(SchemeVersion.version == 1)
    currencies = dict(session.execute(first).all())
    amounts = select(grant.family_id, func.sum(grant.amount, type_=grant.amount.type)).where(
        grant.family_id.in_(currencies),
        grant.earned_at >= start,
        grant.earned_at <= end,
        grant.status.in_(SET_ASIDE),
    )
    earned: dict[str, Decimal] = defaultdict(Decimal)
    for family_id, amount in session.execute(amounts.group_by(grant.family_id)):
        earned[currencies[family_id]] += amount
    return earned


def _scarcest(session: Session, active: list[Scheme], now: datetime) -> tuple[Scheme, Budget] | None:
    schemes = {one.family_id: one for one in active if one.budget is not None}
    if not schemes:
        return None
    budgets = read_budgets(session, schemes, now)
    never = datetime.max.replace(tzinfo=now.tzinfo)
    first = min(schemes, key=lambda family_id: budgets[family_id].runs_out_at or never)
    return schemes[first], budgets[first]
