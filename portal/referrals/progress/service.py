"""How far a referral is: a condition that is met moves it on, and the last one converts it, once."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Literal

from sqlalchemy import CursorResult, select, update
from sqlalchemy.orm import Session

from portal import events
from portal.referrals.models import ReferralCondition
from portal.referrals.progress import fraud
from portal.referrals.progress.models import ConditionEvidence, ReferralProgress
from portal.referrals.recorder import Recorder
from portal.referrals.rewards import earnings
from portal.referrals.schemes.terms import Asked, Terms, load_terms
from portal.referrals.states import REFERRAL_TRANSITIONS, ReferralStatus
from portal.transitions import origins

SIGN_UP, VERIFICATION, SPEND = "sign-up", "verification", "spend"
OPEN = (ReferralStatus.STARTED, ReferralStatus.QUALIFYING)

Outcome = Literal["met", "converted", "known", "not-asked", "too-late", "closed"]


@dataclass(frozen=True, slots=True)
class Evidence:
    """What shows that a condition was met at `at`: a message, or a poll with an amount and its threshold."""

    source: Literal["message", "poll"]
    source_id: str
    at: datetime
    amount: Decimal | None = None
    threshold: Decimal | None = None
    currency: str | None = None


def meet_condition(
    session: Session, referral_id: int, event_type: str, evidence: Evidence, recorder: Recorder
) -> Outcome:
    """Record that what happened meets a condition of a referral; the last one converts it.

    The caller has locked the row of the user (`known_users.lock_users`). `known`: it was met before;
    `not-asked`: its scheme has no such condition; `too-late`: it happened when the referral's time was
    over; `closed`: the referral was cancelled or has converted. Only the first two of all change anything.

    A referral that has expired is reopened by what happened before its end and is told of only now; if it
    lacks something else, it expires again.
    """
    progress = session.get_one(ReferralProgress, referral_id, with_for_update=True, populate_existing=True)
    terms = load_terms(session, progress.scheme_id)
    asked = terms.condition_of(event_type)
    if asked is None:
        return "not-asked"
    if session.get(ReferralCondition, (referral_id, asked.condition_id)) is not None:
        return "known"
    if progress.expires_at is not None and evidence.at >= progress.expires_at:
        return "too-late"
    if progress.status == ReferralStatus.EXPIRED:
        _reopen(session, progress, asked, evidence, recorder)
    if progress.status not in OPEN:
        return "closed"
    _record(session, referral_id, asked, evidence, recorder)
    if _all_met(session, referral_id, terms):
        _convert(session, progress, terms, recorder)
        return "converted"
    if event_type != SIGN_UP:
        _move_on(session, progress, ReferralStatus.QUALIFYING)
    return "met"


def _reopen(
    session: Session, progress: ReferralProgress, asked: Asked, evidence: Evidence, recorder: Recorder
) -> None:
    if not _move_on(session, progress, ReferralStatus.QUALIFYING, ended_at=None):
        raise RuntimeError("A referral that was locked could not be reopened.")
    data = {
        "event_type": asked.event_type,
        "source": evidence.source,
        "source_id": evidence.source_id,
        "at": evidence.at.isoformat(),
    }
    events.record(session, recorder.event(progress.referral_id, "referral.reopened-late", **data))


def _record(session: Session, referral_id: int, asked: Asked, evidence: Evidence, recorder: Recorder) -> None:
    session.add(
        ReferralCondition(referral_id=referral_id, condition_id=asked.condition_id, created_at=evidence.at)
    )
    session.add(
        ConditionEvidence(
            referral_id=referral_id,
            condition_id=asked.condition_id,
            source=evidence.source,
            source_id=evidence.source_id,
            amount=evidence.amount,
            threshold=evidence.threshold,
            currency=evidence.currency,
            at=evidence.at,
        )
    )
    session.flush()
    data = {
        "condition": asked.name,
        "event_type": asked.event_type,
        "source": evidence.source,
        "source_id": evidence.source_id,
        "at": evidence.at.isoformat(),
    }
    if evidence.amount is not None:
        data |= {
            "amount": str(evidence.amount),
            "threshold": str(evidence.threshold),
            "currency": str(evidence.currency),
        }
    events.record(session, recorder.event(referral_id, "referral.condition-met", **data))


def _all_met(session: Session, referral_id: int, terms: Terms) -> bool:
    met = select(ReferralCondition.condition_id).where(ReferralCondition.referral_id == referral_id)
    return {asked.condition_id for asked in terms.conditions} <= set(session.scalars(met))


def _convert(session: Session, progress: ReferralProgress, terms: Terms, recorder: Recorder) -> None:
    """Convert, and let both sides earn; the fraud check looks again at what has come in since the start."""
    if not _move_on(session, progress, ReferralStatus.CONVERTED, ended_at=recorder.now):
        raise RuntimeError("A referral that was locked could not convert.")
    events.record(session, recorder.event(progress.referral_id, "referral.converted"))
    fraud.check(session, progress, recorder)
    earnings.grant_rewards(session, progress, terms, recorder)


def _move_on(
    session: Session, progress: ReferralProgress, status: ReferralStatus, **ended: datetime | None
) -> bool:
    moved = session.execute(
        update(ReferralProgress)
        .where(
            ReferralProgress.referral_id == progress.referral_id,
            ReferralProgress.status.in_(origins(REFERRAL_TRANSITIONS, status)),
        )
        .values(status=status, **ended)
    )
    return isinstance(moved, CursorResult) and moved.rowcount == 1
