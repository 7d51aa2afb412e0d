"""Schemes: those that are active, drafts, and historic ones; one version, with what differs from others."""

from collections.abc import Mapping

from flask import Blueprint, make_response, render_template, request, url_for
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response as AnyResponse

from portal import events
from portal.errors import NotFound
from portal.referrals.forms import BudgetForm
from portal.referrals.queries_budget import read_budget
from portal.referrals.queries_schemes import (
    PAGE_SIZE,
    Scheme,
    active_scheme_id,
    differences,
    find_schemes,
    get_scheme,
    list_schemes,
)
from portal.referrals.schemes import SUBJECT
from portal.referrals.states import SCHEME_TRANSITIONS, SchemeState
from portal.transitions import origins
from portal.web.context import current_person, newest, reading, runtime
from portal.web.permissions import everybody

blueprint = Blueprint("schemes", __name__)

_IN_USE = (SchemeState.ACTIVE, SchemeState.DRAFT)


@blueprint.get("/schemes")
@everybody
def show() -> str:
    asked = request.args.get("state")
    state = SchemeState(asked) if asked in (SchemeState.HISTORIC, SchemeState.RETIRED) else None
    below = request.args.get("below", type=int)
    with reading() as session:
        if state is None:
            found = [scheme for one in _IN_USE for scheme in list_schemes(session, state=one)]
        else:
            found = list_schemes(session, state=state, below=below)
    more = state is not None and len(found) == PAGE_SIZE
    return render_template(
        "referrals/schemes.html",
        schemes=found,
        state=state,
        older_url=url_for("schemes.show", state=state, below=found[-1].id) if more else None,
        first_url=url_for("schemes.show", state=state) if below else None,
        may_manage=current_person().is_administrator,
        as_of=runtime().clock(),
    )


@blueprint.get("/schemes/<id:scheme_id>")
@everybody
def show_one(scheme_id: int) -> str:
    with reading() as session:
        return _page(session, scheme_id, {}, None)


def refused_page(
    scheme_id: int, refused: Mapping[str, str], status: int, budget_form: BudgetForm | None = None
) -> AnyResponse:
    """Show a version again, with the reason at the action that was refused."""
    with newest() as session:
        return make_response(_page(session, scheme_id, refused, budget_form), status)


def _page(
    session: Session, scheme_id: int, refused: Mapping[str, str], budget_form: BudgetForm | None
) -> str:
    scheme = get_scheme(session, scheme_id)
    versions = list_schemes(session, family_id=scheme.family_id)
    active_id = active_scheme_id(session, scheme.product)
    other = _other(session, scheme, versions, active_id)
    now = runtime().clock()
    return render_template(
        "referrals/scheme.html",
        scheme=scheme,
        versions=versions,
        newest_id=versions[0].id,
        active=find_schemes(session, [active_id]).get(active_id) if active_id else None,
        other=other,
        changes=differences(other, scheme) if other else [],
        budget=read_budget(session, scheme.family_id, now),
        budget_form=budget_form or BudgetForm(formdata=None, data={"budget": scheme.budget}),
        history=events.timeline(session, SUBJECT, scheme_id, limit=50)[::-1],
        refused=refused,
        may_activate=scheme.state in origins(SCHEME_TRANSITIONS, SchemeState.ACTIVE),
        may_manage=current_person().is_administrator,
        as_of=now,
    )


def _other(session: Session, scheme: Scheme, versions: list[Scheme], active_id: int | None) -> Scheme | None:
    """Return the version to compare with: the one asked for, else the one before, else the active one."""
    asked = request.args.get("compare", type=int)
    if asked is not None:
        found = find_schemes(session, [asked] if 0 < asked < 10**18 else []).get(asked)
        if found is None:
            raise NotFound("There is no such version to compare with.")
        return found
    earlier = [one for one in versions if one.version < scheme.version]
    if earlier:
        return earlier[0]
    if active_id is None or active_id == scheme.id:
        return None
    return find_schemes(session, [active_id]).get(active_id)
