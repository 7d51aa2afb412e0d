"""What people decide of referrals that were flagged: approve, deny, reopen, each with a reason.

Decisions are only ever added, as events on the audit trail; the row has the last one.
"""

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from portal import events
from portal.errors import Conflict, InvalidInput, NotFound
from portal.events import Event
from portal.referrals.progress.models import ReferralProgress
from portal.referrals.recorder import SUBJECT, Recorder
from portal.referrals.rewards import earnings
from portal.referrals.rewards import room as reward_room
from portal.referrals.rewards.earnings import Hold
from portal.referrals.rewards.models import RewardGrant
from portal.referrals.schemes.terms import load_terms
from portal.referrals.states import REVIEW_TRANSITIONS, Review, RewardStatus
from portal.transitions import origins

LONGEST_REASON = 500
_APPROVED, _DENIED, _REOPENED = "referral.approved", "referral.denied", "referral.reopened"
_IN_WORDS = {_APPROVED: "approved", _DENIED: "denied", _REOPENED: "reopened"}


def approve(session: Session, referral_id: int, reason: str, recorder: Recorder) -> None:
    """Let the rewards of a referral be earned, those that wait and those to come.

    Raises NotFound, InvalidInput without a reason, and Conflict, naming the winner, when somebody has
    decided already.
    """
    progress = _lock(session, referral_id)
    waiting = _pending(earnings.lock_grants(session, [referral_id]))
    allowed = origins(REVIEW_TRANSITIONS, Review.APPROVED)
    _decide(session, progress, Review.APPROVED, allowed, _APPROVED, reason, recorder)
    for grant in waiting:
        if earnings.set_aside_as(grant):
            earnings.earn(session, grant, recorder)
    without = _pending(waiting)
    earnings.settle(session, progress, load_terms(session, progress.scheme_id), without, recorder)


def deny(session: Session, referral_id: int, reason: str, recorder: Recorder) -> None:
    """Let no reward of a referral be delivered; where a delivery has begun, it is asked what became of it.

    Raises as `approve` does.
    """
    progress = _lock(session, referral_id)
    recalled = earnings.recall(session, [referral_id])
    allowed = origins(REVIEW_TRANSITIONS, Review.DENIED)
    _decide(session, progress, Review.DENIED, allowed, _DENIED, reason, recorder)
    earnings.take_back(session, recalled, recorder)
    pending = _pending(earnings.lock_grants(session, [referral_id]))
    for grant in pending:
        earnings.deny(session, grant, recorder)
    if pending:
        reward_room.call_for_room(session, progress.family_id)


def reopen(session: Session, referral_id: int, reason: str, recorder: Recorder) -> None:
    """Let a referral be decided anew; its rewards wait for that, but for those whose delivery has begun.

    Raises NotFound, InvalidInput without a reason, and Conflict when nobody has decided.
    """
    progress = _lock(session, referral_id)
    recalled = earnings.recall(session, [referral_id])
    decided = [Review.APPROVED, Review.DENIED]
    _decide(session, progress, Review.FLAGGED, decided, _REOPENED, reason, recorder)
    earnings.take_back(session, recalled, recorder)
    pending = _pending(earnings.lock_grants(session, [referral_id]))
    denied = [grant for grant in pending if grant.code == Hold.DENIED]
    earnings.settle(session, progress, load_terms(session, progress.scheme_id), denied, recorder)


def read_reason(reason: str) -> str:
    """Return a reason as it is kept; raises InvalidInput when there is none, or it is too long."""
    text = " ".join(reason.split())
    if not text or len(text) > LONGEST_REASON:
        raise InvalidInput(f"A reason is needed, of at most {LONGEST_REASON} characters.", field="reason")
    return text


def _lock(session: Session, referral_id: int) -> ReferralProgress:
    progress = session.get(ReferralProgress, referral_id, with_for_update=True, populate_existing=True)
    if progress is None:
        raise NotFound("There is no such referral.")
    return progress


def _decide(
    session: Session,
    progress: ReferralProgress,
    review: Review,
    allowed: Sequence[Review],
    kind: str,
    reason: str,
    recorder: Recorder,
) -> None:
    words, before = read_reason(reason), progress.review
    if before not in allowed:
        raise _too_late(session, progress.referral_id)
    progress.review = review
    session.flush()
    events.record(session, recorder.event(progress.referral_id, kind, reason=words, before=before))


def _too_late(session: Session, referral_id: int) -> Conflict:
    decisions = select(Event).where(
        Event.subject == SUBJECT, Event.subject_id == referral_id, Event.kind.in_(_IN_WORDS)
    )
    last = session.scalar(decisions.order_by(Event.id.desc()).limit(1))
    if last is None:
        return Conflict("Nobody has decided about this referral.", code="not-decided")
    at = f"{last.at:%H:%M:%S} UTC"
    return Conflict(f"{last.actor} {_IN_WORDS[last.kind]} this referral at {at}.", code="already-decided")


def _pending(grants: Sequence[RewardGrant]) -> list[RewardGrant]:
    return [grant for grant in grants if grant.status == RewardStatus.PENDING]
