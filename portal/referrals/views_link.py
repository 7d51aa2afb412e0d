"""The public link of an invitation."""

from flask import Blueprint, redirect, request
from werkzeug.wrappers import Response

from portal.referrals.links import is_known, record_click, sign_up_link
from portal.web.context import runtime
from portal.web.permissions import public

blueprint = Blueprint("link", __name__)


@blueprint.get("/r/<path:token>")
@public
def follow(token: str) -> Response:
    """Lead to the sign-up page, whatever the token: an unknown one is not told from none."""
    if request.method == "HEAD":
        with runtime().reader() as session:
            known = is_known(session, token)
    else:
        now = runtime().clock()
        known = runtime().transact(lambda session: record_click(session, token, now))
    response = redirect(sign_up_link(runtime().settings.sign_up_url, token if known else None), 303)
    response.headers["X-Robots-Tag"] = "noindex"
    return response
