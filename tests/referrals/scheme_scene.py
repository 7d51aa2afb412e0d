"""Terms of a scheme that can be used, and short ways to create and activate one."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

from portal.db import Database
from portal.events import Actor
from portal.referrals.schemes import catalogue
from portal.referrals.schemes import service as schemes
from portal.referrals.schemes.catalogue import NewCondition, NewReward
from portal.referrals.schemes.proposals import Ask, SchemeTerms

NOW = datetime(2026, 11, 20, 12, 0, 0, tzinfo=UTC)
ADMIN = Actor("client", "admin")
SPEND_DATA = {"threshold": "100.00", "currency": "USD"}


def usable_terms(database: Database) -> SchemeTerms:
    """Make two rewards and three conditions, and return terms with them."""
    with database.writer() as session:
        rewards = [
            catalogue.create_reward(session, NewReward(name, None, Decimal(amount)), actor=ADMIN, now=NOW)
            for name, amount in (("ten", "10.00"), ("five", "5.00"))
        ]
        conditions = [
            catalogue.create_condition(session, NewCondition(name, None, name), actor=ADMIN, now=NOW)
            for name in ("sign-up", "verification", "spend")
        ]
    asks = tuple(Ask(one, {}) for one in conditions[:2])
    return SchemeTerms(
        name="Autumn",
        product="card",
        currency="USD",
        expiry_period_type="day",
        expiry_period_length=30,
        limit_rewards=5,
        recruit_reward_id=rewards[1],
        referrer_reward_id=rewards[0],
        conditions=(*asks, Ask(conditions[2], SPEND_DATA)),
    )


def create(database: Database, terms: SchemeTerms, budget: Decimal | None = None) -> int:
    with database.writer() as session:
        return schemes.create_scheme(session, terms, budget=budget, actor=ADMIN, now=NOW)


def activate(database: Database, scheme_id: int, replaces: int | None, now: datetime = NOW) -> None:
    with database.writer() as session:
        schemes.activate_scheme(session, scheme_id, replaces=replaces, actor=ADMIN, now=now)
