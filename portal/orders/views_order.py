"""The page of one order, and the parts of it that follow the order while it is processed."""

from collections.abc import Mapping
from dataclasses import dataclass

from flask import Blueprint, Response, make_response, render_template, request, url_for
from sqlalchemy.orm import Session

from portal.errors import InvalidInput
from portal.orders.canonical import Order
from portal.orders.documents.masking import masked_card_number
from portal.orders.models import PurchaseOrder
from portal.orders.queries import find_order, read_content
from portal.orders.queries_order import (
    OrderProgress,
    Step,
    Timeline,
    newest_event_id,
    read_mails,
    read_progress,
    read_timeline,
)
from portal.orders.states import OrderStatus
from portal.orders.views_push import PushArea, step_area, systems_held_back
from portal.web.arguments import read_id
from portal.web.context import reading, runtime
from portal.web.permissions import everybody

blueprint = Blueprint("order", __name__)


@dataclass(frozen=True, slots=True)
class Seen:
    """What of an order a page shows already: its last event, how many steps, and what they say."""

    event_id: int
    steps: int
    state: str

    @classmethod
    def of(cls, order: PurchaseOrder, progress: OrderProgress, event_id: int) -> "Seen":
        last = progress.steps[-1].state if progress.steps else "none"
        return cls(event_id, len(progress.steps), f"{order.status}-{last}")

    @classmethod
    def read(cls, text: str) -> "Seen":
        event_id, _, rest = text.partition("_")
        steps, _, state = rest.partition("_")
        if not (event_id.isdecimal() and steps.isdecimal() and len(event_id) < 19 and len(steps) < 9):
            raise InvalidInput("This page is out of date: load it again.", field="seen")
        return cls(int(event_id), int(steps), state)

    def __str__(self) -> str:
        return f"{self.event_id}_{self.steps}_{self.state}"


@blueprint.get("/orders/<number:number>")
@everybody
def show(number: str) -> str:
    failures_only = request.args.get("timeline") == "failures"
    before = read_id(request.args, "before")
    with reading() as session:
        order = find_order(session, number)
        content, progress = _read(session, order)
        timeline = read_timeline(session, order.id, failures_only=failures_only, before=before)
        mails = read_mails(session, order, progress.steps)
        held_back = systems_held_back(session)
        seen = Seen.of(order, progress, newest_event_id(session, order.id))
    return render_template(
        "orders/order.html",
        order=order,
        content=content,
        progress=progress,
        areas=_areas(order, progress, held_back),
        timeline=timeline,
        failures_only=failures_only,
        before=before,
        mails=mails,
        held_back=held_back,
        masked_card=masked_card_number,
        systems=runtime().system_titles,
        # An older page of the timeline stays as it is.
        live_url=_live_url(order, seen, failures_only) if before is None else None,
        is_processing=order.status == OrderStatus.PROCESSING,
    )


@blueprint.get("/orders/<number:number>/live")
@everybody
def show_news(number: str) -> Response:
    failures_only = request.args.get("timeline") == "failures"
    shown = Seen.read(request.args.get("seen", ""))
    with reading() as session:
        order = find_order(session, number)
        content, progress = _read(session, order)
        seen = Seen.of(order, progress, newest_event_id(session, order.id))
        if seen == shown or seen.event_id < shown.event_id:
            return Response(status=204)
        news = read_timeline(session, order.id, failures_only=failures_only, after=shown.event_id)
        touched = _touched(session, order, shown, progress)
        mails = read_mails(session, order, progress.steps)
        held_back = systems_held_back(session)
    return make_response(
        render_template(
            "orders/_news.html",
            order=order,
            content=content,
            progress=progress,
            areas=_areas(order, progress, held_back),
            changed=[step for step in progress.steps[: shown.steps] if step.element_id in touched],
            added=progress.steps[shown.steps :],
            news=news,
            mails=mails,
            held_back=held_back,
            systems=runtime().system_titles,
            live_url=_live_url(order, seen, failures_only),
            is_processing=order.status == OrderStatus.PROCESSING,
        )
    )


def _read(session: Session, order: PurchaseOrder) -> tuple[Order | None, OrderProgress]:
    content = read_content(order, cipher=runtime().cipher)
    return content, read_progress(session, order, content, plans=runtime().definitions.plans)


def _touched(session: Session, order: PurchaseOrder, shown: Seen, progress: OrderProgress) -> set[str | None]:
    """Return the steps that are to be drawn anew: those that something happened to, and the present one."""
    happened: Timeline = read_timeline(session, order.id, after=shown.event_id)
    touched = {entry.element_id for entry in happened.entries}
    return touched | {step.element_id for step in progress.steps[-1:]}


def _areas(
    order: PurchaseOrder, progress: OrderProgress, held_back: Mapping[str, str]
) -> dict[str, PushArea]:
    return {step.element_id: _area(order, step, held_back.get(step.system)) for step in progress.steps}


def _area(order: PurchaseOrder, step: Step, held_back_by: str | None) -> PushArea:
    return step_area(
        order.number,
        order.id,
        step.element_id,
        step.name,
        step.verdict,
        is_stopped=step.is_stopped,
        held_back_by=held_back_by,
    )


def _live_url(order: PurchaseOrder, seen: Seen, failures_only: bool) -> str:
    timeline = "failures" if failures_only else None
    return url_for("order.show_news", number=order.number, seen=str(seen), timeline=timeline)
