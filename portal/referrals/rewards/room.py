"""Rewards that found no room in the budget or in the referrer's limit, and are earned once there is some.

Whoever makes room calls for it by one row of work for the scheme; the oldest reward comes first, and one
that does not fit yet lets none of the younger ones pass.
"""

from collections.abc import Sequence

from sqlalchemy import and_, func, or_, select
from sqlalchemy.orm import Session

from portal import work
from portal.db import database_now
from portal.referrals.models import ReferralScheme
from portal.referrals.progress.models import ReferralProgress
from portal.referrals.recorder import Recorder
from portal.referrals.rewards import budget, earnings
from portal.referrals.rewards.earnings import Hold
from portal.referrals.rewards.models import RewardGrant
from portal.referrals.schemes.models import ReferrerUsage
from portal.referrals.schemes.terms import load_terms
from portal.referrals.states import RewardStatus
from portal.work import Claimed, Moved

WORK_KIND = "reward-room"
WITHOUT_ROOM = (Hold.LIMIT_REACHED, Hold.BUDGET_EXHAUSTED)
# So many rewards are looked at in one transaction, which holds the budget for so long.
_BATCH = 100


def call_for_room(session: Session, family_id: int) -> None:
    """Have the rewards of a scheme that wait for room looked at again, since there may be more of it."""
    budget.lock(session, family_id)
    work.call_for(session, WORK_KIND, work.New(family_id), database_now(session))


def waits_for_room(grant: RewardGrant) -> bool:
    """Tell whether nothing but room keeps a reward from being earned."""
    return grant.status == RewardStatus.PENDING and grant.code in WITHOUT_ROOM


def settle_waiting(
    session: Session, progress: ReferralProgress, grants: Sequence[RewardGrant], recorder: Recorder
) -> bool:
    """Let the rewards of a locked referral that wait for room be earned; return whether it was enough."""
    waiting = [grant for grant in grants if waits_for_room(grant)]
    if waiting:
        earnings.settle(session, progress, load_terms(session, progress.scheme_id), waiting, recorder)
    return not any(grant.code == Hold.BUDGET_EXHAUSTED for grant in waiting)


def find_room(session: Session, claimed: Claimed, recorder: Recorder, limit: int = _BATCH) -> None:
    """Let rewards of the scheme that work was claimed for be earned, up to `limit`, while there is room.

    The work ends with the last of them, or the first that does not fit; not when room was called for again.
    """
    line = _next_in_line(session, claimed.reference, limit)
    referral_ids = list(dict.fromkeys(line))
    referrals = earnings.lock_referrals(session, referral_ids)
    grants = earnings.lock_grants(session, referral_ids)
    has_room = all(
        settle_waiting(
            session,
            referrals[referral_id],
            [grant for grant in grants if grant.referral_id == referral_id],
            recorder,
        )
        for referral_id in referral_ids
    )
    if not work.still_owned(session, [claimed]):
        return
    if has_room and len(line) == limit:
        work.move_on(session, [Moved(claimed.id, claimed.lane, 0, database_now(session))])
    else:
        work.finish(session, [claimed.id])


def _next_in_line(session: Session, family_id: int, limit: int) -> Sequence[int]:
    """Return the referrals of the oldest rewards that may find room; a referrer's limit is looked at here."""
    grant, usage, scheme = RewardGrant, ReferrerUsage, ReferralScheme
    is_below_limit = or_(scheme.limit_rewards == 0, func.coalesce(usage.rewards, 0) < scheme.limit_rewards)
    rows = (
        select(grant.referral_id)
        .join(ReferralProgress, ReferralProgress.referral_id == grant.referral_id)
        .join(scheme, scheme.id == ReferralProgress.scheme_id)
        .outerjoin(usage, and_(usage.family_id == grant.family_id, usage.referrer_user_id == grant.user_id))
        .where(
            grant.family_id == family_id,
            grant.status == RewardStatus.PENDING,
            or_(
                grant.code == Hold.BUDGET_EXHAUSTED,
                and_(grant.code == Hold.LIMIT_REACHED, is_below_limit),
            ),
        )
    )
    return session.scalars(rows.order_by(grant.id).limit(limit)).all()
