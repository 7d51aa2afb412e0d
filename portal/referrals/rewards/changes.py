"""What people do to single rewards: push one to retry, adjust its amount, cancel it."""

from decimal import Decimal

from sqlalchemy.orm import Session

from portal import events, work
from portal.db import database_now
from portal.errors import Conflict, InvalidInput, NotFound
from portal.referrals.progress.models import ReferralProgress
from portal.referrals.progress.review import read_reason
from portal.referrals.recorder import Recorder
from portal.referrals.rewards import budget, earnings
from portal.referrals.rewards import room as reward_room
from portal.referrals.rewards.earnings import LANE, WORK_KIND, Hold
from portal.referrals.rewards.models import RewardGrant
from portal.referrals.rewards.room import waits_for_room
from portal.referrals.states import Review, RewardStatus

_HIGHEST = Decimal(10) ** 10
_HELD_BY: dict[str, Hold] = {Review.FLAGGED: Hold.IN_REVIEW, Review.DENIED: Hold.DENIED}
# After these the reward may be there all the same; whatever else stopped a delivery was a refusal.
_MAY_BE_THERE = frozenset(
    {
        *("rewards-no-answer", "rewards-error", "rewards-garbage", "rewards-unreachable"),
        *("rewards-untold", "worker-stopped"),
    }
)


def push_reward(session: Session, grant_id: int, recorder: Recorder) -> None:
    """Let a reward be tried again: one whose delivery failed, or that found no room in limit or budget.

    While its referral is flagged or denied, the try only asks whether the reward is there after all.

    Of two people who push at once one wins; the other gets a Conflict that names the winner. Raises
    NotFound when there is no such reward, and Conflict when there is still no room, or nothing to push.
    """
    progress, grant = _lock(session, grant_id)
    has_failed = grant.status == RewardStatus.FAILED
    if not has_failed and (held_by := _HELD_BY.get(progress.review)) is not None:
        raise Conflict(earnings.REASONS[held_by], code=held_by)
    if not has_failed and not waits_for_room(grant):
        raise _not_pushable(grant)
    data = earnings.told(grant) | {"code": grant.code}
    grant.pushed_by, grant.pushed_at = recorder.actor.name, recorder.now
    if has_failed:
        grant.status, grant.ended_at = RewardStatus.EARNED, None
    session.flush()
    events.record(session, recorder.event(grant.referral_id, "reward.push-requested", **data))
    if has_failed:
        work.enqueue(session, WORK_KIND, [work.New(grant_id, LANE)], database_now(session))
        return
    both = earnings.lock_grants(session, [grant.referral_id])
    reward_room.settle_waiting(session, progress, both, recorder)
    if waits_for_room(grant):
        raise Conflict(grant.reason or "", code=grant.code)


def record_refused_push(session: Session, grant_id: int, reason: str, recorder: Recorder) -> None:
    """Put on the audit trail that somebody pushed too late, or what could not be pushed."""
    grant = session.get_one(RewardGrant, grant_id)
    data = earnings.told(grant) | {"reason": reason}
    events.record(session, recorder.event(grant.referral_id, "reward.push-refused", **data))


def adjust_reward(session: Session, grant_id: int, amount: Decimal, reason: str, recorder: Recorder) -> None:
    """Give a reward that is not delivered another amount; the budget follows.

    Raises NotFound; InvalidInput for the amount or the reason; Conflict when its delivery is under way,
    done, or may have been, and when the budget has no room for more.
    """
    words = read_reason(reason)
    if not amount.is_finite() or not 0 < amount < _HIGHEST or amount != round(amount, 2):
        raise InvalidInput(
            "The amount is above 0 and below 10000000000, with at most 2 decimals.", field="amount"
        )
    _, grant = _lock(session, grant_id)
    _require_undelivered(grant)
    before, part = grant.amount, earnings.set_aside_as(grant)
    grant.amount = amount
    if grant.status == RewardStatus.FAILED:
        # The reward system refuses a key that it knows with another amount.
        grant.uuid = recorder.new_id()
    session.flush()
    data = earnings.told(grant) | {"before": str(before), "reason": words}
    events.record(session, recorder.event(grant.referral_id, "reward.adjusted", **data))
    _move_budget(session, grant, amount - before, part)
    if amount < before:
        reward_room.call_for_room(session, grant.family_id)


def cancel_reward(session: Session, grant_id: int, reason: str, recorder: Recorder) -> None:
    """Cancel a reward that is not delivered; raises as `adjust_reward` does."""
    words = read_reason(reason)
    _, grant = _lock(session, grant_id)
    _require_undelivered(grant)
    earnings.cancel(session, grant, "cancelled", words, recorder)
    reward_room.call_for_room(session, grant.family_id)


def _not_pushable(grant: RewardGrant) -> Conflict:
    if grant.pushed_by is None or grant.pushed_at is None:
        return Conflict("The delivery of this reward has not failed.", code="not-an-exception")
    at = f"{grant.pushed_at:%H:%M:%S} UTC"
    return Conflict(f"{grant.pushed_by} already pushed this reward at {at}.", code="already-pushed")


def _lock(session: Session, grant_id: int) -> tuple[ReferralProgress, RewardGrant]:
    """Lock the referral of a reward, with all its rewards."""
    found = session.get(RewardGrant, grant_id)
    if found is None:
        raise NotFound("There is no such reward.")
    progress = session.get_one(
        ReferralProgress, found.referral_id, with_for_update=True, populate_existing=True
    )
    grants = earnings.lock_grants(session, [found.referral_id])
    return progress, next(grant for grant in grants if grant.id == grant_id)


def _require_undelivered(grant: RewardGrant) -> None:
    if grant.status == RewardStatus.FAILED and grant.code in _MAY_BE_THERE:
        raise Conflict(
            "The reward may have been delivered: push it, and it is asked for first.", code="may-be-delivered"
        )
    if grant.status not in (RewardStatus.PENDING, RewardStatus.FAILED):
        raise Conflict("The delivery of this reward has begun or is over.", code="delivery-begun")


def _move_budget(session: Session, grant: RewardGrant, more: Decimal, part: budget.Part | None) -> None:
    if part is None or not more:
        return
    if more < 0:
        budget.release(session, grant.family_id, -more, part)
        return
    if not budget.reserve(session, grant.family_id, more):
        raise Conflict(earnings.REASONS[Hold.BUDGET_EXHAUSTED], code=Hold.BUDGET_EXHAUSTED)
    if part == "committed":
        budget.move(session, grant.family_id, more, "reserved", "committed")
