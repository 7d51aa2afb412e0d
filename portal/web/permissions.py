"""Who may use a route: each view says so, and one check before every request enforces it."""

from collections.abc import Callable
from typing import Any, TypeVar

from flask import Flask, current_app, g, redirect, request, url_for
from werkzeug.datastructures import WWWAuthenticate
from werkzeug.exceptions import Forbidden, Unauthorized
from werkzeug.wrappers import Response

from portal.access import usage
from portal.access.models import Role
from portal.crypto import token_hash
from portal.web.context import found_person, runtime
from portal.web.htmx import wants_fragment

View = TypeVar("View", bound=Callable[..., Any])

PUBLIC = frozenset({"public"})
API_CLIENT = frozenset({"api-client"})


def allow(*roles: Role) -> Callable[[View], View]:
    """Let people of these roles use a view; administrators may do what support may."""
    administrators = {Role.ADMIN} if Role.SUPPORT in roles else set()
    return lambda view: _mark(view, frozenset({*roles, *administrators}))


def support(view: View) -> View:
    """Let support staff, and administrators with them, use a view."""
    return allow(Role.SUPPORT)(view)


def administrator(view: View) -> View:
    """Let administrators use a view."""
    return allow(Role.ADMIN)(view)


def executive(view: View) -> View:
    """Let executives, and administrators with them, use a view."""
    return allow(Role.EXECUTIVE, Role.ADMIN)(view)


def everybody(view: View) -> View:
    """Let everybody who is logged in use a view."""
    return _mark(view, frozenset(Role))


def public(view: View) -> View:
    """Let anybody use a view, logged in or not."""
    return _mark(view, PUBLIC)


def api_client(view: View) -> View:
    """Let clients of the API use a view, by their key (RFC 6750: Authorization: Bearer KEY)."""
    return _mark(view, API_CLIENT)


def enforce(app: Flask) -> None:
    """Check before every request that whoever asks may use the route; one without a mark is refused."""
    app.view_functions["static"] = public(app.view_functions["static"])
    app.before_request(_check)


def _mark(view: View, allowed: frozenset[str]) -> View:
    view.allowed_roles = allowed  # type: ignore[attr-defined]
    return view


def _check() -> Response | None:
    if request.endpoint is None:
        # No route: the answer is 404 or 405, to whoever asks.
        return None
    allowed: frozenset[str] = getattr(
        current_app.view_functions[request.endpoint], "allowed_roles", frozenset()
    )
    if allowed == PUBLIC:
        return None
    if allowed == API_CLIENT:
        _admit_client()
        return None
    person = found_person()
    if person is None:
        return _ask_to_log_in()
    if person.role not in allowed:
        raise Forbidden
    return None


def _ask_to_log_in() -> Response:
    if wants_fragment():
        answer = Response(status=401)
        answer.headers["HX-Redirect"] = url_for("access.log_in")
        return answer
    came_for = request.full_path.removesuffix("?") if request.method == "GET" else None
    return redirect(url_for("access.log_in", next=came_for if came_for != "/" else None), 303)


def _admit_client() -> None:
    scheme, _, key = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not key.strip():
        raise Unauthorized(
            "Send the key of an API client: Authorization: Bearer KEY.",
            www_authenticate=WWWAuthenticate("bearer", {"realm": "waybill"}),
        )
    hashed, now, most = token_hash(key.strip()), runtime().clock(), runtime().settings.api_requests_per_minute
    client = runtime().transact(lambda session: usage.admit_client(session, hashed, most=most, now=now))
    if client is None:
        raise Unauthorized(
            "This key is not known, or is no longer valid.",
            www_authenticate=WWWAuthenticate("bearer", {"realm": "waybill", "error": "invalid_token"}),
        )
    g.client = client
