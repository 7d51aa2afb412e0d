"""The token without which nothing is changed, bound to the login session."""

import hashlib
import hmac

from flask import Flask, current_app, request, session
from flask_wtf.csrf import CSRFProtect

from portal.web.login import login_token

_FIELD = "csrf_token"


def protect(app: Flask) -> CSRFProtect:
    """Require the token on every mutation; it lives as long as the session does."""
    app.config["WTF_CSRF_TIME_LIMIT"] = None
    app.config["WTF_CSRF_METHODS"] = ["POST", "PUT", "PATCH", "DELETE"]
    app.before_request(_bind_to_login)
    return CSRFProtect(app)


def _bind_to_login() -> None:
    """Derive the token's secret from the login: a token of an earlier one, or one set by others, is void."""
    token = login_token()
    if token is None or request.endpoint == "static":
        return
    key = str(current_app.secret_key).encode()
    bound = hmac.new(key, f"csrf:{token}".encode(), hashlib.sha256).hexdigest()
    if session.get(_FIELD) != bound:
        session[_FIELD] = bound
