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
from portal.referrals.rewards import room as reward_room
from portal.referrals.rewards.models import RewardGrant
from portal.referrals.states import REWARD_TRANSITIONS, Review, RewardStatus
from portal.transitions import origins
from portal.work import Claimed, Moved

# Seconds before each retry.
RETRY = (5.0, 30.0, 120.0, 600.0, 3600.0)
# While a review says so, nothing is delivered.
_HELD = (Review.FLAGGED, Review.DENIED)
# Claims beyond the attempts of a delivery that its worker may cost before it is held to be the cause.
_CRASHES_ALLOWED = 3


@dataclass(frozen=True, slots=True)
class Delivery:
    """One attempt to deliver a reward, under a key that is the same in every attempt.

    With `only_asks` nothing is delivered: it is asked whether an earlier attempt has done so.
    """

    claimed: Claimed
    key: str
    grant_id: int
    referral_id: int
    side: str
    user_id: int
    amount: Decimal
    currency: str
    attempts: int
    only_asks: bool

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
class NotThere:
    """No attempt has delivered the reward, and this one only asked."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one attempt came to."""

    delivery: Delivery
    came_of_it: Delivered | NotThere | Upstream


def take_deliveries(session: Session, claims: Sequence[Claimed]) -> list[Delivery]:
    """Return what claimed work is about, and end the work of rewards that are not to be delivered.

    A delivery that has begun, and whose referral was flagged or denied since, only asks what became of it.
    """
    if not claims:
        return []
    ids = [claimed.reference for claimed in claims]
    grants = {
        grant.id: grant for grant in session.scalars(select(RewardGrant).where(RewardGrant.id.in_(ids)))
    }
    held = _held(session, [grant.referral_id for grant in grants.values()])
    deliveries, idle = [], []
    for claimed in claims:
        grant = grants.get(claimed.reference)
        if grant is None or grant.status != RewardStatus.EARNED:
            idle.append(claimed.id)
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
                only_asks=grant.referral_id in held,
            )
        )
    work.finish(session, idle)
    return deliveries


def _held(session: Session, referral_ids: Sequence[int]) -> set[int]:
    held = select(ReferralProgress.referral_id).where(
        ReferralProgress.referral_id.in_(referral_ids), ReferralProgress.review.in_(_HELD)
    )
    return set(session.scalars(held))


def record_outcomes(session: Session, outcomes: Sequence[Outcome], recorder: Recorder) -> None:
    """Write what attempts came to; of those whose lease has run out to somebody else, nothing."""
    absent = [one.delivery.referral_id for one in outcomes if isinstance(one.came_of_it, NotThere)]
    # First of all, as everybody does who locks them; what was decided since is what counts.
    reviewed = earnings.lock_referrals(session, absent) if absent else {}
    owned = work.still_owned(session, [outcome.delivery.claimed for outcome in outcomes])
    clock = database_now(session)
    mine = {one.delivery.grant_id: one for one in outcomes if one.delivery.claimed.id in owned}
    grants = earnings.lock_in_order(session, list(mine))
    with_room = set()
    for grant in sorted(grants, key=lambda one: (one.family_id, one.id)):
        delivery, came_of_it = mine[grant.id].delivery, mine[grant.id].came_of_it
        if isinstance(came_of_it, Delivered):
            _delivered(session, delivery, came_of_it, recorder)
        elif isinstance(came_of_it, Upstream):
            _failed(session, delivery, came_of_it, clock, recorder)
        elif (review := reviewed[grant.referral_id].review) not in _HELD:
            again = Moved(delivery.claimed.id, delivery.claimed.lane, delivery.claimed.attempt - 1, clock)
            work.move_on(session, [again])
        elif _hold_back(session, delivery, grant, review, recorder):
            with_room.add(grant.family_id)
    for family_id in sorted(with_room):
        reward_room.call_for_room(session, family_id)


def _hold_back(
    session: Session, delivery: Delivery, grant: RewardGrant, review: str, recorder: Recorder
) -> bool:
    """Let a reward that is not there wait as its referral does; return whether that makes room."""
    work.finish(session, [delivery.claimed.id])
    if grant.status != RewardStatus.EARNED:
        return False
    grant.attempts += 1
    earnings.take_back(session, [grant], recorder)
    if review != Review.DENIED:
        return False
    earnings.deny(session, grant, recorder)
    return True


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
