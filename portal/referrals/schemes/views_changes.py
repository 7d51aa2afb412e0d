"""What administrators change about schemes: create, a new version, activate, retire, budget."""

from flask import Blueprint, flash, make_response, redirect, render_template, request, url_for
from sqlalchemy.exc import IntegrityError, OperationalError
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response as AnyResponse

from portal.errors import Conflict, InvalidInput, WaybillError
from portal.referrals.schemes import service as schemes
from portal.referrals.schemes.forms import BudgetForm, SchemeForm, condition_rows, filled
from portal.referrals.schemes.queries import (
    KnownCondition,
    Scheme,
    active_scheme_id,
    get_scheme,
    last_activation,
    list_conditions,
    list_rewards,
)
from portal.referrals.schemes.views import refused_page
from portal.web.arguments import read_id
from portal.web.context import actor, newest, reading, runtime, writing
from portal.web.permissions import administrator

blueprint = Blueprint("scheme_changes", __name__)

_MOST_OFFERED = 1000


@blueprint.get("/schemes/new")
@administrator
def ask_new() -> AnyResponse:
    with reading() as session:
        known = list_conditions(session)
        form = SchemeForm(data={"conditions": condition_rows(known), "limit_rewards": 0})
        return _form_page(session, form, known, None)


@blueprint.post("/schemes")
@administrator
def create() -> AnyResponse:
    with reading() as session:
        known, form = list_conditions(session), SchemeForm()
        form.offer(list_rewards(session, limit=_MOST_OFFERED))
    if form.validate():
        try:
            with writing() as session:
                made = schemes.create_scheme(
                    session,
                    form.terms(known),
                    budget=form.budget.data,
                    actor=actor(),
                    now=runtime().clock(),
                )
        except WaybillError as refused:
            form.show(refused)
        else:
            flash("The scheme is a draft: try it on history, then activate it.", "success")
            return redirect(url_for("schemes.show_one", scheme_id=made), 303)
    with reading() as session:
        return _form_page(session, form, known, None, 422)


@blueprint.get("/schemes/<id:scheme_id>/edit")
@administrator
def ask_change(scheme_id: int) -> AnyResponse:
    with reading() as session:
        scheme = get_scheme(session, scheme_id)
        known = _known_to(session, scheme)
        return _form_page(session, SchemeForm(data=filled(scheme, known)), known, scheme)


@blueprint.post("/schemes/<id:scheme_id>/edit")
@administrator
def change(scheme_id: int) -> AnyResponse:
    status = 422
    with reading() as session:
        scheme = get_scheme(session, scheme_id)
        known, form = _known_to(session, scheme), SchemeForm()
        form.offer(list_rewards(session, limit=_MOST_OFFERED, with_retired=True))
    if form.validate():
        try:
            with writing() as session:
                made = schemes.update_scheme(
                    session, scheme_id, form.terms(known, scheme), actor=actor(), now=runtime().clock()
                )
        except WaybillError as refused:
            form.show(refused)
            status = 409 if isinstance(refused, Conflict) else 422
        else:
            flash("This is the new version, a draft; what was active before still is.", "success")
            return redirect(url_for("schemes.show_one", scheme_id=made), 303)
    with reading() as session:
        return _form_page(session, form, known, scheme, status)


@blueprint.post("/schemes/<id:scheme_id>/activate")
@administrator
def activate(scheme_id: int) -> AnyResponse:
    try:
        _activate(scheme_id, read_id(request.form, "replaces"))
    except Conflict as refused:
        reason = _winner(scheme_id) if refused.code == "another-active" else None
        return refused_page(scheme_id, {"activate": reason or refused.reason}, 409)
    except InvalidInput as refused:
        reasons = " ".join(error.reason for error in refused.errors) or refused.reason
        return refused_page(scheme_id, {"activate": reasons}, 422)
    flash("The scheme is active: whoever is invited from now on is invited under it.", "success")
    return redirect(url_for("schemes.show_one", scheme_id=scheme_id), 303)


@blueprint.post("/schemes/<id:scheme_id>/retire")
@administrator
def retire(scheme_id: int) -> AnyResponse:
    try:
        with writing() as session:
            schemes.retire_scheme(session, scheme_id, actor=actor(), now=runtime().clock())
    except Conflict as refused:
        return refused_page(scheme_id, {"retire": refused.reason}, 409)
    flash("The scheme is retired. Referrals that have begun go on.", "success")
    return redirect(url_for("schemes.show_one", scheme_id=scheme_id), 303)


@blueprint.post("/schemes/<id:scheme_id>/budget")
@administrator
def set_budget(scheme_id: int) -> AnyResponse:
    form = BudgetForm()
    if form.validate():
        try:
            with writing() as session:
                schemes.set_budget(session, scheme_id, form.budget.data, actor=actor(), now=runtime().clock())
        except InvalidInput as refused:
            form.budget.errors = [refused.reason]
        else:
            flash("The budget is changed.", "success")
            return redirect(url_for("schemes.show_one", scheme_id=scheme_id, _anchor="budget"), 303)
    return refused_page(scheme_id, {}, 422, form)


def _activate(scheme_id: int, replaces: int | None) -> None:
    for is_last in (False, True):
        try:
            with writing() as session:
                schemes.activate_scheme(
                    session, scheme_id, replaces=replaces, actor=actor(), now=runtime().clock()
                )
        except (IntegrityError, OperationalError):
            # Two at once: the key of the product, or a deadlock, refused one, which now finds the other.
            if is_last:
                raise
        else:
            return


def _winner(scheme_id: int) -> str | None:
    """Tell who has activated which scheme meanwhile."""
    with newest() as session:
        product = get_scheme(session, scheme_id).product
        active_id = active_scheme_id(session, product)
        if active_id is None:
            return (
                f"The scheme that was active for {product} has been retired meanwhile. Nothing was changed."
            )
        active, told = get_scheme(session, active_id), last_activation(session, active_id)
    name = f"“{active.name}”, version {active.version}"
    if told is None:
        return f"{name} has been activated meanwhile. Nothing was changed."
    return f"{told.actor} activated {name} at {told.at:%H:%M:%S} UTC. Nothing was changed."


def _known_to(session: Session, scheme: Scheme) -> list[KnownCondition]:
    """Return the conditions that a scheme may ask for: those in use, and what it asks for already."""
    asked = {one.id for one in scheme.conditions}
    known = list_conditions(session, with_retired=True, limit=_MOST_OFFERED)
    return [one for one in known if one.retired_at is None or one.id in asked]


def _form_page(
    session: Session,
    form: SchemeForm,
    known: list[KnownCondition],
    scheme: Scheme | None,
    status: int = 200,
) -> AnyResponse:
    kept = {scheme.recruit_reward.id, scheme.referrer_reward.id} if scheme else set()
    rewards = list_rewards(session, limit=_MOST_OFFERED, with_retired=True)
    form.offer([one for one in rewards if one.retired_at is None or one.id in kept])
    page = render_template(
        "referrals/scheme_form.html",
        form=form,
        scheme=scheme,
        known={str(one.id): one for one in known},
        has_rewards=bool(form.referrer_reward_id.choices),
    )
    return make_response(page, status)
