"""Pushing a step to retry, from whichever page, and what becomes of the push."""

from dataclasses import dataclass
from datetime import timedelta

from flask import Blueprint, Response, flash, make_response, redirect, render_template, request, url_for
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response as AnyResponse

from portal.errors import Conflict, NotFound
from portal.metrics.queries import SILENT_BEATS, open_breakers
from portal.orders.queries import find_order
from portal.orders.queries_exceptions import read_push
from portal.orders.service import push_to_retry, record_refused_push
from portal.orders.states import StepState
from portal.orders.verdicts import PushState, Verdict
from portal.web.context import actor, current_person, newest, reading, runtime, writing
from portal.web.htmx import wants_fragment
from portal.web.permissions import everybody, support

blueprint = Blueprint("push", __name__)


@dataclass(frozen=True, slots=True)
class PushArea:
    """Where an item is pushed and its verdict shown.

    `what` names the item, `can_push` says whether there is a button. `held_back_by` is the title of the
    outside system that does not answer, so that the push has to wait for it.
    """

    key: str
    what: str
    push_url: str
    verdict_url: str
    verdict: Verdict | None
    can_push: bool
    held_back_by: str | None = None

    @property
    def mark(self) -> str:
        """Tell what is shown from what was shown before."""
        held = "held-" if self.held_back_by else ""
        return f"{held}{self.verdict.mark}" if self.verdict else ""


def step_area(
    number: str,
    order_id: int,
    element_id: str,
    name: str,
    verdict: Verdict | None,
    *,
    is_stopped: bool,
    held_back_by: str | None = None,
) -> PushArea:
    """Give the area of a step of an order, for whoever is logged in."""
    waits = verdict is not None and verdict.state in (PushState.REQUESTED, PushState.RETRYING)
    return PushArea(
        key=f"{order_id}-{element_id}",
        what=f"“{name}” of order {number}",
        push_url=url_for("push.push", number=number, element_id=element_id),
        verdict_url=url_for("push.show_verdict", number=number, element_id=element_id),
        verdict=verdict,
        can_push=is_stopped and current_person().is_support,
        held_back_by=held_back_by if waits else None,
    )


def systems_held_back(session: Session) -> dict[str, str]:
    """Return the titles of the outside systems that are left alone at present, by name."""
    silent_after = timedelta(seconds=runtime().settings.heartbeat_seconds * SILENT_BEATS)
    names = open_breakers(session, now=runtime().clock(), silent_after=silent_after)
    titles = runtime().system_titles
    return {name: titles.get(name, name) for name in sorted(names)}


@blueprint.post("/orders/<number:number>/steps/<element_id>/push")
@support
def push(number: str, element_id: str) -> AnyResponse:
    conflict = None
    try:
        with writing() as session:
            order_id = find_order(session, number).id
            push_to_retry(session, order_id, element_id, actor=actor(), now=runtime().clock())
    except Conflict as refused:
        conflict = refused
        with writing() as session:
            order_id = find_order(session, number).id
            record_refused_push(
                session, order_id, element_id, reason=refused.reason, actor=actor(), now=runtime().clock()
            )
    # The loser of a race has written nothing: only the writer is sure to know of the winner.
    with newest() as session:
        area, winner = _read(session, number, element_id)
    page = url_for("order.show", number=number, _anchor=f"step-{element_id}")
    return push_response(area, conflict, winner, page)


@blueprint.get("/orders/<number:number>/steps/<element_id>/verdict")
@everybody
def show_verdict(number: str, element_id: str) -> AnyResponse:
    if not wants_fragment():
        return redirect(url_for("order.show", number=number, _anchor=f"step-{element_id}"), 303)
    with reading() as session:
        area, _ = _read(session, number, element_id)
    return verdict_response(area)


def push_response(area: PushArea, conflict: Conflict | None, winner: str | None, page: str) -> AnyResponse:
    """Answer a push: with what has become of it so far, or by the way back to its page where no htmx asks."""
    said = None
    if conflict is not None:
        said = _told_to_loser(winner) if winner else conflict.reason
    if not wants_fragment():
        flash(said or f"The push of {area.what} is requested.", "warning" if said else "success")
        return redirect(page, 303)
    fragment = render_template("orders/_push.html", area=area, conflict=said, fresh=True)
    response = make_response(fragment, 409 if conflict else 200)
    if conflict is None:
        # What else the page shows follows at once; the loser's page waits, or it would draw over the refusal.
        response.headers["HX-Trigger"] = "pushed"
    return response


def verdict_response(area: PushArea) -> Response:
    """Answer a poll; nothing while nothing has changed, or while a replica still lags behind the push."""
    seen = request.args.get("seen", "")
    if area.mark == seen or _pushed(area.mark) < _pushed(seen):
        return Response(status=204)
    verdict = area.verdict
    lost = _told_to_loser(verdict.by) if verdict and "lost" in request.args else None
    response = make_response(render_template("orders/_push.html", area=area, conflict=lost))
    if verdict and verdict.is_final:
        response.headers["HX-Trigger"] = "pushed"
    return response


def _told_to_loser(winner: str) -> str:
    return f"{winner} already pushed this: nothing was pushed twice."


def _read(session: Session, number: str, element_id: str) -> tuple[PushArea, str | None]:
    """Return the area of a step, and who pushed it last."""
    found = read_push(session, find_order(session, number).id, element_id)
    if found is None:
        raise NotFound(f"Order {number} has no step {element_id}.")
    step, verdict = found
    area = step_area(
        number,
        step.order_id,
        element_id,
        step.name,
        verdict,
        is_stopped=step.state == StepState.EXCEPTION,
        held_back_by=systems_held_back(session).get(step.system),
    )
    return area, step.pushed_by


def _pushed(mark: str) -> str:
    """Return the part of a verdict's mark that tells when the push was; such texts sort as their times do."""
    return mark.rpartition("-")[2]
