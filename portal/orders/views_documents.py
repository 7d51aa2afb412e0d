"""The documents behind an order, masked: the original, its canonical form, the drawing of its process."""

import json

from flask import Blueprint, Response, render_template, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from portal.errors import NotFound, Upstream
from portal.orders.documents.masking import masked_document, masked_text
from portal.orders.models import PurchaseOrder
from portal.orders.queries import find_order, read_content
from portal.orders.queries_order import read_drawing
from portal.web.context import reading, runtime
from portal.web.htmx import wants_fragment
from portal.web.permissions import everybody

blueprint = Blueprint("documents", __name__)

_MOST_SHOWN = 200_000
_TITLES = {"original": "Original", "canonical": "Canonical form"}
_FOR_EVER = "private, max-age=31536000, immutable"


@blueprint.get("/orders/<number:number>/documents/original")
@everybody
def show_original(number: str) -> AnyResponse | str:
    with reading() as session:
        order = find_order(session, number)
    wants_all = "download" in request.args
    most = runtime().settings.max_document_bytes if wants_all else _MOST_SHOWN
    try:
        body = runtime().files.read(
            order.document_bucket, order.document_key, order.document_version, max_bytes=most
        )
    except (NotFound, Upstream) as error:
        return _page(order, "original", None, problem=error.reason)
    if wants_all:
        return _download(masked_document(body), "original.txt")
    return _page(order, "original", masked_document(body[:most]), cut=len(body) > most)


@blueprint.get("/orders/<number:number>/documents/canonical")
@everybody
def show_canonical(number: str) -> AnyResponse | str:
    with reading() as session:
        order = find_order(session, number)
    content = read_content(order, cipher=runtime().cipher)
    if content is None:
        return _page(order, "canonical", None, problem="The canonical form cannot be read.")
    plain = content.model_dump(mode="json", exclude_defaults=True)
    text = masked_text(json.dumps(plain, indent=2, ensure_ascii=False))
    if "download" in request.args:
        return _download(text, "canonical.json.txt")
    return _page(order, "canonical", text[:_MOST_SHOWN], cut=len(text) > _MOST_SHOWN)


@blueprint.get("/processes/<id:version_id>/drawing.bpmn")
@everybody
def show_drawing(version_id: int) -> AnyResponse:
    """Serve the drawing of a version of a process, which never changes."""
    with reading() as session:
        drawing = read_drawing(session, version_id)
    if drawing is None:
        raise NotFound("There is no such version of a process.")
    response = Response(drawing, mimetype="application/xml")
    response.headers["Cache-Control"] = _FOR_EVER
    return response


def _page(
    order: PurchaseOrder, which: str, text: str | None, *, cut: bool = False, problem: str | None = None
) -> str:
    return render_template(
        "orders/_text.html" if wants_fragment() else "orders/document.html",
        order=order,
        which=which,
        title=_TITLES[which],
        text=text,
        cut=cut,
        problem=problem,
        what=f"the {_TITLES[which].lower()} of order {order.number}",
        download_url=url_for(f"documents.show_{which}", number=order.number, download=1) if text else None,
    )


def _download(text: str, name: str) -> Response:
    """Hand a text over to be saved; as plain text nothing in it runs, wherever it is opened."""
    response = Response(text, mimetype="text/plain")
    response.headers["Content-Disposition"] = f"attachment; filename={name}"
    return response
