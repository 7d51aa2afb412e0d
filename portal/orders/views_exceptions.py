"""Exceptions: their causes, the steps that stopped, and the push of each."""

from typing import Any

from flask import Blueprint, render_template, request, url_for

from portal.keyset import read_place
from portal.orders.queries_exceptions import (
    EXCEPTION_KEY,
    MOST_GROUPED,
    StoppedStep,
    causes_of_exceptions,
    list_exceptions,
)
from portal.orders.views_push import PushArea, step_area
from portal.web.context import current_person, reading, runtime
from portal.web.permissions import everybody

blueprint = Blueprint("exceptions", __name__)


@blueprint.get("/exceptions")
@everybody
def show() -> str:
    asked: dict[str, Any] = {name: request.args[name] for name in ("code", "step") if request.args.get(name)}
    place = read_place(request.args.get("older"), request.args.get("newer"), EXCEPTION_KEY)
    with reading() as session:
        causes = causes_of_exceptions(session)
        page = list_exceptions(session, code=asked.get("code"), element_id=asked.get("step"), place=place)
    return render_template(
        "orders/exceptions.html",
        causes=causes,
        chosen=next((one for one in causes if {"code": one.code, "step": one.element_id} == asked), None),
        asked=asked,
        page=page,
        areas={row.order_id: _area(row) for row in page.rows},
        as_of=runtime().clock(),
        total=sum(cause.count for cause in causes),
        most_grouped=MOST_GROUPED,
        may_push=current_person().is_support,
        older_url=url_for("exceptions.show", **asked, older=page.older) if page.older else None,
        newer_url=url_for("exceptions.show", **asked, newer=page.newer) if page.newer else None,
        first_url=url_for("exceptions.show", **asked) if place else None,
        systems=runtime().system_titles,
    )


def _area(row: StoppedStep) -> PushArea:
    return step_area(row.number, row.order_id, row.element_id, row.step, row.verdict, is_stopped=True)
