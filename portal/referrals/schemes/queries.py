"""What is asked about schemes, their versions, and the rewards and conditions that they are made of."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import Row, Select, case, func, or_, select
from sqlalchemy.orm import Session, aliased

from portal.errors import NotFound
from portal.events import Event
from portal.keyset import Page, Place, fetch_page
from portal.referrals.models import Condition, ReferralScheme, Reward, SchemeCondition
from portal.referrals.schemes.conditions import data_of, event_type_of
from portal.referrals.schemes.models import (
    ActiveScheme,
    ConditionMeaning,
    RetiredCondition,
    RetiredReward,
    SchemeBudget,
    SchemeVersion,
)
from portal.referrals.states import SchemeState

PAGE_SIZE = 50
SCHEME_KEY = (int,)
# The earliest time that MySQL keeps as a TIMESTAMP: of a version that was never activated.
NEVER = datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC)
# Of schemes that are active, one a product, so many are read at most.
MOST_ACTIVE = 500
_MAY_STILL_EARN = timedelta(days=365)


@dataclass(frozen=True, slots=True)
class RewardOffer:
    """A reward; `amount` is in the currency of the scheme that offers it."""

    id: int
    name: str
    description: str | None
    amount: Decimal
    retired_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class KnownCondition:
    """A condition that schemes may ask for."""

    id: int
    name: str
    description: str | None
    event_type: str
    retired_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class AskedCondition:
    """A condition as a scheme asks for it: its place from 1, and its data, such as a threshold.

    `data` is empty where the old service left something that is not a JSON object.
    """

    id: int
    name: str
    event_type: str
    ordinal: int
    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Scheme:
    """One version of a scheme; `activated_at` is None when it never was, `budget` None without limit."""

    id: int
    family_id: int
    version: int
    name: str
    product: str
    state: SchemeState
    currency: str
    expiry_period_type: str
    expiry_period_length: int
    limit_rewards: int
    recruit_reward: RewardOffer
    referrer_reward: RewardOffer
    conditions: tuple[AskedCondition, ...]
    budget: Decimal | None
    activated_at: datetime | None
    created_at: datetime
    created_by: str
    retired_at: datetime | None


@dataclass(frozen=True, slots=True)
class OnceActive:
    """Schemes that are or were active, active ones first; unless `complete` there are more of them."""

    schemes: list[Scheme]
    complete: bool


@dataclass(frozen=True, slots=True)
class Change:
    """One field in which two versions differ, such as `conditions[spend].data.threshold`."""

    field: str
    before: Any
    after: Any


def get_scheme(session: Session, scheme_id: int) -> Scheme:
    """Return one version of a scheme; raises NotFound."""
    found = find_schemes(session, [scheme_id])
    if scheme_id not in found:
        raise NotFound(f"There is no scheme {scheme_id}.")
    return found[scheme_id]


def find_schemes(session: Session, scheme_ids: Iterable[int]) -> dict[int, Scheme]:
    """Return those versions of schemes that exist, by their ids."""
    ids = list(set(scheme_ids))
    return {scheme.id: scheme for scheme in _read(session, _schemes().where(ReferralScheme.id.in_(ids)))}


def list_schemes(
    session: Session,
    *,
    product: str | None = None,
    state: SchemeState | None = None,
    family_id: int | None = None,
    below: int | None = None,
    limit: int = PAGE_SIZE,
) -> list[Scheme]:
    """Return versions of schemes, the newest first, with ids `below` where the last page ended."""
    wanted = _schemes().order_by(ReferralScheme.id.desc()).limit(limit)
    if product is not None:
        wanted = wanted.where(ReferralScheme.product == product)
    if state is not None:
        wanted = wanted.where(SchemeVersion.state == state)
    if family_id is not None:
        wanted = wanted.where(SchemeVersion.family_id == family_id)
    if below is not None:
        wanted = wanted.where(ReferralScheme.id < below)
    return _read(session, wanted)


def page_schemes(session: Session, state: SchemeState, place: Place | None) -> Page[Scheme]:
    """Return one page of the versions in a state, the newest first."""
    page = fetch_page(
        session,
        _schemes().where(SchemeVersion.state == state).execution_options(populate_existing=True),
        [ReferralScheme.id],
        lambda row: (row.ReferralScheme.id,),
        place=place,
        size=PAGE_SIZE,
    )
    return Page(_told(session, page.rows), page.newer, page.older)


def list_once_active(session: Session, now: datetime, limit: int = MOST_ACTIVE) -> OnceActive:
    """Return one version of each scheme that was ever active: the active one, else the newest that was.

    Active schemes come first. Retired ones are among them while their referrals may still earn: for a year,
    and longer while rewards are under way.
    """
    is_active = SchemeVersion.state == SchemeState.ACTIVE
    still_earns = or_(
        SchemeVersion.retired_at.is_(None),
        SchemeVersion.retired_at > now - _MAY_STILL_EARN,
        SchemeBudget.reserved > 0,
        SchemeBudget.committed > 0,
    )
    active_id = func.max(case((is_active, SchemeVersion.scheme_id)))
    of_families = (
        select(func.coalesce(active_id, func.max(SchemeVersion.scheme_id)).label("scheme_id"))
        .join(ReferralScheme, ReferralScheme.id == SchemeVersion.scheme_id)
        .outerjoin(SchemeBudget, SchemeBudget.family_id == SchemeVersion.family_id)
        .where(ReferralScheme.activated_at > NEVER, still_earns)
        .group_by(SchemeVersion.family_id)
        .subquery()
    )
    wanted = _schemes().join(of_families, of_families.c.scheme_id == ReferralScheme.id)
    rank = case((is_active, 0), (SchemeVersion.retired_at.is_(None), 1), else_=2)
    found = _read(session, wanted.order_by(rank, ReferralScheme.id.desc()).limit(limit + 1))
    return OnceActive(found[:limit], len(found) <= limit)


def version_ids(session: Session, family_id: int) -> list[int]:
    """Return the ids of all versions of a scheme."""
    versions = select(SchemeVersion.scheme_id).where(SchemeVersion.family_id == family_id)
    return list(session.scalars(versions))


def newest_version_id(session: Session, family_id: int) -> int | None:
    """Return the id of the newest version in a family, or None when there is no such family."""
    newest = select(SchemeVersion.scheme_id).where(SchemeVersion.family_id == family_id)
    return session.scalar(newest.order_by(SchemeVersion.version.desc()).limit(1))


def active_scheme_id(session: Session, product: str) -> int | None:
    """Return the id of the version that is active for a product, or None."""
    return session.scalar(select(ActiveScheme.scheme_id).where(ActiveScheme.product == product))


def active_scheme_ids(session: Session, products: Iterable[str]) -> dict[str, int]:
    """Return the ids of the versions that are active for these products."""
    wanted = ActiveScheme.product.in_(list(products))
    return dict(session.execute(select(ActiveScheme.product, ActiveScheme.scheme_id).where(wanted)).all())


def last_activation(session: Session, scheme_id: int) -> Event | None:
    """Return the event of a version's last activation: who did it, and when."""
    told = select(Event).where(
        Event.subject == "scheme", Event.subject_id == scheme_id, Event.kind == "scheme.activated"
    )
    return session.scalars(told.order_by(Event.id.desc()).limit(1)).first()


def list_rewards(
    session: Session,
    *,
    ids: Iterable[int] | None = None,
    with_retired: bool = False,
    above: int = 0,
    limit: int = PAGE_SIZE,
) -> list[RewardOffer]:
    """Return rewards in the order of their ids, `above` where the last page ended."""
    wanted = select(
        Reward.id, Reward.name, Reward.description, Reward.amount, RetiredReward.retired_at
    ).outerjoin(RetiredReward, RetiredReward.reward_id == Reward.id)
    wanted = wanted.where(Reward.id > above).order_by(Reward.id).limit(limit)
    if ids is not None:
        wanted = wanted.where(Reward.id.in_(list(ids)))
    if not with_retired:
        wanted = wanted.where(RetiredReward.reward_id.is_(None))
    return [RewardOffer(*row) for row in session.execute(wanted)]


def get_reward(session: Session, reward_id: int) -> RewardOffer:
    """Return a reward, also one that is retired; raises NotFound."""
    for reward in list_rewards(session, ids=[reward_id], with_retired=True):
        return reward
    raise NotFound(f"There is no reward {reward_id}.")


def list_conditions(
    session: Session,
    *,
    ids: Iterable[int] | None = None,
    with_retired: bool = False,
    above: int = 0,
    limit: int = PAGE_SIZE,
) -> list[KnownCondition]:
    """Return conditions in the order of their ids, `above` where the last page ended."""
    wanted = select(
        Condition.id,
        Condition.name,
        Condition.description,
        Condition.event_type,
        ConditionMeaning.event_type,
        RetiredCondition.retired_at,
    )
    wanted = wanted.outerjoin(ConditionMeaning, ConditionMeaning.condition_id == Condition.id)
    wanted = wanted.outerjoin(RetiredCondition, RetiredCondition.condition_id == Condition.id)
    wanted = wanted.where(Condition.id > above).order_by(Condition.id).limit(limit)
    if ids is not None:
        wanted = wanted.where(Condition.id.in_(list(ids)))
    if not with_retired:
        wanted = wanted.where(RetiredCondition.condition_id.is_(None))
    return [
        KnownCondition(one, name, description, event_type_of(stored, meaning), retired_at)
        for one, name, description, stored, meaning, retired_at in session.execute(wanted)
    ]


def get_condition(session: Session, condition_id: int) -> KnownCondition:
    """Return a condition, also one that is retired; raises NotFound."""
    for condition in list_conditions(session, ids=[condition_id], with_retired=True):
        return condition
    raise NotFound(f"There is no condition {condition_id}.")


def differences(before: Scheme, after: Scheme) -> list[Change]:
    """Return the terms in which two versions differ, in the order in which a scheme shows them."""
    old, new = _terms(before), _terms(after)
    names = [*new, *(name for name in old if name not in new)]
    return [Change(name, old.get(name), new.get(name)) for name in names if old.get(name) != new.get(name)]


def _terms(scheme: Scheme) -> dict[str, Any]:
    terms: dict[str, Any] = {
        "name": scheme.name,
        "product": scheme.product,
        "currency": scheme.currency,
        "expiry_period_type": scheme.expiry_period_type,
        "expiry_period_length": scheme.expiry_period_length,
        "limit_rewards": scheme.limit_rewards,
        "recruit_reward": _offer(scheme.recruit_reward),
        "referrer_reward": _offer(scheme.referrer_reward),
    }
    for asked in scheme.conditions:
        terms[f"conditions[{asked.name}].ordinal"] = asked.ordinal
        terms |= {f"conditions[{asked.name}].data.{name}": value for name, value in asked.data.items()}
    return terms


def _offer(reward: RewardOffer) -> dict[str, Any]:
    return {"id": reward.id, "name": reward.name, "amount": reward.amount}


_Recruit, _Referrer = aliased(Reward), aliased(Reward)
_RetiredRecruit, _RetiredReferrer = aliased(RetiredReward), aliased(RetiredReward)


def _schemes() -> Select[*tuple[Any, ...]]:
    return (
        select(
            ReferralScheme,
            SchemeVersion,
            _Recruit,
            _Referrer,
            _RetiredRecruit.retired_at.label("recruit_retired_at"),
            _RetiredReferrer.retired_at.label("referrer_retired_at"),
            SchemeBudget.total.label("budget"),
        )
        .join(SchemeVersion, SchemeVersion.scheme_id == ReferralScheme.id)
        .join(_Recruit, _Recruit.id == ReferralScheme.recruit_reward_id)
        .join(_Referrer, _Referrer.id == ReferralScheme.referrer_reward_id)
        .outerjoin(_RetiredRecruit, _RetiredRecruit.reward_id == _Recruit.id)
        .outerjoin(_RetiredReferrer, _RetiredReferrer.reward_id == _Referrer.id)
        .outerjoin(SchemeBudget, SchemeBudget.family_id == SchemeVersion.family_id)
    )


def _read(session: Session, wanted: Select[*tuple[Any, ...]]) -> list[Scheme]:
    # What another transaction has changed since this session read a row would not show otherwise.
    return _told(session, session.execute(wanted.execution_options(populate_existing=True)).all())


def _told(session: Session, rows: Sequence[Row[*tuple[Any, ...]]]) -> list[Scheme]:
    conditions = _conditions_of(session, [row.ReferralScheme.id for row in rows])
    return [_scheme(row, conditions[row.ReferralScheme.id]) for row in rows]


def _conditions_of(session: Session, scheme_ids: list[int]) -> Mapping[int, list[AskedCondition]]:
    found: dict[int, list[AskedCondition]] = defaultdict(list)
    asked = (
        select(SchemeCondition, Condition, ConditionMeaning.event_type)
        .join(Condition, Condition.id == SchemeCondition.condition_id)
        .outerjoin(ConditionMeaning, ConditionMeaning.condition_id == Condition.id)
        .where(SchemeCondition.referral_scheme_id.in_(scheme_ids))
        .order_by(SchemeCondition.referral_scheme_id, SchemeCondition.ordinal, Condition.id)
    )
    for link, condition, meaning in session.execute(asked):
        event_type = event_type_of(condition.event_type, meaning)
        told = AskedCondition(condition.id, condition.name, event_type, link.ordinal, data_of(link.data))
        found[link.referral_scheme_id].append(told)
    return found


def _scheme(row: Row[*tuple[Any, ...]], conditions: list[AskedCondition]) -> Scheme:
    scheme, version = row.ReferralScheme, row.SchemeVersion
    recruit, referrer = row[2], row[3]
    return Scheme(
        id=scheme.id,
        family_id=version.family_id,
        version=version.version,
        name=version.name,
        product=scheme.product,
        state=SchemeState(version.state),
        currency=version.currency,
        expiry_period_type=scheme.expiry_period_type,
        expiry_period_length=scheme.expiry_period_length,
        limit_rewards=scheme.limit_rewards,
        recruit_reward=RewardOffer(
            recruit.id, recruit.name, recruit.description, recruit.amount, row.recruit_retired_at
        ),
        referrer_reward=RewardOffer(
            referrer.id, referrer.name, referrer.description, referrer.amount, row.referrer_retired_at
        ),
        conditions=tuple(conditions),
        budget=row.budget,
        activated_at=scheme.activated_at if scheme.activated_at > NEVER else None,
        created_at=version.created_at,
        created_by=version.created_by,
        retired_at=version.retired_at,
    )
