"""How far the people came who were invited in a period: from the invitation to the conversion."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, and_, case, exists, func, or_, select
from sqlalchemy.orm import Session

from portal.referrals.conditions import condition_met_by
from portal.referrals.invitation_models import Invitation
from portal.referrals.models import ReferralCondition
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
    has_started = newest.c.referral_id.is_not(None)
    has_clicked = newest.c.clicked_at.is_not(None)
    wanted = [] if scheme_ids is None else [newest.c.scheme_id.in_(list(scheme_ids))]
    reached = (
        has_clicked | has_started,
        has_started,
        _has_qualified(condition_met_by(session, SIGN_UP) or 0),
        ReferralProgress.status == ReferralStatus.CONVERTED,
    )
    mine = [case((and_(*wanted, one), 1), else_=0) for one in reached]
    row = session.execute(
        select(
            func.count(),
            func.min(newest.c.created_at, type_=Invitation.created_at.type),
            func.sum(case((and_(True, *wanted), 1), else_=0)),
            *(func.sum(one) for one in mine),
            func.sum(case((and_(*wanted, has_started, ~has_clicked), 1), else_=0)),
        )
        .select_from(newest)
        .outerjoin(ReferralProgress, ReferralProgress.referral_id == newest.c.referral_id)
    ).one()
    complete = row[0] < MOST_INVITATIONS
    counts = [int(value or 0) for value in row[2:]]
    return Funnel(since if complete else row[1], _stages(counts[:5]), counts[5], complete)


def _has_qualified(sign_up_id: int) -> ColumnElement[bool]:
    """Tell whether a condition beyond the sign-up was met, also of a referral that has ended since."""
    progress = ReferralProgress
    beyond = exists(
        select(ReferralCondition.referral_id).where(
            ReferralCondition.referral_id == progress.referral_id,
            ReferralCondition.condition_id != sign_up_id,
        )
    )
    went_on = progress.status.in_((ReferralStatus.QUALIFYING, ReferralStatus.CONVERTED))
    has_ended = progress.status.in_((ReferralStatus.EXPIRED, ReferralStatus.CANCELLED))
    return or_(went_on, and_(has_ended, beyond))


def _stages(counts: list[int]) -> tuple[Stage, ...]:
    names = ("Invited", "Clicked", "Started", "Qualifying", "Converted")
    invited, stages = counts[0], []
    for place, (name, count) in enumerate(zip(names, counts, strict=True)):
        before = counts[place - 1] if place else 0
        stages.append(Stage(name, count, _rate(count, invited) if place else None, _rate(count, before)))
    return tuple(stages)


def _rate(count: int, of: int) -> float | None:
    return count / of if of else None
