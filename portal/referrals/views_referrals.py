"""The entrance to referrals: the funnel of a period, and what is left of each budget."""

from datetime import timedelta

from flask import Blueprint, render_template, request

from portal.referrals.progress.queries_funnel import MOST_INVITATIONS, read_funnel
from portal.referrals.queries_attention import MOST_COUNTED, count_attention
from portal.referrals.rewards.queries_budget import read_budgets
from portal.referrals.schemes.queries import list_once_active, version_ids
from portal.web.arguments import read_id
from portal.web.context import reading, runtime
from portal.web.permissions import everybody

blueprint = Blueprint("referrals", __name__)

PERIODS = {"7": "7 days", "28": "28 days", "90": "90 days", "365": "a year"}


@blueprint.get("/referrals")
@everybody
def show() -> str:
    asked = request.args.get("days", "")
    days = asked if asked in PERIODS else "28"
    family_id = read_id(request.args, "scheme")
    now = runtime().clock()
    with reading() as session:
        once_active = list_once_active(session, now)
        schemes = once_active.schemes
        chosen = next((one for one in schemes if one.family_id == family_id), None)
        funnel = read_funnel(
            session,
            since=now - timedelta(days=int(days)),
            until=now,
            scheme_ids=version_ids(session, chosen.family_id) if chosen else None,
        )
        counts = count_attention(session)
        budgets = read_budgets(session, [one.family_id for one in schemes], now)
    return render_template(
        "referrals/referrals.html",
        counts=counts,
        most_counted=MOST_COUNTED,
        funnel=funnel,
        most_invitations=MOST_INVITATIONS,
        periods=PERIODS,
        days=days,
        schemes=schemes,
        all_schemes=once_active.complete,
        chosen=chosen,
        budgets=budgets,
        as_of=now,
    )
