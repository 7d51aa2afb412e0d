"""What both sides earn by a conversion: once, within the referrer's limit and the scheme's budget.

A reward that is earned, or only held back by a review, has its amount set aside in the budget; one that
found no room, or was denied, waits without.
"""

from collections.abc import Collection, Sequence
from decimal import Decimal
from enum import StrEnum

from sqlalchemy import CursorResult, select, update
from sqlalchemy.orm import Session

from portal import events, work
from portal.db import database_now
from portal.referrals.models import Reward
from portal.referrals.progress.models import ReferralProgress
from portal.referrals.recorder import Recorder
from portal.referrals.rewards import budget
from portal.referrals.rewards.models import RewardGrant
from portal.referrals.schemes.terms import Terms
from portal.referrals.states import REWARD_TRANSITIONS, Review, RewardStatus
from portal.transitions import origins

WORK_KIND = "reward"
LANE = "rewards"
REFERRER, RECRUIT = "referrer", "recruit"
# By another index, or by none, the rows would be locked in another order, and those of others on the way.
_BY_KEY = "FORCE INDEX (PRIMARY)"


class Hold(StrEnum):
    """Why a reward is pending."""

    IN_REVIEW = "in-review"
    DENIED = "denied"
    LIMIT_REACHED = "limit-reached"
    BUDGET_EXHAUSTED = "budget-exhausted"


REASONS = {
    Hold.IN_REVIEW: "The fraud check flagged the referral; its rewards wait for approval.",
    Hold.DENIED: "The review denied the rewards of this referral.",
    Hold.LIMIT_REACHED: "The referrer has earned as many rewards as the scheme allows.",
    Hold.BUDGET_EXHAUSTED: "The budget of the scheme has no room for this referral's rewards.",
}


def grant_rewards(
    session: Session, progress: ReferralProgress, terms: Terms, recorder: Recorder
) -> list[RewardGrant]:
    """Make the rewards of both sides of a referral that has converted, and let them be earned."""
    scheme = terms.scheme
    sides = {
        REFERRER: (progress.referrer_user_id, scheme.referrer_reward_id),
        RECRUIT: (progress.user_id, scheme.recruit_reward_id),
    }
    grants = []
    for side, (user_id, reward_id) in sides.items():
        grant = RewardGrant(
            uuid=recorder.new_id(),
            referral_id=progress.referral_id,
            family_id=progress.family_id,
            side=side,
            user_id=user_id,
            reward_id=reward_id,
            amount=session.get_one(Reward, reward_id).amount,
            currency=terms.currency,
            status=RewardStatus.PENDING,
            attempts=0,
            earned_at=recorder.now,
        )
        session.add(grant)
        grants.append(grant)
    session.flush()
    settle(session, progress, terms, grants, recorder)
    return grants


def settle(
    session: Session,
    progress: ReferralProgress,
    terms: Terms,
    grants: Sequence[RewardGrant],
    recorder: Recorder,
) -> None:
    """Let pending rewards without room in the budget be earned, or say what holds them back now.

    The caller holds the lock of the progress row, and hands in all rewards that wait. Both sides find
    room together or neither does; a referrer over the limit costs nothing, and the recruit's reward does
    not wait for it.
    """
    if progress.review == Review.DENIED:
        for grant in grants:
            hold(session, grant, Hold.DENIED, recorder)
        return
    budget.lock(session, progress.family_id)
    counted = [grant for grant in grants if grant.side == RECRUIT or _is_within_limit(session, grant, terms)]
    for grant in grants:
        if grant not in counted:
            hold(session, grant, Hold.LIMIT_REACHED, recorder)
    if not counted:
        return
    if not budget.reserve(session, progress.family_id, _cost(counted)):
        for grant in counted:
            _give_reward_back(session, grant)
            hold(session, grant, Hold.BUDGET_EXHAUSTED, recorder)
        return
    for grant in counted:
        if progress.review == Review.FLAGGED:
            hold(session, grant, Hold.IN_REVIEW, recorder)
        else:
            earn(session, grant, recorder)


def earn(session: Session, grant: RewardGrant, recorder: Recorder) -> None:
    """Let a reward whose amount is reserved be delivered."""
    if not _set_status(session, grant, RewardStatus.EARNED, earned_at=recorder.now):
        return
    budget.move(session, grant.family_id, grant.amount, "reserved", "committed")
    work.enqueue(session, WORK_KIND, [work.New(grant.id, LANE)], database_now(session))
    events.record(session, recorder.event(grant.referral_id, "reward.earned", **told(grant)))


def recall(session: Session, referral_ids: Collection[int]) -> list[RewardGrant]:
    """Withdraw the deliveries of referrals that nobody has begun, and return their rewards, still earned.

    The caller holds the locks of the progress rows; all rewards of the referrals are locked.
    """
    untried = select(RewardGrant.id).where(
        RewardGrant.referral_id.in_(referral_ids),
        RewardGrant.status == RewardStatus.EARNED,
        RewardGrant.attempts == 0,
    )
    ids = session.scalars(untried.order_by(RewardGrant.id)).all()
    withdrawn = {grant_id for grant_id in ids if work.withdraw(session, WORK_KIND, grant_id)}
    return [grant for grant in lock_grants(session, referral_ids) if grant.id in withdrawn]


def take_back(session: Session, recalled: Sequence[RewardGrant], recorder: Recorder) -> None:
    """Let rewards that were recalled wait for a review; their money and the count stay set aside."""
    for grant in sorted(recalled, key=lambda one: (one.family_id, one.id)):
        if _set_status(session, grant, RewardStatus.PENDING):
            budget.move(session, grant.family_id, grant.amount, "committed", "reserved")
            hold(session, grant, Hold.IN_REVIEW, recorder)


def hold(session: Session, grant: RewardGrant, why: Hold, recorder: Recorder) -> None:
    """Say why a reward is pending; said again, nothing happens."""
    if grant.code == why:
        return
    grant.code, grant.reason = why, REASONS[why]
    session.flush()
    data = told(grant) | {"code": grant.code, "reason": grant.reason}
    events.record(session, recorder.event(grant.referral_id, "reward.pending", **data))


def set_aside_as(grant: RewardGrant) -> budget.Part | None:
    """Tell in which part of the budget the amount of a reward that is not delivered yet is set aside."""
    if grant.status in (RewardStatus.EARNED, RewardStatus.FAILED):
        return "committed"
    is_held = grant.status == RewardStatus.PENDING and grant.code == Hold.IN_REVIEW
    return "reserved" if is_held else None


def release(session: Session, grant: RewardGrant) -> None:
    """Give back what is set aside for a reward in the budget, and in the referrer's limit."""
    _give_back(session, grant, set_aside_as(grant))


def deny(session: Session, grant: RewardGrant, recorder: Recorder) -> None:
    """Let a pending reward wait without what is set aside for it, since a review denied it."""
    release(session, grant)
    hold(session, grant, Hold.DENIED, recorder)


def cancel(session: Session, grant: RewardGrant, code: str, reason: str, recorder: Recorder) -> None:
    """Cancel a reward that is locked and will not be delivered."""
    part = set_aside_as(grant)
    ended = {"code": code, "reason": reason, "ended_at": recorder.now}
    if not _set_status(session, grant, RewardStatus.CANCELLED, **ended):
        raise RuntimeError("A reward that was locked could not be cancelled.")
    data = told(grant) | {"code": code, "reason": reason}
    events.record(session, recorder.event(grant.referral_id, "reward.cancelled", **data))
    _give_back(session, grant, part)


def lock_referrals(session: Session, referral_ids: Collection[int]) -> dict[int, ReferralProgress]:
    """Lock referrals by their ids and return them as they are now, by id."""
    rows = select(ReferralProgress).with_hint(ReferralProgress, _BY_KEY, "mysql")
    rows = rows.where(ReferralProgress.referral_id.in_(referral_ids))
    rows = rows.order_by(ReferralProgress.referral_id).with_for_update()
    found = session.scalars(rows.execution_options(populate_existing=True))
    return {progress.referral_id: progress for progress in found}


def lock_grants(session: Session, referral_ids: Collection[int]) -> list[RewardGrant]:
    """Lock the rewards of referrals and return them as they are now."""
    of_referrals = select(RewardGrant.id).where(RewardGrant.referral_id.in_(referral_ids))
    return lock_in_order(session, session.scalars(of_referrals).all())


def lock_in_order(session: Session, grant_ids: Collection[int]) -> list[RewardGrant]:
    """Lock rewards by their ids, so that those who lock several do not wait for each other."""
    rows = select(RewardGrant).with_hint(RewardGrant, _BY_KEY, "mysql").where(RewardGrant.id.in_(grant_ids))
    rows = rows.order_by(RewardGrant.id).with_for_update()
    return list(session.scalars(rows.execution_options(populate_existing=True)))


def _is_within_limit(session: Session, grant: RewardGrant, terms: Terms) -> bool:
    return budget.take_reward(session, grant.family_id, grant.user_id, terms.scheme.limit_rewards)


def _give_back(session: Session, grant: RewardGrant, part: budget.Part | None) -> None:
    if part is not None:
        budget.release(session, grant.family_id, grant.amount, part)
        _give_reward_back(session, grant)


def _give_reward_back(session: Session, grant: RewardGrant) -> None:
    if grant.side == REFERRER:
        budget.give_reward_back(session, grant.family_id, grant.user_id)


def _cost(grants: Sequence[RewardGrant]) -> Decimal:
    return sum((grant.amount for grant in grants), Decimal(0))


def _set_status(session: Session, grant: RewardGrant, status: RewardStatus, **more: object) -> bool:
    changed = session.execute(
        update(RewardGrant)
        .where(RewardGrant.id == grant.id, RewardGrant.status.in_(origins(REWARD_TRANSITIONS, status)))
        .values({"status": status, "code": None, "reason": None} | more)
    )
    return isinstance(changed, CursorResult) and changed.rowcount == 1


def told(grant: RewardGrant) -> dict[str, object]:
    """Return what events tell of a reward."""
    return {
        "grant_id": grant.id,
        "side": grant.side,
        "user_id": grant.user_id,
        "amount": str(grant.amount),
        "currency": grant.currency,
    }
