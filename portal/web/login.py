"""The login session of a request: its token in a cookie, its row in the database."""

from datetime import timedelta

from flask import Flask, Response, g, request, session

from portal.access import queries
from portal.access.service import NewSession
from portal.crypto import new_token, token_hash
from portal.web.context import found_person, newest, runtime


def load_login(app: Flask) -> None:
    """Find out before every request who is logged in, from the row: a dead session's cookie is nobody's."""

    @app.before_request
    def load() -> None:
        cookie = request.cookies.get(cookie_name())
        if not cookie or request.endpoint == "static" or request.path.startswith(("/api/", "/health/")):
            return
        with newest() as session:
            g.person = queries.find_session(session, token_hash(cookie), runtime().clock())

    @app.context_processor
    def about_person() -> dict[str, object]:
        return {"current_user": found_person()}


def cookie_name() -> str:
    """Return the name of the session's cookie; `__Host-` binds it to this host and to HTTPS (RFC 6265bis)."""
    return "__Host-session" if runtime().settings.cookie_secure else "session"


def login_token() -> str | None:
    """Return the token of the session of whoever is logged in."""
    return request.cookies.get(cookie_name()) if found_person() else None


def prepare_session() -> tuple[str, NewSession]:
    """Return a new token, and the session to begin with it in the place of the browser's present one."""
    token, cookie = new_token(), request.cookies.get(cookie_name())
    expires_at = runtime().clock() + timedelta(hours=runtime().settings.session_hours)
    return token, NewSession(token_hash(token), expires_at, token_hash(cookie) if cookie else None)


def give_cookie(response: Response, token: str) -> None:
    """Hand the browser the token of a session that was begun, and let go of what an earlier one left."""
    session.clear()
    settings = runtime().settings
    response.set_cookie(
        cookie_name(),
        token,
        max_age=settings.session_hours * 3600,
        path="/",
        secure=settings.cookie_secure,
        httponly=True,
        samesite="Lax",
    )


def take_cookie(response: Response) -> None:
    """Let the browser forget the session."""
    session.clear()
    response.delete_cookie(
        cookie_name(), path="/", secure=runtime().settings.cookie_secure, httponly=True, samesite="Lax"
    )
