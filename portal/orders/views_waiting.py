"""Messages that were received too often without success: read, pushed, and seen to pass or to fail again."""

from flask import Blueprint, render_template, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from portal.errors import Conflict, Forbidden, InvalidInput
from portal.keyset import read_place
from portal.orders.documents.masking import masked_text
from portal.orders.queries_waiting import (
    WAITING_KEY,
    ListedMessage,
    list_waiting,
    read_body,
    read_waiting,
)
from portal.orders.states import WaitingState
from portal.orders.values import shown
from portal.orders.views_push import PushArea, push_response, verdict_response
from portal.orders.waiting import push_waiting
from portal.web.context import actor, current_person, newest, reading, runtime, writing
from portal.web.htmx import wants_fragment
from portal.web.permissions import everybody, support

blueprint = Blueprint("waiting", __name__)

_FORGOTTEN = "This message told of a person. Its text was deleted when it passed."
_VIEWS = {
    "waiting": (WaitingState.WAITING, WaitingState.REQUESTED),
    "passed": (WaitingState.PASSED,),
}


@blueprint.get("/waiting")
@everybody
def show() -> str:
    view = request.args.get("show", "waiting")
    if view not in _VIEWS:
        raise InvalidInput(f"{shown(view)} is none of {', '.join(_VIEWS)}.", field="show")
    place = read_place(request.args.get("older"), request.args.get("newer"), WAITING_KEY)
    with reading() as session:
        page = list_waiting(session, states=_VIEWS[view], place=place)
    return render_template(
        "orders/waiting.html",
        view=view,
        page=page,
        areas={row.id: _area(row) for row in page.rows},
        readable={row.id for row in page.rows if _may_read(row)},
        orders_queue=runtime().settings.orders_queue,
        as_of=runtime().clock(),
        may_push=current_person().is_support,
        older_url=url_for("waiting.show", show=view, older=page.older) if page.older else None,
        newer_url=url_for("waiting.show", show=view, newer=page.newer) if page.newer else None,
        first_url=url_for("waiting.show", show=view) if place else None,
    )


@blueprint.get("/waiting/<id:waiting_id>/body")
@everybody
def show_body(waiting_id: int) -> str:
    with reading() as session:
        message = read_waiting(session, waiting_id)
        if not _may_read(message):
            raise Forbidden("This message tells of a person. Only support staff may read it.")
        body = read_body(session, waiting_id, cipher=runtime().cipher)
    template = "orders/_text.html" if wants_fragment() else "orders/waiting_body.html"
    return render_template(
        template,
        message=message,
        text=masked_text(body) if body is not None else None,
        problem=_FORGOTTEN if body is None else None,
        what=f"message {message.subject}",
    )


@blueprint.post("/waiting/<id:waiting_id>/push")
@support
def push(waiting_id: int) -> AnyResponse:
    conflict = None
    try:
        with writing() as session:
            push_waiting(session, waiting_id, actor=actor(), now=runtime().clock())
    except Conflict as refused:
        conflict = refused
    with newest() as session:
        message = read_waiting(session, waiting_id)
    winner = message.verdict.by if message.verdict else None
    page = url_for("waiting.show", _anchor=f"message-{waiting_id}")
    return push_response(_area(message), conflict, winner, page)


@blueprint.get("/waiting/<id:waiting_id>/verdict")
@everybody
def show_verdict(waiting_id: int) -> AnyResponse:
    with reading() as session:
        message = read_waiting(session, waiting_id)
    return verdict_response(_area(message))


def _may_read(message: ListedMessage) -> bool:
    return current_person().is_support or message.queue not in runtime().settings.personal_queues


def _area(message: ListedMessage) -> PushArea:
    return PushArea(
        key=f"message-{message.id}",
        what=f"message {message.subject}",
        push_url=url_for("waiting.push", waiting_id=message.id),
        verdict_url=url_for("waiting.show_verdict", waiting_id=message.id),
        verdict=message.verdict,
        can_push=message.is_waiting and current_person().is_support,
    )
