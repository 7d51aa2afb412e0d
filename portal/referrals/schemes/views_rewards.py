"""Rewards that schemes offer: list, create, change, retire."""

from flask import Blueprint, flash, make_response, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from portal.errors import Conflict, WaybillError
from portal.referrals.schemes import catalogue
from portal.referrals.schemes.forms import RewardForm, show_refusal
from portal.referrals.schemes.queries import PAGE_SIZE, RewardOffer, get_reward, list_rewards
from portal.web.arguments import read_id
from portal.web.context import actor, current_person, newest, reading, runtime, writing
from portal.web.permissions import administrator, everybody

blueprint = Blueprint("rewards", __name__)


@blueprint.get("/rewards")
@everybody
def show() -> AnyResponse:
    return _list(None, 200)


@blueprint.get("/rewards/new")
@administrator
def ask_new() -> AnyResponse:
    return _form_page(RewardForm(), None)


@blueprint.post("/rewards")
@administrator
def create() -> AnyResponse:
    form = RewardForm()
    if form.validate():
        try:
            with writing() as session:
                catalogue.create_reward(session, form.reward(), actor=actor(), now=runtime().clock())
        except WaybillError as refused:
            show_refusal(form, refused)
        else:
            flash("The reward is made; a scheme can offer it now.", "success")
            return redirect(url_for("rewards.show"), 303)
    return _form_page(form, None, 422)


@blueprint.get("/rewards/<id:reward_id>/edit")
@administrator
def ask_change(reward_id: int) -> AnyResponse:
    with reading() as session:
        reward = get_reward(session, reward_id)
    return _form_page(RewardForm(obj=reward), reward)


@blueprint.post("/rewards/<id:reward_id>/edit")
@administrator
def change(reward_id: int) -> AnyResponse:
    form, status = RewardForm(), 422
    if form.validate():
        try:
            with writing() as session:
                held = catalogue.update_reward(
                    session, reward_id, form.reward(), actor=actor(), now=runtime().clock()
                )
        except WaybillError as refused:
            show_refusal(form, refused)
            status = 409 if isinstance(refused, Conflict) else 422
        else:
            flash(
                "The reward is changed."
                if held == reward_id
                else "Schemes offer the old amount until a new version of theirs offers the new reward.",
                "success",
            )
            return redirect(url_for("rewards.show"), 303)
    with reading() as session:
        reward = get_reward(session, reward_id)
    return _form_page(form, reward, status)


@blueprint.post("/rewards/<id:reward_id>/retire")
@administrator
def retire(reward_id: int) -> AnyResponse:
    try:
        with writing() as session:
            catalogue.retire_reward(session, reward_id, actor=actor(), now=runtime().clock())
    except Conflict as refused:
        return _list(refused.reason, 409)
    flash("The reward is retired: no new version of a scheme can offer it.", "success")
    return redirect(url_for("rewards.show"), 303)


def _list(refused: str | None, status: int) -> AnyResponse:
    above = read_id(request.args, "above") or 0
    # After a refusal the page shows what the writer knows, which is why it was refused.
    with newest() if refused else reading() as session:
        found = list_rewards(session, with_retired=True, above=above)
    page = render_template(
        "referrals/rewards.html",
        rewards=found,
        refused=refused,
        older_url=url_for("rewards.show", above=found[-1].id) if len(found) == PAGE_SIZE else None,
        first_url=url_for("rewards.show") if above else None,
        may_manage=current_person().is_administrator,
    )
    return make_response(page, status)


def _form_page(form: RewardForm, reward: RewardOffer | None, status: int = 200) -> AnyResponse:
    page = render_template("referrals/reward_form.html", form=form, reward=reward)
    return make_response(page, status)
