"""What people decide of referrals that were flagged: approve, deny, reopen, each with a reason.

Decisions are only ever added, as events on the audit trail; the row has the last one.
"""

from collections.abc import Sequence

from sqlalchemy import CursorResult, select, update
from sqlalchemy.orm import Session

from portal import events, work
from portal.errors import Conflict, InvalidInput, NotFound
from portal.events import Event
from portal.referrals import earnings
from portal.referrals.earnings import WORK_KIND, Hold
from portal.referrals.progress_models import ReferralProgress
from portal.referrals.recorder import SUBJECT, Recorder
from portal.referrals.reward_models import RewardGrant
from portal.referrals.states import REVIEW_TRANSITIONS, Review, RewardStatus
from portal.referrals.terms import load_terms
from portal.transitions import origins

LONGEST_REASON = 500
_APPROVED, _DENIED, _REOPENED = "referral.approved", "referral.denied", "referral.reopened"
_IN_WORDS = {_APPROVED: "approved", _DENIED: "denied", _REOPENED: "reopened"}


def approve(session: Session, referral_id: int, reason: str, recorder: Recorder) -> None:
    """Let the rewards of a referral be earned, those that wait and those to come.

    Raises NotFound, InvalidInput without a reason, and Conflict, naming the winner, when somebody has
    decided already.
    """
    allowed = origins(REVIEW_TRANSITIONS, Review.APPROVED)
    progress = _decide(session, referral_id, Review.APPROVED, allowed, _APPROVED, reason, recorder)
    waiting = _pending(earnings.grants_of(session, referral_id))
    for grant in waiting:
        if earnings.set_aside_as(grant):
            earnings.earn(session, grant, recorder)
    without = [grant for grant in waiting if grant.status == RewardStatus.PENDING]
    earnings.settle(session, progress, load_terms(session, progress.scheme_id), without, recorder)


def deny(session: Session, referral_id: int, reason: str, recorder: Recorder) -> None:
    """Let no reward of a referral be delivered, but for those whose delivery has begun.

    Raises as `approve` does.
    """
    withdrawn = _withdraw(session, referral_id)
    allowed = origins(REVIEW_TRANSITIONS, Review.DENIED)
    _decide(session, referral_id, Review.DENIED, allowed, _DENIED, reason, recorder)
    grants = earnings.grants_of(session, referral_id)
    for grant in _pending(grants):
        earnings.release(session, grant)
        earnings.hold(session, grant, Hold.DENIED, recorder)
    for grant in grants:
        if grant.id in withdrawn:
            earnings.cancel(session, grant, Hold.DENIED, earnings.REASONS[Hold.DENIED], recorder)


def reopen(session: Session, referral_id: int, reason: str, recorder: Recorder) -> None:
    """Let a referral be decided anew; what was earned meanwhile stays earned.

    Raises NotFound, InvalidInput without a reason, and Conflict when nobody has decided.
    """
    decided = [Review.APPROVED, Review.DENIED]
    progress = _decide(session, referral_id, Review.FLAGGED, decided, _REOPENED, reason, recorder)
    denied = [
        grant for grant in _pending(earnings.grants_of(session, referral_id)) if grant.code == Hold.DENIED
    ]
    earnings.settle(session, progress, load_terms(session, progress.scheme_id), denied, recorder)


def read_reason(reason: str) -> str:
    """Return a reason as it is kept; raises InvalidInput when there is none, or it is too long."""
    text = " ".join(reason.split())
    if not text or len(text) > LONGEST_REASON:
        raise InvalidInput(f"A reason is needed, of at most {LONGEST_REASON} characters.", field="reason")
    return text


def _decide(
    session: Session,
    referral_id: int,
    review: Review,
    allowed: Sequence[Review],
    kind: str,
    reason: str,
    recorder: Recorder,
) -> ReferralProgress:
    words = read_reason(reason)
    progress = session.get(ReferralProgress, referral_id, with_for_update=True, populate_existing=True)
    if progress is None:
        raise NotFound("There is no such referral.")
    before = progress.review
    decided = session.execute(
        update(ReferralProgress)
        .where(ReferralProgress.referral_id == referral_id, ReferralProgress.review.in_(allowed))
        .values(review=review)
    )
    if not isinstance(decided, CursorResult) or decided.rowcount != 1:
        raise _too_late(session, referral_id)
    events.record(session, recorder.event(referral_id, kind, reason=words, before=before))
    return progress


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


def _withdraw(session: Session, referral_id: int) -> set[int]:
    """Take back the deliveries that nobody has begun; return their rewards.

    Before any other row is locked: who delivers locks the work first, and then the reward.
    """
    untried = select(RewardGrant.id).where(
        RewardGrant.referral_id == referral_id,
        RewardGrant.status == RewardStatus.EARNED,
        RewardGrant.attempts == 0,
    )
    return {grant_id for grant_id in session.scalars(untried) if work.withdraw(session, WORK_KIND, grant_id)}
