"""Experiments: what runs, what it has shown, its start and its stop."""

from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import cast

from flask import Blueprint, flash, make_response, redirect, render_template, url_for
from flask_wtf import FlaskForm
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response as AnyResponse
from wtforms import DateField, DecimalField, SelectField, StringField
from wtforms.validators import InputRequired, Length

from portal.errors import Conflict, InvalidInput, WaybillError
from portal.referrals.experiments.queries import (
    Verdict,
    active_products,
    list_experiments,
    read_experiment,
    results_of,
)
from portal.referrals.experiments.service import LONGEST_NAME, Plan, start_experiment, stop_experiment
from portal.web.context import actor, reading, runtime, writing
from portal.web.permissions import executive

blueprint = Blueprint("experiments", __name__)


class StartForm(FlaskForm):
    """What is decided before an experiment starts."""

    name = StringField("Name", [InputRequired("Give it a name."), Length(max=LONGEST_NAME)])
    product = SelectField("Product", [InputRequired("Choose a product.")])
    percentage = DecimalField("Percentage of users", [InputRequired("Enter a percentage.")], places=None)
    horizon = DateField("Horizon", [InputRequired("Choose the day on which it is judged.")])

    def plan(self) -> Plan:
        """Return what was entered and found valid."""
        return Plan(
            name=(self.name.data or "").strip(),
            product=self.product.data,
            percentage=cast(Decimal, self.percentage.data),
            horizon_at=datetime.combine(cast(date, self.horizon.data), time.min, UTC),
        )


@blueprint.get("/experiments")
@executive
def show() -> AnyResponse:
    with reading() as session:
        return _page(session, None, _form(session))


@blueprint.get("/experiments/<id:experiment_id>")
@executive
def show_one(experiment_id: int) -> AnyResponse:
    with reading() as session:
        return _page(session, experiment_id, _form(session))


@blueprint.post("/experiments")
@executive
def start() -> AnyResponse:
    with reading() as session:
        form = _form(session)
        if not form.validate():
            return _page(session, None, form, 422)
    try:
        with writing() as session:
            started = start_experiment(session, form.plan(), actor=actor(), now=runtime().clock())
    except WaybillError as refused:
        with reading() as session:
            return _refuse(session, form, refused)
    flash(f"The experiment {form.plan().name} runs.", "success")
    return redirect(url_for("experiments.show_one", experiment_id=started), 303)


@blueprint.post("/experiments/<id:experiment_id>/stop")
@executive
def stop(experiment_id: int) -> AnyResponse:
    try:
        with writing() as session:
            stop_experiment(session, experiment_id, actor=actor(), now=runtime().clock())
    except Conflict as refused:
        with reading() as session:
            return _page(session, experiment_id, _form(session), 409, refused=refused.reason)
    flash("The experiment has ended: referring is offered to everybody.", "success")
    return redirect(url_for("experiments.show_one", experiment_id=experiment_id), 303)


def _form(session: Session) -> StartForm:
    form = StartForm()
    form.product.choices = list(active_products(session))
    return form


def _refuse(session: Session, form: StartForm, refused: WaybillError) -> AnyResponse:
    """Show the form again, with the reason at the field that is its cause, or else at the name."""
    fields = refused.errors if isinstance(refused, InvalidInput) else []
    for error in fields:
        form[error.field].errors = [error.reason]
    if not fields:
        form.name.errors = [refused.reason]
    return _page(session, None, form, 422 if fields else 409)


def _page(
    session: Session,
    experiment_id: int | None,
    form: StartForm,
    status: int = 200,
    refused: str | None = None,
) -> AnyResponse:
    experiments = list_experiments(session)
    chosen = None
    if experiment_id is not None:
        chosen = read_experiment(session, experiment_id)
    elif experiments:
        chosen = experiments[0]
    page = render_template(
        "referrals/experiments.html",
        experiments=experiments,
        chosen=chosen,
        results=results_of(chosen) if chosen else None,
        Verdict=Verdict,
        form=form,
        refused=refused,
    )
    return make_response(page, status)
