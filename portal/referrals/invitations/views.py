"""The public link of an invitation."""

import structlog
from flask import Blueprint, redirect, request
from sqlalchemy.exc import SQLAlchemyError
from werkzeug.wrappers import Response

from portal.referrals.invitations.links import has_form_of_token, is_known, record_click, sign_up_link
from portal.web.context import newest, runtime
from portal.web.permissions import public

blueprint = Blueprint("link", __name__)
log = structlog.get_logger()


@blueprint.get("/r/<path:token>")
@public
def follow(token: str) -> Response:
    """Lead to the sign-up page, whatever the token: an unknown one is not told from none."""
    known = has_form_of_token(token) and _may_be_known(token)
    response = redirect(sign_up_link(runtime().settings.sign_up_url, token if known else None), 303)
    response.headers["X-Robots-Tag"] = "noindex"
    return response


def _may_be_known(token: str) -> bool:
    """Tell whether a link is one of ours, and record a click on it; while nobody can tell, it may be.

    Whoever was invited gets to the sign-up page, also when the database is away: only the click is lost.
    """
    try:
        # Looked up first, so that no link that somebody made up takes a lock.
        with newest() as session:
            known = is_known(session, token)
        if known and request.method != "HEAD":
            now = runtime().clock()
            runtime().transact(lambda session: record_click(session, token, now))
    except SQLAlchemyError as error:
        log.warning("click not recorded", error=str(error))
        runtime().metrics.count("referrals.click_not_recorded")
        return True
    return known
