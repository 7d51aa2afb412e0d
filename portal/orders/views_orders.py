"""The list of orders, with its filters in the address."""

from collections.abc import Mapping
from typing import Any

from flask import Blueprint, make_response, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from portal.errors import InvalidInput
from portal.keyset import Page, Place, read_place
from portal.orders.forms import AGES, OrderListForm, chips_of, read_order_list
from portal.orders.models import PurchaseOrder
from portal.orders.process.plan import TaskNode
from portal.orders.queries_orders import (
    MOST_COUNTED,
    ORDER_KEY,
    ListedOrder,
    choices_of,
    count_orders,
    known_numbers,
    list_orders,
)
from portal.orders.states import OrderStatus
from portal.web.context import reading, runtime
from portal.web.permissions import everybody
from portal.web.zone import viewer_zone

blueprint = Blueprint("orders", __name__)

_DAYS = ("received_from", "received_to")
_CHOSEN = {
    "channel": PurchaseOrder.channel,
    "store": PurchaseOrder.store,
    "country": PurchaseOrder.country,
}


@blueprint.get("/orders")
@everybody
def show() -> Response:
    form = read_order_list(
        request.args,
        zone=viewer_zone(),
        now=runtime().clock(),
        blind_index=runtime().cipher.blind_index,
    )
    place = _place(form)
    page: Page[ListedOrder] = Page([])
    count, unknown = None, []
    with reading() as session:
        if not form.errors:
            page = list_orders(session, form.wanted, cipher=runtime().cipher, place=place)
            count = count_orders(session, form.wanted)
            known = known_numbers(session, form.numbers)
            if form.asks_for_one and known:
                return redirect(url_for("order.show", number=form.numbers[0]), 303)
            unknown = [number for number in form.numbers if number not in known]
        choices = {name: choices_of(session, column) for name, column in _CHOSEN.items()}
    shown = render_template(
        "orders/orders.html",
        **_filters(form),
        page=page,
        count=count,
        most_counted=MOST_COUNTED,
        unknown=unknown if len(form.numbers) > 1 else [],
        choices=choices,
        older_url=_address(form, form.given, older=page.older) if page.older else None,
        newer_url=_address(form, form.given, newer=page.newer) if page.newer else None,
        first_url=_address(form, form.given) if place else None,
    )
    return make_response(shown, 422 if form.errors else 200)


def _filters(form: OrderListForm) -> dict[str, Any]:
    """Give what the filters, and the chips of those that are on, are drawn from."""
    steps = _step_names()
    return {
        "form": form,
        "steps": steps,
        "ages": AGES,
        "statuses": list(OrderStatus),
        "chips": [(chip.text, _address(form, chip.without)) for chip in chips_of(form, steps)],
        "status_url": lambda status: _address(form, _with_status(form, status)),
    }


def _place(form: OrderListForm) -> Place | None:
    try:
        return read_place(request.args.get("older"), request.args.get("newer"), ORDER_KEY)
    except InvalidInput as refused:
        form.errors[refused.field or "older"] = refused.reason
        return None


def _step_names() -> dict[str, str]:
    return {
        node.id: node.name
        for definition in runtime().definitions
        for node in definition.plan.nodes.values()
        if isinstance(node, TaskNode)
    }


def _with_status(form: OrderListForm, status: OrderStatus | None) -> dict[str, str]:
    others = {name: value for name, value in form.given.items() if name != "status"}
    return others | ({"status": status.value} if status else {})


def _address(form: OrderListForm, given: Mapping[str, str], **place: str | None) -> str:
    """Write an address that means the same to everybody: days come with their zone."""
    values: dict[str, Any] = {**given, **place}
    if any(name in given for name in _DAYS):
        values["zone"] = str(form.zone)
    return url_for("orders.show", **values)
