"""How schemes, rewards and conditions look to clients: amounts are texts, times ISO 8601 in UTC."""

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any

from pydantic import Field, PlainSerializer, WithJsonSchema

from portal.jsonrpc import Result
from portal.referrals.schemes.queries import AskedCondition, KnownCondition, RewardOffer, Scheme

LARGEST_ID = 2**63 - 1
Id = Annotated[int, Field(ge=1, le=LARGEST_ID)]


def _written(at: datetime) -> str:
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


Time = Annotated[
    datetime,
    PlainSerializer(_written, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "format": "date-time"}, mode="serialization"),
]


class RewardView(Result):
    """A reward; `amount` is in the currency of the scheme that offers it."""

    id: int
    name: str
    description: str | None
    amount: Decimal
    retired_at: Time | None = None

    @classmethod
    def of(cls, reward: RewardOffer) -> "RewardView":
        return cls(
            id=reward.id,
            name=reward.name,
            description=reward.description,
            amount=reward.amount,
            retired_at=reward.retired_at,
        )


class ConditionView(Result):
    """A condition that schemes may ask for; `event_type` says what meets it."""

    id: int
    name: str
    description: str | None
    event_type: str
    retired_at: Time | None = None

    @classmethod
    def of(cls, condition: KnownCondition) -> "ConditionView":
        return cls(
            id=condition.id,
            name=condition.name,
            description=condition.description,
            event_type=condition.event_type,
            retired_at=condition.retired_at,
        )


class AskedView(Result):
    """A condition as a scheme asks for it, with its place and its data, such as a threshold."""

    condition_id: int
    name: str
    event_type: str
    ordinal: int
    data: dict[str, Any]

    @classmethod
    def of(cls, asked: AskedCondition) -> "AskedView":
        return cls(
            condition_id=asked.id,
            name=asked.name,
            event_type=asked.event_type,
            ordinal=asked.ordinal,
            data=dict(asked.data),
        )


class SchemeView(Result):
    """One version of a scheme; `family_id` is the same for all its versions. A limit of 0 is none."""

    id: int
    family_id: int
    version: int
    name: str
    product: str
    state: str
    active: bool
    currency: str
    expiry_period_type: str
    expiry_period_length: int
    limit_rewards: int
    recruit_reward: RewardView
    referrer_reward: RewardView
    conditions: list[AskedView]
    activated_at: Time | None

    @classmethod
    def of(cls, scheme: Scheme) -> "SchemeView":
        return cls(
            id=scheme.id,
            family_id=scheme.family_id,
            version=scheme.version,
            name=scheme.name,
            product=scheme.product,
            state=scheme.state,
            active=scheme.state == "active",
            currency=scheme.currency,
            expiry_period_type=scheme.expiry_period_type,
            expiry_period_length=scheme.expiry_period_length,
            limit_rewards=scheme.limit_rewards,
            recruit_reward=RewardView.of(scheme.recruit_reward),
            referrer_reward=RewardView.of(scheme.referrer_reward),
            conditions=[AskedView.of(asked) for asked in scheme.conditions],
            activated_at=scheme.activated_at,
        )


REWARD = {"id": 2, "name": "ten", "description": None, "amount": "10.00", "retired_at": None}
CONDITION = {
    "id": 3,
    "name": "spend",
    "description": "Spends enough",
    "event_type": "spend",
    "retired_at": None,
}
SCHEME: dict[str, Any] = {
    "id": 7,
    "family_id": 5,
    "version": 2,
    "name": "Autumn",
    "product": "card",
    "state": "active",
    "active": True,
    "currency": "USD",
    "expiry_period_type": "day",
    "expiry_period_length": 30,
    "limit_rewards": 5,
    "recruit_reward": REWARD | {"id": 1, "name": "five", "amount": "5.00"},
    "referrer_reward": REWARD,
    "conditions": [
        {
            "condition_id": 3,
            "name": "spend",
            "event_type": "spend",
            "ordinal": 1,
            "data": {"threshold": "100.00", "currency": "USD"},
        }
    ],
    "activated_at": "2026-11-01T08:00:00.000Z",
}
