"""Schemes: those that are active, drafts, and historic ones; one version, with what differs from others."""

from collections.abc import Mapping

from flask import Blueprint, make_response, render_template, request, url_for
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response as AnyResponse

from portal import events
from portal.errors import InvalidInput, NotFound
from portal.keyset import read_place
from portal.referrals.rewards.queries_budget import read_budget
from portal.referrals.schemes.forms import BudgetForm
from portal.referrals.schemes.queries import (
    PAGE_SIZE,
    SCHEME_KEY,
    Scheme,
    active_scheme_id,
    differences,
    find_schemes,
    get_scheme,
    list_schemes,
    newest_version_id,
    page_schemes,
)
from portal.referrals.schemes.service import SUBJECT
from portal.referrals.states import SCHEME_TRANSITIONS, SchemeState
from portal.transitions import origins
from portal.web.arguments import read_id
from portal.web.context import current_person, newest, reading, runtime
from portal.web.permissions import everybody

blueprint = Blueprint("schemes", __name__)


@blueprint.get("/schemes")
@everybody
def show() -> str:
    asked = request.args.get("state") or SchemeState.ACTIVE
    if asked not in list(SchemeState):
        raise InvalidInput(
            f"There are no schemes in this state: {', '.join(SchemeState)} are.", field="state"
        )
    state = SchemeState(asked)
    place = read_place(request.args.get("older"), request.args.get("newer"), SCHEME_KEY)
    with reading() as session:
        page = page_schemes(session, state, place)
    return render_template(
        "referrals/schemes.html",
        page=page,
        state=state,
        older_url=url_for("schemes.show", state=state, older=page.older) if page.older else None,
        newer_url=url_for("schemes.show", state=state, newer=page.newer) if page.newer else None,
        first_url=url_for("schemes.show", state=state) if place else None,
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
    below = read_id(request.args, "below")
    versions = list_schemes(session, family_id=scheme.family_id, below=below)
    newest_id = newest_version_id(session, scheme.family_id)
    active_id = active_scheme_id(session, scheme.product)
    other = _other(session, scheme, newest_id, active_id)
    now = runtime().clock()
    return render_template(
        "referrals/scheme.html",
        scheme=scheme,
        versions=versions,
        newest_id=newest_id,
        older_versions=_versions_below(scheme, versions[-1].id) if len(versions) == PAGE_SIZE else None,
        newest_versions=_versions_below(scheme, None) if below else None,
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


def _versions_below(scheme: Scheme, scheme_id: int | None) -> str:
    return url_for("schemes.show_one", scheme_id=scheme.id, below=scheme_id, _anchor="versions")


def _other(session: Session, scheme: Scheme, newest_id: int | None, active_id: int | None) -> Scheme | None:
    """Return the version to compare with.

    The one asked for, else the one before, else the active one, else the newest.
    """
    asked = read_id(request.args, "compare")
    if asked is not None:
        found = find_schemes(session, [asked]).get(asked)
        if found is None:
            raise NotFound("There is no such version to compare with.")
        return found
    for before in list_schemes(session, family_id=scheme.family_id, below=scheme.id, limit=1):
        return before
    others = [one for one in (active_id, newest_id) if one not in (None, scheme.id)]
    return find_schemes(session, others[:1]).get(others[0]) if others else None
