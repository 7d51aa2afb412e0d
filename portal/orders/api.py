"""Orders for machines: hand one over, ask how far it is, and the schema of what is accepted."""

import json
from datetime import datetime
from typing import Any

from flask import Blueprint, Response, jsonify, request, url_for
from sqlalchemy import select
from sqlalchemy.orm import Session
from structlog.contextvars import bind_contextvars
from werkzeug.exceptions import BadRequest, UnsupportedMediaType

from portal import events
from portal.errors import Conflict, NotFound
from portal.events import Event
from portal.orders import intake
from portal.orders.canonical import order_schema
from portal.orders.models import OrderStep, PurchaseOrder
from portal.orders.queries import find_order
from portal.web.bodies import read_body
from portal.web.context import actor, runtime
from portal.web.permissions import api_client, public

blueprint = Blueprint("orders-api", __name__, url_prefix="/api")

_BEFORE_JSON = b"\xef\xbb\xbf \t\r\n"


@blueprint.post("/orders")
@api_client
def hand_over() -> tuple[Response, int, dict[str, str]]:
    """Take an order in: 202 when it is new, 200 when it is known with the same content."""
    declared_json = _declares_json()
    body = read_body()
    if declared_json != (body.lstrip(_BEFORE_JSON)[:1] in (b"{", b"[")):
        raise BadRequest(f"The body is not of the Content-Type {request.mimetype}.")
    receipt = intake.take_in(runtime(), body, source="api", actor=actor())
    bind_contextvars(order=receipt.number)
    runtime().metrics.count("api.orders", label=receipt.outcome)
    if receipt.outcome == "conflict":
        raise Conflict(
            f"Order {receipt.number} is known with other content; nothing was changed.", code="order-differs"
        )
    address = url_for("orders-api.show", number=receipt.number)
    is_new = receipt.outcome == "new"
    answer = jsonify({"number": receipt.number, "outcome": receipt.outcome, "address": address})
    return answer, 202 if is_new else 200, {"Location": address}


@blueprint.get("/orders/<text:number>")
@api_client
def show(number: str) -> Response:
    """Return how far an order is, and what has happened to it."""
    try:
        with runtime().reader() as session:
            return jsonify(_status(session, find_order(session, number)))
    except NotFound:
        # Handed over a moment ago: the reader may not know it yet.
        if not runtime().database.has_reader:
            raise
    with runtime().writer() as session:
        return jsonify(_status(session, find_order(session, number)))


@blueprint.get("/schemas/order.json")
@public
def show_schema() -> Response:
    """Return the JSON Schema of the canonical order."""
    response = Response(json.dumps(order_schema(), indent=2), mimetype="application/schema+json")
    response.cache_control.public = True
    response.cache_control.max_age = 300
    response.add_etag()
    return response.make_conditional(request)  # type: ignore[return-value]


def _declares_json() -> bool:
    """Tell whether the body is said to be JSON rather than XML; raises UnsupportedMediaType for all else."""
    kind = request.mimetype
    is_json = kind == "application/json" or kind.endswith("+json")
    is_xml = kind in ("application/xml", "text/xml") or kind.endswith("+xml")
    if not (is_json or is_xml):
        raise UnsupportedMediaType("Send an order as application/xml or application/json.")
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise UnsupportedMediaType("Send the body without compression.")
    return is_json


def _status(session: Session, order: PurchaseOrder) -> dict[str, Any]:
    """Tell how far an order is, without the personal data that is in it, in answers and in reasons."""
    steps = select(OrderStep).where(OrderStep.order_id == order.id).order_by(OrderStep.started_at)
    return {
        "number": order.number,
        "status": order.status,
        "channel": order.channel,
        "store": order.store,
        "country": order.country,
        "currency": order.currency,
        "total": str(order.total) if order.total is not None else None,
        "placed_at": _time(order.placed_at),
        "received_at": _time(order.received_at),
        "completed_at": _time(order.completed_at),
        "steps": [_step(step) for step in session.scalars(steps)],
        "timeline": [_entry(event) for event in events.timeline(session, "order", order.id)],
    }


def _step(step: OrderStep) -> dict[str, Any]:
    return {
        "id": step.element_id,
        "name": step.name,
        "system": step.system,
        "state": step.state,
        "attempts": step.attempts,
        "code": step.code,
        "started_at": _time(step.started_at),
        "ended_at": _time(step.ended_at),
    }


def _entry(event: Event) -> dict[str, Any]:
    entry = {"at": _time(event.at), "kind": event.kind, "by": event.actor_kind}
    told = ("element_id", "step", "system", "attempt", "code", "next_at")
    return entry | {name: event.data[name] for name in told if name in event.data}


def _time(at: datetime | None) -> str | None:
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z") if at else None
