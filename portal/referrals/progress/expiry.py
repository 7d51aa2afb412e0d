"""The end of referrals that did not convert in time."""

from datetime import datetime

from sqlalchemy import CursorResult, select, update
from sqlalchemy.orm import Session

from portal import events
from portal.referrals.progress.models import ReferralProgress
from portal.referrals.progress.service import OPEN
from portal.referrals.recorder import Recorder
from portal.referrals.states import REFERRAL_TRANSITIONS, ReferralStatus
from portal.transitions import origins


def expire_referrals(session: Session, *, until: datetime, limit: int, recorder: Recorder) -> int:
    """Expire up to `limit` open referrals that ended at `until` or before; return how many it were.

    Each ends at its own instant, however late this is written. Rows that somebody else holds at this
    moment are left for the next time.
    """
    progress = ReferralProgress
    due = (
        select(progress.referral_id, progress.expires_at, progress.status)
        .where(progress.status.in_(OPEN), progress.expires_at <= until)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    rows = session.execute(due).all()
    ids = sorted(row.referral_id for row in rows)
    if not ids:
        return 0
    expired = session.execute(
        update(progress)
        .where(
            progress.referral_id.in_(ids),
            progress.status.in_(origins(REFERRAL_TRANSITIONS, ReferralStatus.EXPIRED)),
        )
        .values(status=ReferralStatus.EXPIRED, ended_at=progress.expires_at),
        execution_options={"synchronize_session": False},
    )
    if not isinstance(expired, CursorResult) or expired.rowcount != len(ids):
        raise RuntimeError("A referral that was locked could not expire.")
    told = [
        recorder.event(row.referral_id, "referral.expired", at=row.expires_at.isoformat(), was=row.status)
        for row in rows
        if row.expires_at is not None
    ]
    events.record_all(session, told)
    return len(ids)
