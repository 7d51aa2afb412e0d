"""Deliveries of rewards: what is to be delivered, and what becomes of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from sqlalchemy import CursorResult, select, update
from sqlalchemy.orm import Session

from portal import events, work
from portal.db import database_now
from portal.errors import Upstream
from portal.referrals.progress.models import ReferralProgress
from portal.referrals.recorder import Recorder
from portal.referrals.rewards import budget, earnings
from portal.referrals.rewards.models import RewardGrant
from portal.referrals.states import REWARD_TRANSITIONS, Review, RewardStatus
from portal.transitions import origins
from portal.work import Claimed, Moved

# Seconds before each retry.
RETRY = (5.0, 30.0, 120.0, 600.0, 3600.0)
# How long a delivery that has begun is left alone before it is looked at whether its review has ended.
_REVIEW_PAUSE = timedelta(minutes=1)
# Claims beyond the attempts of a delivery that its worker may cost before it is held to be the cause.
_CRASHES_ALLOWED = 3


@dataclass(frozen=True, slots=True)
class Delivery:
    """One attempt to deliver a reward, under a key that is the same in every attempt."""

    claimed: Claimed
    key: str
    grant_id: int
    referral_id: int
    side: str
    user_id: int
    amount: Decimal
    currency: str
    attempts: int

    @property
    def is_repeated(self) -> bool:
        """Tell whether an earlier attempt may have had its effect unnoticed."""
        return self.claimed.attempt > 1 or self.attempts > 0

    @property
    def is_given_up(self) -> bool:
        """Tell whether the workers that tried it ended too often for another try."""
        return self.claimed.attempt > len(RETRY) + 1 + _CRASHES_ALLOWED


@dataclass(frozen=True, slots=True)
class Delivered:
    """The reward is there, under the reward system's id; `asked`: from an earlier attempt already."""

    external_id: str
    asked: bool


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one attempt came to."""

    delivery: Delivery
    came_of_it: Delivered | Upstream


def take_deliveries(session: Session, claims: Sequence[Claimed]) -> list[Delivery]:
    """Return what claimed work is about, and end the work of rewards that are not to be delivered.

    A delivery that has begun, and whose referral was flagged since, is put off until somebody has decided.
    """
    if not claims:
        return []
    ids = [claimed.reference for claimed in claims]
    grants = {
        grant.id: grant for grant in session.scalars(select(RewardGrant).where(RewardGrant.id.in_(ids)))
    }
    flagged = _flagged(session, [grant.referral_id for grant in grants.values()])
    again_at = database_now(session) + _REVIEW_PAUSE
    deliveries, idle, put_off = [], [], []
    for claimed in claims:
        grant = grants.get(claimed.reference)
        if grant is None or grant.status != RewardStatus.EARNED:
            idle.append(claimed.id)
            continue
        if grant.referral_id in flagged:
            put_off.append(Moved(claimed.id, claimed.lane, claimed.attempt - 1, again_at))
            continue
        deliveries.append(
            Delivery(
                claimed,
                grant.uuid,
                grant.id,
                grant.referral_id,
                grant.side,
                grant.user_id,
                grant.amount,
                grant.currency,
                grant.attempts,
            )
        )
    work.finish(session, idle)
    work.move_on(session, put_off)
    return deliveries


def _flagged(session: Session, referral_ids: Sequence[int]) -> set[int]:
    waits = select(ReferralProgress.referral_id).where(
        ReferralProgress.referral_id.in_(referral_ids), ReferralProgress.review == Review.FLAGGED
    )
    return set(session.scalars(waits))


def record_outcomes(session: Session, outcomes: Sequence[Outcome], recorder: Recorder) -> None:
    """Write what attempts came to; of those whose lease has run out to somebody else, nothing."""
    owned = work.still_owned(session, [outcome.delivery.claimed for outcome in outcomes])
    clock = database_now(session)
    mine = {one.delivery.grant_id: one for one in outcomes if one.delivery.claimed.id in owned}
    grants = earnings.lock_in_order(session, list(mine))
    for grant in sorted(grants, key=lambda one: (one.family_id, one.id)):
        outcome = mine[grant.id]
        if isinstance(outcome.came_of_it, Delivered):
            _delivered(session, outcome.delivery, outcome.came_of_it, recorder)
        else:
            _failed(session, outcome.delivery, outcome.came_of_it, clock, recorder)


def _delivered(session: Session, delivery: Delivery, delivered: Delivered, recorder: Recorder) -> None:
    work.finish(session, [delivery.claimed.id])
    became: dict[str, object] = {"external_id": delivered.external_id, "ended_at": recorder.now}
    became |= {"code": None, "reason": None}
    if _set(session, delivery, RewardStatus.SENT, became):
        family_id = session.get_one(RewardGrant, delivery.grant_id).family_id
        budget.move(session, family_id, delivery.amount, "committed", "spent")
        data = {"external_id": delivered.external_id, "asked": delivered.asked}
        _tell(session, delivery, "reward.sent", data, recorder)


def _failed(
    session: Session, delivery: Delivery, error: Upstream, clock: datetime, recorder: Recorder
) -> None:
    attempt = delivery.claimed.attempt
    why: dict[str, object] = {"code": error.code, "reason": error.reason}
    data = why | {"attempt": attempt, "status": error.status, "outcome_unknown": error.outcome_unknown}
    if error.retryable and attempt <= len(RETRY):
        due_at = clock + timedelta(seconds=RETRY[attempt - 1])
        work.move_on(session, [Moved(delivery.claimed.id, delivery.claimed.lane, attempt, due_at)])
        if _set(session, delivery, None, why):
            _tell(session, delivery, "reward.retried", data | {"next_at": due_at.isoformat()}, recorder)
        return
    work.finish(session, [delivery.claimed.id])
    if _set(session, delivery, RewardStatus.FAILED, why):
        _tell(session, delivery, "reward.failed", data, recorder)


def _set(
    session: Session, delivery: Delivery, status: RewardStatus | None, became: dict[str, object]
) -> bool:
    """Write the result of an attempt; with `status` None the reward stays earned, and is tried again."""
    expected = [RewardStatus.EARNED] if status is None else origins(REWARD_TRANSITIONS, status)
    changed = session.execute(
        update(RewardGrant)
        .where(RewardGrant.id == delivery.grant_id, RewardGrant.status.in_(expected))
        .values(attempts=RewardGrant.attempts + 1, **became, **({"status": status} if status else {})),
        execution_options={"synchronize_session": False},
    )
    return isinstance(changed, CursorResult) and changed.rowcount == 1


def _tell(
    session: Session, delivery: Delivery, kind: str, data: dict[str, object], recorder: Recorder
) -> None:
    what = {"grant_id": delivery.grant_id, "side": delivery.side, "user_id": delivery.user_id}
    events.record(session, recorder.event(delivery.referral_id, kind, **what, **data))
