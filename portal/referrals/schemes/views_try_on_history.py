"""Trying a scheme on what really happened, beside the scheme that is active; nothing is changed by it."""

from datetime import datetime, timedelta

from flask import Blueprint, render_template
from sqlalchemy.orm import Session

from portal.referrals.schemes.queries import (
    Scheme,
    active_scheme_id,
    differences,
    find_schemes,
    get_scheme,
)
from portal.referrals.schemes.queries_history import History, earned_before, read_history, tried_terms
from portal.referrals.schemes.try_on_history import Tried, compare_earners, try_on_history
from portal.web.context import reading, runtime
from portal.web.permissions import everybody

blueprint = Blueprint("try_on_history", __name__)

DAYS = 90
# So many of those who would have earned are listed, the newest.
MOST_LISTED = 200


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
        tried = _try(session, scheme, history, now)
        tried_live = _try(session, live, history, now) if live else None
    earners = compare_earners(tried, tried_live)
    return render_template(
        "referrals/try.html",
        scheme=scheme,
        live=live,
        is_active=active is not None and active.id == scheme.id,
        tried=tried,
        tried_live=tried_live,
        earners=earners[:MOST_LISTED],
        all_earners=len(earners),
        only_here=sum(one.there is None for one in earners),
        only_there=sum(one.here is None for one in earners),
        changes=differences(live, scheme) if live else [],
        history=history,
        days=DAYS,
        as_of=now,
    )


def _try(session: Session, scheme: Scheme, history: History, now: datetime) -> Tried:
    before = earned_before(session, scheme, history)
    return try_on_history(history.past, tried_terms(scheme), now, history.share, before)
