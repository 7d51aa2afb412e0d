"""One id, one line in the log and one measurement for every request."""

import re

import structlog
from flask import Flask, Response, g, request

from portal.web.context import found_person, runtime

log = structlog.get_logger()
# The token of a link lets whoever reads it sign up as the person who was invited.
_LINK = re.compile(r"/+r/.*", re.DOTALL)
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{8,64}")


def trace(app: Flask) -> None:
    """Give every request its id, in the answer and in all that is logged meanwhile."""
    app.before_request(_begin)
    app.after_request(_end)


def _begin() -> None:
    g.began = runtime().monotonic()
    given = request.headers.get("X-Request-ID", "")
    g.request_id = given if _REQUEST_ID.fullmatch(given) else runtime().new_id()
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(request_id=g.request_id)
    if request.view_args and "number" in request.view_args:
        structlog.contextvars.bind_contextvars(order=request.view_args["number"])


def _end(response: Response) -> Response:
    seconds = runtime().monotonic() - g.began
    endpoint = request.endpoint or "none"
    runtime().metrics.timing("web.request_seconds", seconds, endpoint)
    response.headers["X-Request-ID"] = g.request_id
    person, client = found_person(), g.get("client")
    log.info(
        "request",
        method=request.method,
        path="/r/<token>" if _LINK.fullmatch(request.path) else request.path,
        endpoint=endpoint,
        status=response.status_code,
        seconds=round(seconds, 4),
        address=request.remote_addr,
        **({"person": person.login} if person else {}),
        **({"client": client.name} if client else {}),
    )
    return response
