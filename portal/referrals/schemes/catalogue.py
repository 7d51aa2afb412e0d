"""What changes the rewards and conditions that schemes are made of.

A referral keeps the terms that it started under: what would change them for a scheme that is there is
refused, or becomes a new row beside the old one.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import ColumnElement, delete, or_, select
from sqlalchemy.orm import Session

from portal import events
from portal.errors import Conflict, FieldError, InvalidInput
from portal.events import Actor, NewEvent
from portal.referrals.models import Condition, ReferralScheme, Reward, SchemeCondition
from portal.referrals.schemes.conditions import event_types
from portal.referrals.schemes.models import ConditionMeaning, RetiredCondition, RetiredReward, SchemeVersion
from portal.referrals.schemes.proposals import check_amount, check_text
from portal.referrals.schemes.queries import RewardOffer, get_condition, get_reward
from portal.referrals.states import SchemeState

_LONGEST_NAME, _LONGEST_DESCRIPTION = 20, 255
_EVENT_TYPE = re.compile(r"[a-z0-9][a-z0-9_-]{0,19}")


@dataclass(frozen=True, slots=True)
class NewReward:
    """A reward as somebody hands it in; `amount` is in the currency of the scheme that will offer it."""

    name: str
    description: str | None
    amount: Decimal


@dataclass(frozen=True, slots=True)
class NewCondition:
    """A condition as somebody hands it in; `event_type` says what meets it: sign-up, verification, spend."""

    name: str
    description: str | None
    event_type: str


def create_reward(session: Session, new: NewReward, *, actor: Actor, now: datetime) -> int:
    """Create a reward and return its id; raises InvalidInput with the fields."""
    _refuse([*_of_reward(new), *_of_name(session, Reward, new.name)])
    return _insert_reward(session, new, {}, actor, now)


def lock_reward(session: Session, reward_id: int) -> NewReward:
    """Lock a reward, and return it so that a part of it may be changed; raises NotFound."""
    get_reward(session, reward_id)
    row = session.get_one(Reward, reward_id, with_for_update=True, populate_existing=True)
    return NewReward(row.name, row.description, row.amount)


def update_reward(session: Session, reward_id: int, new: NewReward, *, actor: Actor, now: datetime) -> int:
    """Change a reward and return the id of the row that now holds it.

    Another amount for a reward that a scheme offers is a new reward, under its own name or a numbered one,
    and the old one is retired: schemes go on with it until a new version of theirs offers the new one.
    Raises NotFound, InvalidInput with the fields, and Conflict when it is retired.
    """
    earlier = get_reward(session, reward_id)
    if earlier.retired_at is not None:
        raise Conflict(f"The reward {earlier.name} is retired.", code="reward-retired")
    row = session.get_one(Reward, reward_id, with_for_update=True, populate_existing=True)
    _refuse([*_of_reward(new), *_of_name(session, Reward, new.name, besides=reward_id)])
    if new.amount == row.amount or not _offering(session, reward_id):
        facts = {"before": _told(row.name, row.amount), "after": _told(new.name, new.amount)}
        row.name, row.description, row.amount = new.name, new.description, new.amount
        session.flush()
        _tell(session, "reward", reward_id, "reward.updated", actor, now, facts)
        return reward_id
    new_id = _insert_reward(session, _renamed(session, new, earlier), {"replaces": reward_id}, actor, now)
    session.add(RetiredReward(reward_id=reward_id, retired_at=now))
    session.flush()
    _tell(session, "reward", reward_id, "reward.retired", actor, now, {"replaced_by": new_id})
    return new_id


def retire_reward(session: Session, reward_id: int, *, actor: Actor, now: datetime) -> None:
    """Let no new version offer a reward; raises NotFound, and Conflict while an active scheme offers it."""
    reward = get_reward(session, reward_id)
    if reward.retired_at is not None:
        raise Conflict(f"The reward {reward.name} is retired already.", code="reward-retired")
    _require_inactive(_offering(session, reward_id, SchemeState.ACTIVE), f"The reward {reward.name}")
    session.add(RetiredReward(reward_id=reward_id, retired_at=now))
    session.flush()
    _tell(session, "reward", reward_id, "reward.retired", actor, now, {})


def create_condition(session: Session, new: NewCondition, *, actor: Actor, now: datetime) -> int:
    """Create a condition and return its id; raises InvalidInput with the fields."""
    errors = [*_of_condition(new), *_of_name(session, Condition, new.name)]
    _refuse(errors + list(_of_event_type(session, new.event_type, besides=None)))
    row = Condition(name=new.name, description=new.description, event_type=new.event_type)
    session.add(row)
    session.flush()
    facts = {"name": new.name, "event_type": new.event_type}
    _tell(session, "condition", row.id, "condition.created", actor, now, facts)
    return row.id


def lock_condition(session: Session, condition_id: int) -> NewCondition:
    """Lock a condition, and return it so that a part of it may be changed; raises NotFound."""
    get_condition(session, condition_id)
    row = session.get_one(Condition, condition_id, with_for_update=True, populate_existing=True)
    return NewCondition(row.name, row.description, event_types(session)[condition_id])


def update_condition(
    session: Session, condition_id: int, new: NewCondition, *, actor: Actor, now: datetime
) -> None:
    """Change a condition: what meets it only while no scheme asks for it.

    The old service's word for it stays in the row as long as its meaning does. Raises NotFound, InvalidInput
    with the fields, and Conflict.
    """
    if get_condition(session, condition_id).retired_at is not None:
        raise Conflict("The condition is retired.", code="condition-retired")
    row = session.get_one(Condition, condition_id, with_for_update=True, populate_existing=True)
    errors = [*_of_condition(new), *_of_name(session, Condition, new.name, besides=condition_id)]
    _refuse(errors + list(_of_event_type(session, new.event_type, besides=condition_id)))
    met_by = event_types(session)[condition_id]
    if new.event_type != met_by and (asking := _asking(session, condition_id)):
        raise Conflict(
            f"The scheme {asking[0]} asks for this condition: what meets it stays.", code="condition-in-use"
        )
    facts = {
        "before": {"name": row.name, "event_type": met_by},
        "after": {"name": new.name, "event_type": new.event_type},
    }
    row.name, row.description = new.name, new.description
    if new.event_type != met_by:
        row.event_type = new.event_type
        session.execute(delete(ConditionMeaning).where(ConditionMeaning.condition_id == condition_id))
    session.flush()
    _tell(session, "condition", condition_id, "condition.updated", actor, now, facts)


def retire_condition(session: Session, condition_id: int, *, actor: Actor, now: datetime) -> None:
    """Let no new version ask for a condition; raises NotFound, and Conflict while an active scheme does."""
    condition = get_condition(session, condition_id)
    if condition.retired_at is not None:
        raise Conflict(f"The condition {condition.name} is retired already.", code="condition-retired")
    _require_inactive(_asking(session, condition_id, SchemeState.ACTIVE), f"The condition {condition.name}")
    session.add(RetiredCondition(condition_id=condition_id, retired_at=now))
    session.flush()
    _tell(session, "condition", condition_id, "condition.retired", actor, now, {})


def _insert_reward(
    session: Session, new: NewReward, facts: dict[str, Any], actor: Actor, now: datetime
) -> int:
    row = Reward(name=new.name, description=new.description, amount=new.amount)
    session.add(row)
    session.flush()
    _tell(session, "reward", row.id, "reward.created", actor, now, _told(new.name, new.amount) | facts)
    return row.id


def _renamed(session: Session, new: NewReward, earlier: RewardOffer) -> NewReward:
    """Number the name where the new reward was to keep that of the old one: names are unique."""
    if not _has_name(session, Reward, new.name, besides=None):
        return new
    stem, number = re.sub(r" v\d+$", "", earlier.name), 2
    while True:
        suffix = f" v{number}"
        name = stem[: _LONGEST_NAME - len(suffix)].rstrip() + suffix
        if not _has_name(session, Reward, name, besides=None):
            return NewReward(name, new.description, new.amount)
        number += 1


def _of_reward(new: NewReward) -> Iterator[FieldError]:
    yield from check_text(new.name, "name", _LONGEST_NAME)
    yield from _of_description(new.description)
    yield from check_amount(new.amount, "amount")


def _of_condition(new: NewCondition) -> Iterator[FieldError]:
    yield from check_text(new.name, "name", _LONGEST_NAME)
    yield from _of_description(new.description)
    if not _EVENT_TYPE.fullmatch(new.event_type):
        yield FieldError("event_type", "Up to 20 letters a to z, digits, - and _, such as sign-up.")


def _of_description(description: str | None) -> Iterator[FieldError]:
    if description is not None and not (
        description.isprintable() and len(description) <= _LONGEST_DESCRIPTION
    ):
        yield FieldError(
            "description", f"A description has at most {_LONGEST_DESCRIPTION} printable characters."
        )


def _of_name(
    session: Session, table: type[Reward] | type[Condition], name: str, *, besides: int | None = None
) -> Iterator[FieldError]:
    if _has_name(session, table, name, besides=besides):
        yield FieldError("name", f"The name {name} is taken.")


def _has_name(
    session: Session, table: type[Reward] | type[Condition], name: str, *, besides: int | None
) -> bool:
    # MySQL compares the established names without regard to case and accents, also for their key.
    others = [table.id != besides] if besides is not None else []
    return session.scalar(select(table.id).where(table.name == name, *others)) is not None


def _of_event_type(session: Session, event_type: str, *, besides: int | None) -> Iterator[FieldError]:
    meant = [one for one, word in event_types(session).items() if word == event_type]
    # Its key also holds the words that the old service had.
    taken = or_(Condition.id.in_(meant), Condition.event_type == event_type)
    name = session.scalar(select(Condition.name).where(taken, Condition.id != (besides or 0)))
    if name is not None:
        yield FieldError("event_type", f"The condition {name} is met by {event_type} already.")


def _offering(session: Session, reward_id: int, state: SchemeState | None = None) -> list[int]:
    scheme = ReferralScheme
    return _schemes(
        session, or_(scheme.recruit_reward_id == reward_id, scheme.referrer_reward_id == reward_id), state
    )


def _asking(session: Session, condition_id: int, state: SchemeState | None = None) -> list[int]:
    asking = select(SchemeCondition.referral_scheme_id).where(SchemeCondition.condition_id == condition_id)
    return _schemes(session, ReferralScheme.id.in_(asking), state)


def _schemes(session: Session, using: ColumnElement[bool], state: SchemeState | None) -> list[int]:
    found = select(ReferralScheme.id).where(using).order_by(ReferralScheme.id)
    if state is not None:
        found = found.join(SchemeVersion, SchemeVersion.scheme_id == ReferralScheme.id)
        found = found.where(SchemeVersion.state == state)
    return list(session.scalars(found))


def _require_inactive(schemes: list[int], what: str) -> None:
    if schemes:
        raise Conflict(f"{what} is used by the active scheme {schemes[0]}.", code="in-use")


def _refuse(errors: list[FieldError]) -> None:
    if errors:
        raise InvalidInput.of(errors)


def _told(name: str, amount: Decimal) -> dict[str, Any]:
    return {"name": name, "amount": str(amount)}


def _tell(
    session: Session,
    subject: str,
    subject_id: int,
    kind: str,
    actor: Actor,
    now: datetime,
    data: dict[str, Any],
) -> None:
    events.record(session, NewEvent(subject, subject_id, kind, actor, now, data))
