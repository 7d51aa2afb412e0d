"""Who records something about referrals: handed down from the edges to all that is written with it."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from portal.events import Actor, NewEvent

SUBJECT = "referral"


@dataclass(frozen=True, slots=True)
class FraudRules:
    """From how many on the fraud check speaks: sign-ups within `window`, referrals of one referrer a day."""

    window: timedelta
    sign_ups_of_network: int
    sign_ups_of_device: int
    referrals_a_day: int


@dataclass(frozen=True, slots=True)
class Recorder:
    """Who records it, when, with which ids, and by which rules of the fraud check."""

    actor: Actor
    now: datetime
    new_id: Callable[[], str]
    fraud: FraudRules

    def event(self, referral_id: int, kind: str, **data: object) -> NewEvent:
        """Make an event of a referral; `data` holds no personal data."""
        return NewEvent(SUBJECT, referral_id, kind, self.actor, self.now, data)
