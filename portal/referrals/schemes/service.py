"""What changes schemes: each change of terms is a new version, and of a product one version is active.

A referral keeps the version that it started under, so that no row of terms is ever changed.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import CursorResult, Update, delete, func, select, update
from sqlalchemy.orm import Session

from portal import events
from portal.errors import Conflict, FieldError, InvalidInput, NotFound
from portal.events import Actor, NewEvent
from portal.referrals.models import ReferralScheme, SchemeCondition
from portal.referrals.rewards.room import call_for_room
from portal.referrals.schemes.models import ActiveScheme, SchemeBudget, SchemeVersion
from portal.referrals.schemes.proposals import Ask, SchemeTerms, check_amount, check_terms, terms_of
from portal.referrals.schemes.queries import (
    NEVER,
    Scheme,
    active_scheme_id,
    differences,
    get_scheme,
    list_conditions,
    newest_version_id,
)
from portal.referrals.states import SCHEME_TRANSITIONS, SchemeState
from portal.transitions import origins

SUBJECT = "scheme"


def create_scheme(
    session: Session, terms: SchemeTerms, *, budget: Decimal | None, actor: Actor, now: datetime
) -> int:
    """Create a scheme as a draft, the first version of a family of its own, and return its id.

    `budget` is for all versions together, None without limit. Raises InvalidInput with the fields.
    """
    _refuse(list(check_amount(budget, "budget")))
    check_terms(session, terms)
    scheme_id = _insert(session, terms, family_id=None, version=1, actor=actor, now=now)
    session.add(SchemeBudget(family_id=scheme_id, total=budget, reserved=0, committed=0, spent=0))
    session.flush()
    _tell(session, scheme_id, "scheme.created", actor, now, {"name": terms.name, "product": terms.product})
    return scheme_id


def update_scheme(
    session: Session, scheme_id: int, terms: SchemeTerms, *, actor: Actor, now: datetime
) -> int:
    """Make a new version of a scheme, a draft, from its newest one, and return the new version's id.

    A draft that it takes the place of becomes historic; an active version stays active until the new one is
    activated. Raises NotFound, InvalidInput with the fields, and Conflict when `scheme_id` is not the
    newest version any more, is retired, or when nothing differs.
    """
    earlier = _require_newest(session, scheme_id)
    check_terms(session, terms, earlier=earlier)
    if terms == terms_of(earlier):
        raise Conflict("Nothing differs from the present version.", code="nothing-changed")
    version, family_id = earlier.version + 1, earlier.family_id
    new_id = _insert(session, terms, family_id=family_id, version=version, actor=actor, now=now)
    if earlier.state is SchemeState.DRAFT:
        _set_state(session, earlier.id, SchemeState.HISTORIC)
    changes = [
        {"field": change.field, "before": _plain(change.before), "after": _plain(change.after)}
        for change in differences(earlier, get_scheme(session, new_id))
    ]
    _tell(session, scheme_id, "scheme.changed", actor, now, {"scheme_id": new_id, "version": version})
    facts = {"from_scheme_id": scheme_id, "version": version, "changes": changes}
    _tell(session, new_id, "scheme.version-created", actor, now, facts)
    return new_id


def attach_condition(
    session: Session,
    scheme_id: int,
    ask: Ask,
    *,
    ordinal: int | None = None,
    actor: Actor,
    now: datetime,
) -> int:
    """Ask for one more condition, at a place from 1 or as the last, or for other data of one that is there.

    Makes a new version and raises as `update_scheme` does.
    """
    terms = terms_of(get_scheme(session, scheme_id))
    present = [one.condition_id for one in terms.conditions]
    rest = [one for one in terms.conditions if one.condition_id != ask.condition_id]
    here = present.index(ask.condition_id) if ask.condition_id in present else len(rest)
    place = here if ordinal is None else ordinal - 1
    if not 0 <= place <= len(rest):
        raise InvalidInput(f"The place is from 1 to {len(rest) + 1}.", field="ordinal")
    conditions = (*rest[:place], ask, *rest[place:])
    return update_scheme(session, scheme_id, replace(terms, conditions=conditions), actor=actor, now=now)


def detach_condition(
    session: Session, scheme_id: int, condition_id: int, *, actor: Actor, now: datetime
) -> int:
    """Ask for a condition no longer; makes a new version and raises as `update_scheme` does."""
    terms = terms_of(get_scheme(session, scheme_id))
    conditions = tuple(one for one in terms.conditions if one.condition_id != condition_id)
    if conditions == terms.conditions:
        raise NotFound(f"The scheme does not ask for a condition {condition_id}.")
    return update_scheme(session, scheme_id, replace(terms, conditions=conditions), actor=actor, now=now)


def order_conditions(
    session: Session, scheme_id: int, condition_ids: Sequence[int], *, actor: Actor, now: datetime
) -> int:
    """Put the conditions into another order; makes a new version and raises as `update_scheme` does."""
    terms = terms_of(get_scheme(session, scheme_id))
    known = {one.condition_id: one for one in terms.conditions}
    if sorted(condition_ids) != sorted(known):
        raise InvalidInput("Give the id of each condition of the scheme once.", field="condition_ids")
    conditions = tuple(known[condition_id] for condition_id in condition_ids)
    return update_scheme(session, scheme_id, replace(terms, conditions=conditions), actor=actor, now=now)


def activate_scheme(
    session: Session, scheme_id: int, *, replaces: int | None, actor: Actor, now: datetime
) -> None:
    """Make a version the active one of its product, and the version that was active historic.

    `replaces` is the active version that the actor knows of, None when there was none: of two who activate
    at once one wins, and the other gets a Conflict. Raises NotFound, InvalidInput without conditions.
    """
    scheme = get_scheme(session, scheme_id)
    if scheme.state not in origins(SCHEME_TRANSITIONS, SchemeState.ACTIVE):
        raise Conflict(f"The scheme is {scheme.state}.", code=f"scheme-{scheme.state}")
    _refuse(list(_of_offers(session, scheme)))
    _take_place(session, scheme, replaces)
    if replaces is not None:
        _set_state(session, replaces, SchemeState.HISTORIC)
        _mirror(session, replaces, active=False)
        _tell(session, replaces, "scheme.became-historic", actor, now, {"replaced_by": scheme_id})
    if not _set_state(session, scheme_id, SchemeState.ACTIVE):
        raise Conflict("Somebody has changed the scheme meanwhile.", code="scheme-changed")
    _mirror(session, scheme_id, active=True, activated_at=now)
    _tell(session, scheme_id, "scheme.activated", actor, now, {"replaced": replaces})


def retire_scheme(session: Session, scheme_id: int, *, actor: Actor, now: datetime) -> None:
    """Retire a scheme with all its versions: no referral begins under it any more.

    Referrals that have begun go on. Raises NotFound, and Conflict when it is retired already.
    """
    family_id = get_scheme(session, scheme_id).family_id
    retired = session.execute(
        update(SchemeVersion)
        .where(
            SchemeVersion.family_id == family_id,
            SchemeVersion.state.in_(origins(SCHEME_TRANSITIONS, SchemeState.RETIRED)),
        )
        .values(state=SchemeState.RETIRED, retired_at=now)
    )
    if not _count(retired):
        raise Conflict("The scheme is retired already.", code="scheme-retired")
    versions = session.scalars(
        select(SchemeVersion.scheme_id).where(SchemeVersion.family_id == family_id)
    ).all()
    session.execute(delete(ActiveScheme).where(ActiveScheme.scheme_id.in_(versions)))
    for version_id in versions:
        _mirror(session, version_id, active=False)
        _tell(session, version_id, "scheme.retired", actor, now, {})


def set_budget(
    session: Session, scheme_id: int, total: Decimal | None, *, actor: Actor, now: datetime
) -> None:
    """Give a scheme with all its versions another budget, None without limit.

    Raises NotFound, and InvalidInput for less than what is reserved, committed and spent already.
    """
    _refuse(list(check_amount(total, "budget")))
    scheme = get_scheme(session, scheme_id)
    facts = {"before": _plain(scheme.budget), "after": _plain(total)}
    _tell(session, scheme_id, "scheme.budget-changed", actor, now, facts)
    budget = SchemeBudget
    changed = update(budget).where(budget.family_id == scheme.family_id).values(total=total)
    if total is not None:
        used = func.round(budget.reserved + budget.committed + budget.spent, 2)
        changed = changed.where(used <= total)
    if not _hits(session, changed):
        raise InvalidInput("More than that is reserved, committed or spent already.", field="budget")
    call_for_room(session, scheme.family_id)


def _of_offers(session: Session, scheme: Scheme) -> Iterator[FieldError]:
    """Find what keeps a version from being active although it could be made once."""
    for field in ("recruit_reward", "referrer_reward"):
        if getattr(scheme, field).retired_at is not None:
            yield FieldError(field, f"The reward {getattr(scheme, field).name} is retired.")
    if not scheme.conditions:
        yield FieldError("conditions", "A scheme without conditions cannot be active.")
    usable = {one.id for one in list_conditions(session, ids=[asked.id for asked in scheme.conditions])}
    for place, asked in enumerate(scheme.conditions):
        if asked.id not in usable:
            yield FieldError(f"conditions[{place}]", f"The condition {asked.name} is retired.")


def _require_newest(session: Session, scheme_id: int) -> Scheme:
    """Return the newest version, locked: others who change or retire the scheme wait, and then see it."""
    session.get(SchemeVersion, scheme_id, with_for_update=True, populate_existing=True)
    scheme = get_scheme(session, scheme_id)
    if scheme.state is SchemeState.RETIRED:
        raise Conflict("The scheme is retired.", code="scheme-retired")
    newest = newest_version_id(session, scheme.family_id)
    if newest != scheme_id:
        raise Conflict(f"There is a newer version of this scheme, {newest}.", code="scheme-changed")
    return scheme


def _insert(
    session: Session,
    terms: SchemeTerms,
    *,
    family_id: int | None,
    version: int,
    actor: Actor,
    now: datetime,
) -> int:
    scheme = ReferralScheme(
        product=terms.product,
        expiry_period_type=terms.expiry_period_type.strip().lower(),
        expiry_period_length=terms.expiry_period_length,
        limit_rewards=terms.limit_rewards,
        recruit_reward_id=terms.recruit_reward_id,
        referrer_reward_id=terms.referrer_reward_id,
        active=False,
        activated_at=NEVER,
    )
    session.add(scheme)
    session.flush()
    session.add(
        SchemeVersion(
            scheme_id=scheme.id,
            family_id=family_id or scheme.id,
            version=version,
            name=terms.name,
            state=SchemeState.DRAFT,
            currency=terms.currency,
            created_by=actor.name,
            created_at=now,
        )
    )
    session.add_all(_links(scheme.id, terms))
    session.flush()
    return scheme.id


def _links(scheme_id: int, terms: SchemeTerms) -> Iterator[SchemeCondition]:
    for ordinal, ask in enumerate(terms.conditions, start=1):
        data = json.dumps(dict(ask.data), sort_keys=True, ensure_ascii=False, allow_nan=False)
        yield SchemeCondition(
            referral_scheme_id=scheme_id, condition_id=ask.condition_id, ordinal=ordinal, data=data
        )


def _take_place(session: Session, scheme: Scheme, replaces: int | None) -> None:
    """Write which version of the product is active, unless it is not the one that was known."""
    known = active_scheme_id(session, scheme.product)
    if known is None and replaces is None:
        # Two at once: the key of the product refuses one, which then finds the other in its place.
        session.add(ActiveScheme(product=scheme.product, scheme_id=scheme.id))
        session.flush()
        return
    taken = update(ActiveScheme).where(
        ActiveScheme.product == scheme.product, ActiveScheme.scheme_id == replaces
    )
    if replaces is None or not _hits(session, taken.values(scheme_id=scheme.id)):
        raise Conflict(
            f"Another scheme of the product {scheme.product} has been activated or retired meanwhile.",
            code="another-active",
        )


def _set_state(session: Session, scheme_id: int, state: SchemeState) -> bool:
    of_version = update(SchemeVersion).where(
        SchemeVersion.scheme_id == scheme_id, SchemeVersion.state.in_(origins(SCHEME_TRANSITIONS, state))
    )
    return _hits(session, of_version.values(state=state))


def _mirror(session: Session, scheme_id: int, *, active: bool, activated_at: datetime | None = None) -> None:
    # On MySQL of the old service's age `activated_at` moves with every update that does not name it.
    at = ReferralScheme.activated_at if activated_at is None else activated_at
    session.execute(
        update(ReferralScheme).where(ReferralScheme.id == scheme_id).values(active=active, activated_at=at)
    )


def _hits(session: Session, statement: Update) -> bool:
    return _count(session.execute(statement, execution_options={"synchronize_session": False})) == 1


def _count(result: object) -> int:
    return result.rowcount if isinstance(result, CursorResult) else 0


def _refuse(errors: Sequence[FieldError]) -> None:
    if errors:
        raise InvalidInput.of(errors)


def _plain(value: Any) -> Any:
    """Return a value as JSON can hold it: amounts as text."""
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, Mapping):
        return {name: _plain(one) for name, one in value.items()}
    return value


def _tell(
    session: Session, scheme_id: int, kind: str, actor: Actor, now: datetime, data: dict[str, Any]
) -> None:
    events.record(session, NewEvent(SUBJECT, scheme_id, kind, actor, now, data))
