"""The methods by which administrators look after rewards and conditions; they read what was written last."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Annotated, Any

from pydantic import Field
from sqlalchemy.orm import Session

from portal.jsonrpc import Amount, Caller, Example, Method, Params, Result
from portal.referrals.schemes import catalogue
from portal.referrals.schemes.catalogue import NewCondition, NewReward
from portal.referrals.schemes.queries import (
    KnownCondition,
    RewardOffer,
    get_condition,
    get_reward,
    list_conditions,
    list_rewards,
)
from portal.referrals.schemes.rpc_views import CONDITION, REWARD, ConditionView, Id, RewardView

Page = Annotated[int, Field(ge=1, le=100)]


class RewardParams(Params):
    name: str = Field(description="At most 20 characters, unique.")
    description: str | None = None
    amount: Amount = Field(description="In the currency of the scheme that will offer it.")


class ChangedReward(Params):
    name: str | None = Field(default=None, description="At most 20 characters, unique.")
    description: str | None = Field(default=None, description="Null: none.")
    amount: Amount | None = Field(default=None, description="In the currency of the schemes that offer it.")
    reward_id: Id = Field(description="What is left out of the rest stays as it is.")


class RewardId(Params):
    reward_id: Id


class ConditionParams(Params):
    name: str = Field(description="At most 20 characters, unique.")
    description: str | None = None
    event_type: str = Field(description="What meets it, unique: sign-up, verification or spend.")


class ChangedCondition(Params):
    name: str | None = Field(default=None, description="At most 20 characters, unique.")
    description: str | None = Field(default=None, description="Null: none.")
    event_type: str | None = Field(default=None, description="What meets it, unique.")
    condition_id: Id = Field(description="What is left out of the rest stays as it is.")


class ConditionId(Params):
    condition_id: Id


class Listing(Params):
    with_retired: bool = False
    above: Annotated[int, Field(ge=0, lt=2**63)] = Field(
        default=0, description="Where the last page ended: its `next_above`."
    )
    limit: Page = 50


class RewardList(Result):
    rewards: list[RewardView] = Field(description="In the order of their ids.")
    next_above: int | None = Field(description="What to send as `above` for the next page; null: the end.")


class ConditionList(Result):
    conditions: list[ConditionView] = Field(description="In the order of their ids.")
    next_above: int | None = Field(description="What to send as `above` for the next page; null: the end.")


def create_reward(caller: Caller, params: RewardParams) -> RewardView:
    """Create a reward."""

    def create(session: Session) -> RewardOffer:
        new = NewReward(params.name, params.description, params.amount)
        now = caller.runtime.clock()
        return get_reward(session, catalogue.create_reward(session, new, actor=caller.actor, now=now))

    return RewardView.of(caller.runtime.transact(create))


def get_one_reward(caller: Caller, params: RewardId) -> RewardView:
    """Return a reward, also one that is retired."""
    with caller.runtime.newest() as session:
        return RewardView.of(get_reward(session, params.reward_id))


def list_all_rewards(caller: Caller, params: Listing) -> RewardList:
    """List rewards, page by page."""
    with caller.runtime.newest() as session:
        found = list_rewards(
            session, with_retired=params.with_retired, above=params.above, limit=params.limit
        )
    next_above = found[-1].id if len(found) == params.limit else None
    return RewardList(rewards=[RewardView.of(one) for one in found], next_above=next_above)


def update_reward(caller: Caller, params: ChangedReward) -> RewardView:
    """Change a reward.

    Another amount for a reward that a scheme offers is a new reward beside the old one, which is retired:
    look at the id and the name that come back.
    """

    def update(session: Session) -> RewardOffer:
        new = replace(catalogue.lock_reward(session, params.reward_id), **_given(params, besides="reward_id"))
        now = caller.runtime.clock()
        reward_id = catalogue.update_reward(session, params.reward_id, new, actor=caller.actor, now=now)
        return get_reward(session, reward_id)

    return RewardView.of(caller.runtime.transact(update))


def retire_reward(caller: Caller, params: RewardId) -> RewardView:
    """Let no new version of a scheme offer a reward."""

    def retire(session: Session) -> RewardOffer:
        now = caller.runtime.clock()
        catalogue.retire_reward(session, params.reward_id, actor=caller.actor, now=now)
        return get_reward(session, params.reward_id)

    return RewardView.of(caller.runtime.transact(retire))


def create_condition(caller: Caller, params: ConditionParams) -> ConditionView:
    """Create a condition."""

    def create(session: Session) -> KnownCondition:
        new = NewCondition(params.name, params.description, params.event_type)
        now = caller.runtime.clock()
        return get_condition(session, catalogue.create_condition(session, new, actor=caller.actor, now=now))

    return ConditionView.of(caller.runtime.transact(create))


def get_one_condition(caller: Caller, params: ConditionId) -> ConditionView:
    """Return a condition, also one that is retired."""
    with caller.runtime.newest() as session:
        return ConditionView.of(get_condition(session, params.condition_id))


def list_all_conditions(caller: Caller, params: Listing) -> ConditionList:
    """List conditions, page by page."""
    with caller.runtime.newest() as session:
        found = list_conditions(
            session, with_retired=params.with_retired, above=params.above, limit=params.limit
        )
    next_above = found[-1].id if len(found) == params.limit else None
    return ConditionList(conditions=[ConditionView.of(one) for one in found], next_above=next_above)


def update_condition(caller: Caller, params: ChangedCondition) -> ConditionView:
    """Change a condition: what meets it only while no scheme asks for it."""

    def update(session: Session) -> KnownCondition:
        new = replace(
            catalogue.lock_condition(session, params.condition_id), **_given(params, besides="condition_id")
        )
        now = caller.runtime.clock()
        catalogue.update_condition(session, params.condition_id, new, actor=caller.actor, now=now)
        return get_condition(session, params.condition_id)

    return ConditionView.of(caller.runtime.transact(update))


def retire_condition(caller: Caller, params: ConditionId) -> ConditionView:
    """Let no new version of a scheme ask for a condition."""

    def retire(session: Session) -> KnownCondition:
        now = caller.runtime.clock()
        catalogue.retire_condition(session, params.condition_id, actor=caller.actor, now=now)
        return get_condition(session, params.condition_id)

    return ConditionView.of(caller.runtime.transact(retire))


def _given(params: Params, besides: str) -> dict[str, Any]:
    """Return what was handed in; null takes nothing away but a description, which alone may be missing."""
    given = {name: value for name, value in params if name in params.model_fields_set and name != besides}
    return {name: value for name, value in given.items() if value is not None or name == "description"}


def methods() -> Iterator[Method]:
    """Give the methods of this module."""
    reward = {"name": "ten", "description": None, "amount": "10.00"}
    condition = {"name": "spend", "description": "Spends enough", "event_type": "spend"}
    rewards = {"rewards": [REWARD], "next_above": None}
    conditions = {"conditions": [CONDITION], "next_above": None}
    retired = {"retired_at": "2026-11-20T12:00:00.000Z"}
    one_reward, one_condition = {"reward_id": 2}, {"condition_id": 3}
    for name, params, result, handle, example in (
        ("createreward", RewardParams, RewardView, create_reward, Example(reward, REWARD)),
        ("getreward", RewardId, RewardView, get_one_reward, Example(one_reward, REWARD)),
        ("listrewards", Listing, RewardList, list_all_rewards, Example({}, rewards)),
        ("updatereward", ChangedReward, RewardView, update_reward, Example(one_reward | reward, REWARD)),
        ("retirereward", RewardId, RewardView, retire_reward, Example(one_reward, REWARD | retired)),
        (
            "createcondition",
            ConditionParams,
            ConditionView,
            create_condition,
            Example(condition, CONDITION),
        ),
        ("getcondition", ConditionId, ConditionView, get_one_condition, Example(one_condition, CONDITION)),
        ("listconditions", Listing, ConditionList, list_all_conditions, Example({}, conditions)),
        (
            "updatecondition",
            ChangedCondition,
            ConditionView,
            update_condition,
            Example(one_condition | condition, CONDITION),
        ),
        (
            "retirecondition",
            ConditionId,
            ConditionView,
            retire_condition,
            Example(one_condition, CONDITION | retired),
        ),
    ):
        yield Method(f"referrals.{name}", params, result, handle, example, administrates=True)
