"""What people and test programs look at: faults, ledgers, and the mailbox in a browser."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from flask import Blueprint, Flask, Response, abort, jsonify, redirect, render_template, request, url_for
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response as PlainResponse

from sandbox.answers import Refused, decode_object, invalid, problem
from sandbox.faults import Fault, FaultBoard
from sandbox.ledger import SYSTEMS, Effect, Ledger
from sandbox.mail import Letter, read_letter, recipients_of

MAILS_A_PAGE = 50
MAX_EFFECTS = 1000
_LARGEST_ID = 2**62

_PAGE_POLICY = (
    "default-src 'none'; style-src 'self'; img-src data:; frame-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
# A mail is a stranger's page: it may style itself and nothing else, also when opened on its own.
_MAIL_POLICY = (
    "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; "
    "frame-ancestors 'self'"
)


def create_pages(ledger: Ledger, board: FaultBoard) -> Flask:
    """Wire the pages and the JSON behind the front."""
    app = Flask(__name__, static_url_path="/sandbox/static")
    app.jinja_options = {"trim_blocks": True, "lstrip_blocks": True}
    app.register_blueprint(_controls(ledger, board))
    app.register_blueprint(_mailbox(ledger))
    app.register_error_handler(Refused, _as_problem)
    app.register_error_handler(HTTPException, _as_http_problem)

    @app.after_request
    def guard(response: Response) -> Response:
        response.headers.setdefault("Content-Security-Policy", _PAGE_POLICY)
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Referrer-Policy"] = "no-referrer"
        response.headers["Cache-Control"] = "no-store"
        return response

    return app


def _controls(ledger: Ledger, board: FaultBoard) -> Blueprint:
    controls = Blueprint("controls", __name__)

    @controls.get("/health")
    def health() -> Response:
        return jsonify(status="ok")

    @controls.get("/faults")
    def standing_faults() -> Response:
        return jsonify({system: fault.as_document() for system, fault in board.standing().items()})

    @controls.put("/faults/<system>")
    def put_fault(system: str) -> Response:
        fault = Fault.from_document(decode_object(request.get_data()))
        board.put(_known(system), fault)
        return jsonify(fault.as_document())

    @controls.delete("/faults/<system>")
    def clear_fault(system: str) -> Response:
        board.clear(_known(system))
        return Response(status=204)

    @controls.get("/ledger/summary")
    def summary() -> Response:
        return jsonify({system: asdict(count) for system, count in ledger.summary().items()})

    @controls.get("/<system>/ledger")
    def effects(system: str) -> Response:
        found = ledger.page(
            _known(system),
            order=request.args.get("order"),
            after=_whole("after", 0, 0, _LARGEST_ID),
            limit=_whole("limit", 100, 1, MAX_EFFECTS),
        )
        return jsonify(effects=[_as_document(effect) for effect in found])

    return controls


def _mailbox(ledger: Ledger) -> Blueprint:
    mailbox = Blueprint("mailbox", __name__)

    @mailbox.get("/")
    def home() -> PlainResponse:
        return redirect(url_for("mailbox.mails"))

    @mailbox.get("/sandbox/mail")
    def mails() -> str:
        query = request.args.get("q", "").strip()
        before = _whole("before", _LARGEST_ID, 1, _LARGEST_ID)
        found = ledger.mails(query=query, before=before, limit=MAILS_A_PAGE + 1)
        return render_template(
            "mails.html",
            rows=[(effect, recipients_of(effect.request)) for effect in found[:MAILS_A_PAGE]],
            older=found[MAILS_A_PAGE - 1].id if len(found) > MAILS_A_PAGE else None,
            query=query,
            newest=before == _LARGEST_ID,
        )

    @mailbox.get("/sandbox/mail/<int:number>")
    def mail(number: int) -> str:
        effect, letter = _mail(ledger, number)
        return render_template("mail.html", effect=effect, letter=letter)

    @mailbox.get("/sandbox/mail/<int:number>/html")
    def mail_html(number: int) -> Response:
        _, letter = _mail(ledger, number)
        return Response(letter.html, mimetype="text/html", headers={"Content-Security-Policy": _MAIL_POLICY})

    return mailbox


def _mail(ledger: Ledger, number: int) -> tuple[Effect, Letter]:
    effect = ledger.mail(number) if number <= _LARGEST_ID else None
    if effect is None:
        abort(404)
    return effect, read_letter(effect.request)


def _as_document(effect: Effect) -> dict[str, Any]:
    if effect.system == "mail":
        letter = read_letter(effect.request)
        what: Any = {
            "to": letter.to,
            "from": letter.sender,
            "subject": letter.subject,
            "message_id": letter.message_id,
            "text": letter.text,
            "html": letter.html,
        }
    else:
        what = json.loads(effect.request)
    return {
        "id": effect.id,
        "at": effect.at,
        "key": effect.key,
        "order_number": effect.order_number,
        "kind": effect.kind,
        "external_id": effect.external_id,
        "request": what,
    }


def _known(system: str) -> str:
    if system not in SYSTEMS:
        raise Refused(404, "system-unknown", f"There is no system {system}: {', '.join(SYSTEMS)} are here.")
    return system


def _whole(name: str, default: int, lowest: int, highest: int) -> int:
    text = request.args.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= 19) or not lowest <= int(text) <= highest:
        raise invalid(name, f"{name} must be a whole number from {lowest} to {highest}.")
    return int(text)


def _as_problem(refusal: Refused) -> Response:
    answer = problem(refusal)
    return Response(answer.body, answer.status, content_type=answer.content_type)


def _as_http_problem(error: HTTPException) -> Response | PlainResponse:
    if error.code is None or error.code < 400:
        return PlainResponse.force_type(error.get_response())
    response = _as_problem(Refused(error.code, error.name.lower().replace(" ", "-"), error.description or ""))
    response.headers.extend([(name, value) for name, value in error.get_headers() if name.lower() == "allow"])
    return response
