"""What needs a person: failed and pending rewards, flagged referrals, and polls of spends that failed."""

from typing import Any
from urllib.parse import urlencode

from flask import Blueprint, make_response, render_template, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from portal.errors import InvalidInput
from portal.keyset import Page, Place, read_place
from portal.referrals.queries_attention import (
    KEY,
    MOST_COUNTED,
    MOST_GROUPED,
    WAITING_FOR,
    PushedReward,
    causes_of_failed,
    count_attention,
    list_batches,
    list_flagged,
    list_polls,
    list_rewards,
    read_pushed,
)
from portal.referrals.states import RewardStatus
from portal.web.arguments import read_id
from portal.web.context import current_person, newest, reading, runtime
from portal.web.permissions import everybody

blueprint = Blueprint("attention", __name__)

# So many rewards are pushed at once, and followed.
MOST_PUSHED = 50
_CARRIED = ("older", "newer", "pushed")


@blueprint.get("/referrals/attention")
@everybody
def show() -> AnyResponse:
    return failed_page()


@blueprint.get("/referrals/attention/pushed")
@everybody
def show_pushed() -> str:
    """Tell what has become of the rewards that were pushed."""
    with reading() as session:
        pushed = read_pushed(session, pushed_ids())
    return render_template("referrals/_pushed.html", pushed=pushed, pushed_url=_pushed_url(pushed))


@blueprint.get("/referrals/attention/pending")
@everybody
def show_pending() -> AnyResponse:
    return pending_page()


@blueprint.get("/referrals/attention/flagged")
@everybody
def show_flagged() -> str:
    with reading() as session:
        page, counts = list_flagged(session, _place()), count_attention(session)
    return render_template(
        "referrals/flagged.html", page=page, counts=counts, **_shown("attention.show_flagged", page)
    )


@blueprint.get("/referrals/attention/spends")
@everybody
def show_batches() -> AnyResponse:
    return batches_page()


@blueprint.get("/referrals/polls")
@everybody
def show_polls() -> str:
    with reading() as session:
        page, counts = list_polls(session, _place()), count_attention(session)
    return render_template(
        "referrals/polls.html", page=page, counts=counts, **_shown("attention.show_polls", page)
    )


def failed_page(refused: dict[str, str] | None = None, status: int = 200) -> AnyResponse:
    """Show the failed rewards by cause; `refused` tells by place on the page what was refused there."""
    code = request.args.get("code") or None
    # After a refusal the page shows what the writer knows, which is why it was refused.
    with newest() if refused else reading() as session:
        causes = causes_of_failed(session)
        page = list_rewards(session, RewardStatus.FAILED, code, _place())
        counts, pushed = count_attention(session), read_pushed(session, pushed_ids())
    shown = render_template(
        "referrals/failed_rewards.html",
        causes=causes,
        chosen=next((one for one in causes.rows if one.code == code), None),
        code=code,
        page=page,
        counts=counts,
        pushed=pushed,
        pushed_url=_pushed_url(pushed),
        most_grouped=MOST_GROUPED,
        most_pushed=MOST_PUSHED,
        refused=refused or {},
        **_shown("attention.show", page, code=code),
    )
    return make_response(shown, status)


def pending_page(refused: dict[str, str] | None = None, status: int = 200) -> AnyResponse:
    """Show the rewards that wait for one reason, `refused` as on the page of those that failed."""
    reason = request.args.get("reason") or WAITING_FOR[0]
    if reason not in WAITING_FOR:
        raise InvalidInput(f"Rewards wait for one of {', '.join(WAITING_FOR)}.", field="reason")
    with newest() if refused else reading() as session:
        page = list_rewards(session, RewardStatus.PENDING, reason, _place())
        counts = count_attention(session)
    shown = render_template(
        "referrals/pending_rewards.html",
        reason=reason,
        page=page,
        counts=counts,
        refused=refused or {},
        **_shown("attention.show_pending", page, reason=reason),
    )
    return make_response(shown, status)


def batches_page(refused: dict[str, str] | None = None, status: int = 200) -> AnyResponse:
    """Show the batches of spends that failed, `refused` as on the page of rewards."""
    with newest() if refused else reading() as session:
        page, counts = list_batches(session, _place()), count_attention(session)
    shown = render_template(
        "referrals/failed_batches.html",
        page=page,
        counts=counts,
        refused=refused or {},
        **_shown("attention.show_batches", page),
    )
    return make_response(shown, status)


def _shown(endpoint: str, page: Page[Any], **asked: str | None) -> dict[str, Any]:
    """Give what the pages have in common: the ways on, who may act, and when it was."""
    kept: dict[str, Any] = {name: value for name, value in asked.items() if value}
    return {
        "older_url": url_for(endpoint, older=page.older, **kept) if page.older else None,
        "newer_url": url_for(endpoint, newer=page.newer, **kept) if page.newer else None,
        "first_url": url_for(endpoint, **kept) if _place() else None,
        "carried": urlencode(kept | {name: request.args[name] for name in _CARRIED if name in request.args}),
        "may_push": current_person().is_support,
        "most_counted": MOST_COUNTED,
        "as_of": runtime().clock(),
    }


def _place() -> Place | None:
    return read_place(request.args.get("older"), request.args.get("newer"), KEY)


def pushed_ids() -> list[int]:
    """Read which rewards were pushed from this page, and are followed on it."""
    written = [part for part in request.args.get("pushed", "").split("_") if part]
    ids = [read_id({"pushed": part}, "pushed") for part in written[:MOST_PUSHED]]
    return [one for one in ids if one is not None]


def _pushed_url(pushed: list[PushedReward]) -> str | None:
    """Return what to ask for what becomes of pushed rewards; None when it has become of all."""
    if not any(one.is_under_way for one in pushed):
        return None
    return url_for("attention.show_pushed", pushed=written_ids([one.row.id for one in pushed]))


def written_ids(ids: list[int]) -> str:
    """Write ids for an address, by which the rewards that were pushed are followed."""
    return "_".join(map(str, ids))
