"""Open referrals whose spend is asked for, made in the tables at once."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from portal.referrals.models import Condition, Referral, SchemeCondition
from portal.referrals.progress.models import ReferralProgress
from portal.referrals.progress.service import SPEND
from portal.referrals.states import ReferralStatus, Review
from tests.referrals.scenes import scheme

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
REFERRER = 41


def spend_scheme(
    session: Session, *event_types: str, threshold: str = "100.00", currency: str = "USD", data: str = ""
) -> int:
    """Make a scheme that asks for a spend, by default for nothing else."""
    made = scheme(session, *(event_types or (SPEND,)))
    of_spend = select(Condition.id).where(Condition.event_type == SPEND).scalar_subquery()
    told = data or json.dumps({"threshold": threshold, "currency": currency})
    session.execute(
        update(SchemeCondition)
        .where(SchemeCondition.referral_scheme_id == made, SchemeCondition.condition_id == of_spend)
        .values(data=told),
        execution_options={"synchronize_session": False},
    )
    return made


def open_referrals(
    session: Session,
    scheme_id: int,
    user_ids: Iterable[int],
    *,
    status: str = ReferralStatus.STARTED,
    expires_at: datetime | None = None,
) -> list[int]:
    """Make a referral for each user; return their ids."""
    ids = []
    for user_id in user_ids:
        referral = Referral(
            referrer_user_id=REFERRER, user_id=user_id, created_at=LONG_AGO, referral_scheme_id=scheme_id
        )
        session.add(referral)
        session.flush()
        progress = ReferralProgress(referral_id=referral.id, scheme_id=scheme_id, family_id=scheme_id)
        progress.user_id, progress.referrer_user_id = user_id, REFERRER
        progress.status, progress.review = status, Review.PENDING
        progress.started_at, progress.expires_at = LONG_AGO, expires_at
        session.add(progress)
        ids.append(referral.id)
    session.flush()
    return ids
