"""Trying a scheme on what really happened, beside the scheme that is active; nothing is changed by it."""

from datetime import timedelta

from flask import Blueprint, render_template

from portal.referrals.schemes.queries import active_scheme_id, differences, find_schemes, get_scheme
from portal.referrals.schemes.queries_history import read_history, tried_terms
from portal.referrals.schemes.try_on_history import try_on_history
from portal.web.context import reading, runtime
from portal.web.permissions import everybody

blueprint = Blueprint("try_on_history", __name__)

DAYS = 90


@blueprint.get("/schemes/<id:scheme_id>/try")
@everybody
def show(scheme_id: int) -> str:
    now = runtime().clock()
    with reading() as session:
        scheme = get_scheme(session, scheme_id)
        active_id = active_scheme_id(session, scheme.product)
        active = find_schemes(session, [active_id]).get(active_id) if active_id else None
        history = read_history(session, scheme.product, since=now - timedelta(days=DAYS), now=now)
    live = active if active is not None and active.id != scheme.id else None
    return render_template(
        "referrals/try.html",
        scheme=scheme,
        live=live,
        is_active=active is not None and active.id == scheme.id,
        tried=try_on_history(history.past, tried_terms(scheme), now, history.share),
        tried_live=try_on_history(history.past, tried_terms(live), now, history.share) if live else None,
        changes=differences(live, scheme) if live else [],
        history=history,
        days=DAYS,
        as_of=now,
    )
