"""The methods by which administrators look after schemes; they read what was written last."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Annotated, Any, Literal

from pydantic import Field, JsonValue
from sqlalchemy.orm import Session

from portal.jsonrpc import Amount, Caller, Example, Method, Params, Result
from portal.referrals.schemes import service as schemes
from portal.referrals.schemes.proposals import Ask, SchemeTerms, terms_of
from portal.referrals.schemes.queries import (
    Scheme,
    active_scheme_id,
    differences,
    get_scheme,
    list_schemes,
)
from portal.referrals.schemes.rpc_views import SCHEME, Id, SchemeView, Time
from portal.referrals.states import SchemeState

Int = Annotated[int, Field(ge=-(2**31), lt=2**31)]
Page = Annotated[int, Field(ge=1, le=100)]


class AskParams(Params):
    condition_id: Id
    data: dict[str, JsonValue] = Field(
        default={}, description='For a spend: {"threshold": "100.00", "currency": "USD"}.'
    )


class NewScheme(Params):
    name: str
    product: str
    currency: str = Field(description="ISO 4217; of the rewards and the budget.")
    expiry_period_type: str = Field(description="hour, day, week, month, year or never.")
    expiry_period_length: Int
    limit_rewards: Int = Field(description="How many rewards a referrer may earn; 0: no limit.")
    recruit_reward_id: Id
    referrer_reward_id: Id
    conditions: list[AskParams] = Field(default=[], description="In their order.")
    budget: Amount | None = Field(default=None, description="For all versions together; null: no limit.")


class SchemeId(Params):
    scheme_id: Id


class ChangedScheme(Params):
    scheme_id: Id = Field(description="The newest version; what is left out of the rest stays as it is.")
    name: str | None = None
    expiry_period_type: str | None = None
    expiry_period_length: Int | None = None
    limit_rewards: Int | None = None
    recruit_reward_id: Id | None = None
    referrer_reward_id: Id | None = None
    conditions: list[AskParams] | None = Field(default=None, description="All of them, in their order.")


class Activation(Params):
    scheme_id: Id
    replaces: Id | None = Field(
        default=None,
        description="The scheme that you know to be active (null: none); left out: whichever is.",
    )


class Budget(Params):
    scheme_id: Id
    budget: Amount | None = Field(description="For all versions together; null: no limit.")


class Attachment(Params):
    scheme_id: Id
    condition_id: Id
    data: dict[str, JsonValue] | None = Field(default=None, description="Left out: its own, if it is there.")
    ordinal: Int | None = Field(default=None, description="Its place from 1; left out: the last, or its own.")


class Detachment(Params):
    scheme_id: Id
    condition_id: Id


class Order(Params):
    scheme_id: Id
    condition_ids: list[Id] = Field(description="Each condition of the scheme once, in the new order.")


class Listing(Params):
    product: str | None = None
    state: Literal["draft", "active", "historic", "retired"] | None = None
    family_id: Id | None = Field(default=None, description="Only versions of this scheme.")
    below: Id | None = Field(default=None, description="Where the last page ended: its `next_below`.")
    limit: Page = 50


class Comparison(Params):
    before_id: Id
    after_id: Id


class FullScheme(SchemeView):
    """A version of a scheme, with what only administrators see."""

    budget: Amount | None
    created_by: str
    created_at: Time
    retired_at: Time | None

    @classmethod
    def of(cls, scheme: Scheme) -> "FullScheme":
        return cls(
            **dict(SchemeView.of(scheme)),
            budget=scheme.budget,
            created_by=scheme.created_by,
            created_at=scheme.created_at,
            retired_at=scheme.retired_at,
        )


class SchemeList(Result):
    schemes: list[FullScheme] = Field(description="The newest first.")
    next_below: int | None = Field(description="What to send as `below` for the next page; null: the end.")


class ChangeView(Result):
    field: str
    before: Any
    after: Any


class Changes(Result):
    changes: list[ChangeView]


def create_scheme(caller: Caller, params: NewScheme) -> FullScheme:
    """Create a scheme as a draft, the first version of its family."""
    terms = SchemeTerms(**_given(params, besides={"budget"}))
    return _write(caller, partial(schemes.create_scheme, terms=terms, budget=params.budget))


def get_one(caller: Caller, params: SchemeId) -> FullScheme:
    """Return one version of a scheme."""
    with caller.runtime.newest() as session:
        return FullScheme.of(get_scheme(session, params.scheme_id))


def list_all(caller: Caller, params: Listing) -> SchemeList:
    """List versions of schemes, page by page."""
    with caller.runtime.newest() as session:
        found = list_schemes(
            session,
            product=params.product,
            state=SchemeState(params.state) if params.state else None,
            family_id=params.family_id,
            below=params.below,
            limit=params.limit,
        )
    next_below = found[-1].id if len(found) == params.limit else None
    return SchemeList(schemes=[FullScheme.of(one) for one in found], next_below=next_below)


def update_scheme(caller: Caller, params: ChangedScheme) -> FullScheme:
    """Make a new version of a scheme, a draft.

    An active version stays active until the new one is activated, and referrals keep the version that they
    started under.
    """

    def update(session: Session, **by: Any) -> int:
        terms = terms_of(get_scheme(session, params.scheme_id))
        changed = replace(terms, **_given(params, besides={"scheme_id"}))
        return schemes.update_scheme(session, params.scheme_id, changed, **by)

    return _write(caller, update)


def attach_condition(caller: Caller, params: Attachment) -> FullScheme:
    """Ask for one more condition, or for other data of one that is there; makes a new version."""

    def attach(session: Session, **by: Any) -> int:
        data = params.data
        if data is None:
            asked = terms_of(get_scheme(session, params.scheme_id)).conditions
            data = next((dict(one.data) for one in asked if one.condition_id == params.condition_id), {})
        ask = Ask(params.condition_id, data)
        return schemes.attach_condition(session, params.scheme_id, ask, ordinal=params.ordinal, **by)

    return _write(caller, attach)


def detach_condition(caller: Caller, params: Detachment) -> FullScheme:
    """Ask for a condition no longer; makes a new version."""
    return _write(caller, partial(schemes.detach_condition, **dict(params)))


def order_conditions(caller: Caller, params: Order) -> FullScheme:
    """Put the conditions of a scheme into another order; makes a new version."""
    return _write(caller, partial(schemes.order_conditions, **dict(params)))


def activate_scheme(caller: Caller, params: Activation) -> FullScheme:
    """Make a version the active one of its product; the one that was active becomes historic.

    Of two who activate at once one wins, and the other is told so.
    """

    def activate(session: Session, **by: Any) -> int:
        replaces = params.replaces
        if "replaces" not in params.model_fields_set:
            replaces = active_scheme_id(session, get_scheme(session, params.scheme_id).product)
        schemes.activate_scheme(session, params.scheme_id, replaces=replaces, **by)
        return params.scheme_id

    return _write(caller, activate)


def retire_scheme(caller: Caller, params: SchemeId) -> FullScheme:
    """Retire a scheme with all its versions; referrals that have started go on."""

    def retire(session: Session, **by: Any) -> int:
        schemes.retire_scheme(session, params.scheme_id, **by)
        return params.scheme_id

    return _write(caller, retire)


def set_budget(caller: Caller, params: Budget) -> FullScheme:
    """Give a scheme with all its versions another budget."""

    def change(session: Session, **by: Any) -> int:
        schemes.set_budget(session, params.scheme_id, params.budget, **by)
        return params.scheme_id

    return _write(caller, change)


def compare(caller: Caller, params: Comparison) -> Changes:
    """List the terms in which two versions differ."""
    with caller.runtime.newest() as session:
        found = differences(get_scheme(session, params.before_id), get_scheme(session, params.after_id))
    changes = [ChangeView(field=one.field, before=one.before, after=one.after) for one in found]
    return Changes(changes=changes)


def methods() -> Iterator[Method]:
    """Give the methods of this module."""
    for name, params, result, handle, example in (
        ("createreferralscheme", NewScheme, FullScheme, create_scheme, Example(_NEW, _DRAFT)),
        ("getreferralscheme", SchemeId, FullScheme, get_one, Example(_ID, _FULL)),
        ("listreferralschemes", Listing, SchemeList, list_all, _LISTED),
        ("updatereferralscheme", ChangedScheme, FullScheme, update_scheme, _UPDATED),
        ("activatereferralscheme", Activation, FullScheme, activate_scheme, _ACTIVATED),
        ("retirereferralscheme", SchemeId, FullScheme, retire_scheme, Example(_ID, _RETIRED)),
        ("setreferralschemebudget", Budget, FullScheme, set_budget, _BUDGETED),
        ("comparereferralschemes", Comparison, Changes, compare, _COMPARED),
        ("attachcondition", Attachment, FullScheme, attach_condition, _ATTACHED),
        ("detachcondition", Detachment, FullScheme, detach_condition, _DETACHED),
        ("orderconditions", Order, FullScheme, order_conditions, _ORDERED),
    ):
        yield Method(f"referrals.{name}", params, result, handle, example, administrates=True)


def _write(caller: Caller, work: Callable[..., int]) -> FullScheme:
    """Do something that ends in a scheme, in a transaction, and return that scheme."""

    def change(session: Session) -> Scheme:
        return get_scheme(session, work(session, actor=caller.actor, now=caller.runtime.clock()))

    return FullScheme.of(caller.runtime.transact(change))


def _given(params: Params, besides: set[str]) -> dict[str, Any]:
    """Return the terms that were handed in, as those of a scheme."""
    given = {name: value for name, value in params if name not in besides and value is not None}
    if "conditions" in given:
        given["conditions"] = tuple(Ask(one.condition_id, one.data) for one in given["conditions"])
    return given


_SPEND = {"threshold": "100.00", "currency": "USD"}
_NEW = {
    "name": "Autumn",
    "product": "card",
    "currency": "USD",
    "expiry_period_type": "day",
    "expiry_period_length": 30,
    "limit_rewards": 5,
    "recruit_reward_id": 1,
    "referrer_reward_id": 2,
    "conditions": [{"condition_id": 3, "data": _SPEND}],
    "budget": "1000.00",
}
_FULL: dict[str, Any] = SCHEME | {
    "budget": "1000.00",
    "created_by": "admin",
    "created_at": "2026-11-01T07:00:00.000Z",
    "retired_at": None,
}
_DRAFT = _FULL | {"state": "draft", "active": False, "activated_at": None}
_RETIRED = _FULL | {"state": "retired", "active": False, "retired_at": "2026-11-20T12:00:00.000Z"}
_ID = {"scheme_id": 7}
_LISTED = Example({"product": "card"}, {"schemes": [_FULL], "next_below": None})
_UPDATED = Example({"scheme_id": 5, "limit_rewards": 5}, _DRAFT)
_ACTIVATED = Example({"scheme_id": 7, "replaces": 5}, _FULL)
_BUDGETED = Example({"scheme_id": 7, "budget": "1000.00"}, _FULL)
_COMPARED = Example(
    {"before_id": 5, "after_id": 7},
    {"changes": [{"field": "limit_rewards", "before": 3, "after": 5}]},
)
_ATTACHED = Example({"scheme_id": 5, "condition_id": 3, "data": _SPEND, "ordinal": 1}, _DRAFT)
_DETACHED = Example({"scheme_id": 5, "condition_id": 4}, _DRAFT)
_ORDERED = Example({"scheme_id": 5, "condition_ids": [3]}, _DRAFT)
