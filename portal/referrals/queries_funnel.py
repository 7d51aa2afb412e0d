"""How far the people came who were invited in a period: from the invitation to the conversion."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import and_, case, exists, func, or_, select
from sqlalchemy.orm import Session

from portal.referrals.invitation_models import Invitation
from portal.referrals.models import Condition, ReferralCondition
from portal.referrals.progress import SIGN_UP
from portal.referrals.progress_models import ReferralProgress
from portal.referrals.states import ReferralStatus

# So many of the newest invitations of a period are counted; past that, the figures say so.
MOST_INVITATIONS = 50_000


@dataclass(frozen=True, slots=True)
class Stage:
    """How many came at least as far as here, in percent of those invited and of the stage before."""

    name: str
    count: int
    of_invited: float | None
    of_before: float | None


@dataclass(frozen=True, slots=True)
class Funnel:
    """The stages of those invited from `since` on; `complete` is false when there were more of them.

    `without_click` of those who started did so by their address, without following the link.
    """

    since: datetime
    stages: tuple[Stage, ...]
    without_click: int
    complete: bool


def read_funnel(
    session: Session, *, since: datetime, until: datetime, scheme_ids: Iterable[int] | None
) -> Funnel:
    """Count those invited in a period, under any scheme or some versions, by how far they have come."""
    newest = (
        select(Invitation.scheme_id, Invitation.clicked_at, Invitation.referral_id, Invitation.created_at)
        .where(Invitation.created_at >= since, Invitation.created_at < until)
        .order_by(Invitation.created_at.desc())
        .limit(MOST_INVITATIONS)
        .subquery()
    )
    progress = ReferralProgress
    has_started = newest.c.referral_id.is_not(None)
    has_clicked = newest.c.clicked_at.is_not(None)
    # Who expired may have met a condition beyond the sign-up before.
    had_qualified = exists(
        select(ReferralCondition.referral_id)
        .join(Condition, Condition.id == ReferralCondition.condition_id)
        .where(ReferralCondition.referral_id == progress.referral_id, Condition.event_type != SIGN_UP)
    )
    ended = progress.status.in_((ReferralStatus.EXPIRED, ReferralStatus.CANCELLED))
    has_qualified = or_(
        progress.status.in_((ReferralStatus.QUALIFYING, ReferralStatus.CONVERTED)),
        and_(ended, had_qualified),
    )
    has_converted = progress.status == ReferralStatus.CONVERTED
    wanted = [] if scheme_ids is None else [newest.c.scheme_id.in_(list(scheme_ids))]
    mine = [case((and_(*wanted, reached), 1), else_=0) for reached in (has_clicked | has_started,)]
    mine += [case((and_(*wanted, one), 1), else_=0) for one in (has_started, has_qualified, has_converted)]
    row = session.execute(
        select(
            func.count(),
            func.min(newest.c.created_at, type_=Invitation.created_at.type),
            func.sum(case((and_(True, *wanted), 1), else_=0)),
            *(func.sum(one) for one in mine),
            func.sum(case((and_(*wanted, has_started, ~has_clicked), 1), else_=0)),
        )
        .select_from(newest)
        .outerjoin(progress, progress.referral_id == newest.c.referral_id)
    ).one()
    complete = row[0] < MOST_INVITATIONS
    counts = [int(value or 0) for value in row[2:]]
    return Funnel(since if complete else row[1], _stages(counts[:5]), counts[5], complete)


def _stages(counts: list[int]) -> tuple[Stage, ...]:
    names = ("Invited", "Clicked", "Started", "Qualifying", "Converted")
    invited, stages = counts[0], []
    for place, (name, count) in enumerate(zip(names, counts, strict=True)):
        before = counts[place - 1] if place else 0
        stages.append(Stage(name, count, _rate(count, invited) if place else None, _rate(count, before)))
    return tuple(stages)


def _rate(count: int, of: int) -> float | None:
    return count / of if of else None
