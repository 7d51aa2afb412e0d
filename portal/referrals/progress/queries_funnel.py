"""How far the people came who were invited in a period: from the invitation to the conversion."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, and_, case, exists, func, or_, select
from sqlalchemy.orm import Session

from portal.referrals.invitations.models import Invitation
from portal.referrals.models import ReferralCondition
from portal.referrals.progress.models import ReferralProgress
from portal.referrals.progress.service import SIGN_UP
from portal.referrals.schemes.conditions import condition_met_by
from portal.referrals.states import ReferralStatus

# So many of the newest invitations of a period are counted; past that, the figures say so.
MOST_INVITATIONS = 50_000
_HAS_CONVERTED = ReferralProgress.status == ReferralStatus.CONVERTED


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
    """Count those invited in a period, under any scheme or some versions, by how far they have come.

    Who was invited is counted by index alone; only of those who have started is the referral looked up.
    Invitations that were cancelled are left out: where an address was corrected, the successor counts.
    """
    invited = Invitation
    counted = [
        invited.created_at >= since,
        invited.created_at < until,
        invited.status != ReferralStatus.CANCELLED,
    ]
    if scheme_ids is not None:
        counted.append(invited.scheme_id.in_(list(scheme_ids)))
    newest_first = select(invited.created_at).where(*counted).order_by(invited.created_at.desc())
    # The oldest that is counted, and the next one, if there are so many.
    oldest = session.scalars(newest_first.offset(MOST_INVITATIONS - 1).limit(2)).all()
    complete = len(oldest) < 2
    counted_from = since if complete else oldest[0]
    counted.append(invited.created_at >= counted_from)
    clicked, started = invited.clicked_at.is_not(None), invited.referral_id.is_not(None)
    numbers = select(
        func.count(), _number_of(clicked | started), _number_of(started), _number_of(started & ~clicked)
    )
    further = (
        select(_number_of(_has_qualified(session)), _number_of(_HAS_CONVERTED))
        .select_from(invited)
        .join(ReferralProgress, ReferralProgress.referral_id == invited.referral_id)
    )
    *counts, without_click = session.execute(numbers.where(*counted)).one()
    counts += session.execute(further.where(*counted)).one()
    stages = _stages([int(count or 0) for count in counts])
    return Funnel(counted_from, stages, int(without_click or 0), complete)


def _number_of(condition: ColumnElement[bool]) -> ColumnElement[int]:
    return func.sum(case((condition, 1), else_=0))


def _has_qualified(session: Session) -> ColumnElement[bool]:
    """Tell whether a condition beyond the sign-up was met, also of a referral that has ended since."""
    progress, met = ReferralProgress, ReferralCondition
    sign_up_id = condition_met_by(session, SIGN_UP) or 0
    beyond = exists().where(met.referral_id == progress.referral_id, met.condition_id != sign_up_id)
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
