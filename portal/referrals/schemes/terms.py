"""The terms that a referral runs under: those of the scheme's version that it started with."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from portal.referrals.models import Condition, ReferralScheme, SchemeCondition
from portal.referrals.schemes.conditions import event_type_of
from portal.referrals.schemes.models import ConditionMeaning, SchemeVersion
from portal.referrals.schemes.periods import end_of_period


@dataclass(frozen=True, slots=True)
class Asked:
    """A condition that a scheme asks for."""

    condition_id: int
    name: str
    event_type: str


@dataclass(frozen=True, slots=True)
class Terms:
    """One version of a scheme, with its conditions in their order."""

    scheme: ReferralScheme
    family_id: int
    currency: str
    retired_at: datetime | None
    conditions: tuple[Asked, ...]

    def condition_of(self, event_type: str) -> Asked | None:
        """Return the condition that such an event meets, if the scheme asks for it."""
        return next((asked for asked in self.conditions if asked.event_type == event_type), None)

    def expires_at(self, started_at: datetime) -> datetime | None:
        """Return the instant from which on nothing counts any more; None when it never comes."""
        return end_of_period(started_at, self.scheme.expiry_period_type, self.scheme.expiry_period_length)


def load_terms(session: Session, scheme_id: int) -> Terms:
    """Read the terms of a version of a scheme."""
    found = session.execute(
        select(ReferralScheme, SchemeVersion)
        .join(SchemeVersion, SchemeVersion.scheme_id == ReferralScheme.id)
        .where(ReferralScheme.id == scheme_id)
    )
    scheme, version = found.one()
    asked = session.execute(
        select(Condition.id, Condition.name, Condition.event_type, ConditionMeaning.event_type)
        .join(SchemeCondition, SchemeCondition.condition_id == Condition.id)
        .outerjoin(ConditionMeaning, ConditionMeaning.condition_id == Condition.id)
        .where(SchemeCondition.referral_scheme_id == scheme_id)
        .order_by(SchemeCondition.ordinal, Condition.id)
    )
    conditions = tuple(Asked(one, name, event_type_of(*words)) for one, name, *words in asked)
    return Terms(scheme, version.family_id, version.currency, version.retired_at, conditions)
