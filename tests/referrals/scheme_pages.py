"""What an administrator enters in the forms of schemes, and a database with rewards and conditions."""

from __future__ import annotations

from decimal import Decimal

from sqlalchemy.orm import Session

from portal.referrals.models import Condition, Reward

FORM = {
    "name": "Spring",
    "product": "loans",
    "currency": "USD",
    "referrer_reward_id": "1",
    "recruit_reward_id": "2",
    "expiry_period_length": "30",
    "expiry_period_type": "day",
    "limit_rewards": "5",
    "budget": "1000.00",
    "conditions-0-condition_id": "1",
    "conditions-0-asked": "y",
    "conditions-0-place": "1",
    "conditions-1-condition_id": "2",
    "conditions-1-place": "",
    "conditions-2-condition_id": "3",
    "conditions-2-asked": "y",
    "conditions-2-place": "2",
    "conditions-2-threshold": "100.00",
    "conditions-2-currency": "USD",
}


def add_parts(session: Session) -> None:
    """Make the rewards 1 and 2, and the conditions sign-up 1, verification 2 and spend 3."""
    session.add_all(
        [Reward(id=1, name="ten", amount=Decimal(10)), Reward(id=2, name="five", amount=Decimal(5))]
    )
    types = ("sign-up", "verification", "spend")
    session.add_all(Condition(id=n, name=one, event_type=one) for n, one in enumerate(types, start=1))
