"""Conditions that schemes ask for: list, create, change, retire."""

from flask import Blueprint, flash, make_response, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from portal.errors import Conflict, WaybillError
from portal.referrals.schemes import catalogue
from portal.referrals.schemes.forms import ConditionForm, show_refusal
from portal.referrals.schemes.queries import PAGE_SIZE, KnownCondition, get_condition, list_conditions
from portal.web.arguments import read_id
from portal.web.context import actor, current_person, newest, reading, runtime, writing
from portal.web.permissions import administrator, everybody

blueprint = Blueprint("conditions", __name__)


@blueprint.get("/conditions")
@everybody
def show() -> AnyResponse:
    return _list(None, 200)


@blueprint.get("/conditions/new")
@administrator
def ask_new() -> AnyResponse:
    return _form_page(ConditionForm(), None)


@blueprint.post("/conditions")
@administrator
def create() -> AnyResponse:
    form = ConditionForm()
    if form.validate():
        try:
            with writing() as session:
                catalogue.create_condition(session, form.condition(), actor=actor(), now=runtime().clock())
        except WaybillError as refused:
            show_refusal(form, refused)
        else:
            flash("The condition is made; a scheme can ask for it now.", "success")
            return redirect(url_for("conditions.show"), 303)
    return _form_page(form, None, 422)


@blueprint.get("/conditions/<id:condition_id>/edit")
@administrator
def ask_change(condition_id: int) -> AnyResponse:
    with reading() as session:
        condition = get_condition(session, condition_id)
    return _form_page(ConditionForm(obj=condition), condition)


@blueprint.post("/conditions/<id:condition_id>/edit")
@administrator
def change(condition_id: int) -> AnyResponse:
    form, status = ConditionForm(), 422
    if form.validate():
        try:
            with writing() as session:
                catalogue.update_condition(
                    session, condition_id, form.condition(), actor=actor(), now=runtime().clock()
                )
        except WaybillError as refused:
            show_refusal(form, refused)
            status = 409 if isinstance(refused, Conflict) else 422
        else:
            flash("The condition is changed.", "success")
            return redirect(url_for("conditions.show"), 303)
    with reading() as session:
        condition = get_condition(session, condition_id)
    return _form_page(form, condition, status)


@blueprint.post("/conditions/<id:condition_id>/retire")
@administrator
def retire(condition_id: int) -> AnyResponse:
    try:
        with writing() as session:
            catalogue.retire_condition(session, condition_id, actor=actor(), now=runtime().clock())
    except Conflict as refused:
        return _list(refused.reason, 409)
    flash("The condition is retired: no new version of a scheme can ask for it.", "success")
    return redirect(url_for("conditions.show"), 303)


def _list(refused: str | None, status: int) -> AnyResponse:
    above = read_id(request.args, "above") or 0
    # After a refusal the page shows what the writer knows, which is why it was refused.
    with newest() if refused else reading() as session:
        found = list_conditions(session, with_retired=True, above=above)
    page = render_template(
        "referrals/conditions.html",
        conditions=found,
        refused=refused,
        older_url=url_for("conditions.show", above=found[-1].id) if len(found) == PAGE_SIZE else None,
        first_url=url_for("conditions.show") if above else None,
        may_manage=current_person().is_administrator,
    )
    return make_response(page, status)


def _form_page(form: ConditionForm, condition: KnownCondition | None, status: int = 200) -> AnyResponse:
    page = render_template("referrals/condition_form.html", form=form, condition=condition)
    return make_response(page, status)
