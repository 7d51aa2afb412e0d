"""The page of a user's progress: why they are rewarded or not, and whom they invited."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

from flask import Blueprint, make_response, render_template, request, url_for
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response as AnyResponse

from portal.keyset import read_place
from portal.referrals.progress.queries import (
    INVITATION_KEY,
    REFERRAL_KEY,
    Places,
    Timeline,
    UserView,
    read_timeline,
    read_user,
)
from portal.web.arguments import read_id
from portal.web.context import current_person, newest, reading, runtime
from portal.web.permissions import everybody

blueprint = Blueprint("user", __name__)

# What the address says of where each list begins; the timeline is of what the other two show.
_TIMELINE = ("before",)
_REFERRALS = ("older", "newer")
_INVITED = ("invited-before", "invited-after")
_PAGING = (*_REFERRALS, *_INVITED, *_TIMELINE)


@dataclass(frozen=True, slots=True)
class Refused:
    """An action that was refused: the place on the page, the reason, and what had been entered there."""

    place: str
    reason: str
    given: Mapping[str, str] = field(default_factory=dict)


@blueprint.get("/referrals/users/<id:user_id>")
@everybody
def show(user_id: int) -> str:
    with reading() as session:
        return _page(session, user_id, None)


def refused_page(user_id: int, refused: Refused, status: int) -> AnyResponse:
    """Show the page again with the reason at the place of the action; the winner of a race shows on it."""
    with newest() as session:
        return make_response(_page(session, user_id, refused), status)


def _page(session: Session, user_id: int, refused: Refused | None) -> str:
    asked = request.args
    places = Places(
        read_place(asked.get("older"), asked.get("newer"), REFERRAL_KEY),
        read_place(asked.get("invited-before"), asked.get("invited-after"), INVITATION_KEY),
    )
    before = read_id(asked, "before")
    now = runtime().clock()
    user = read_user(
        session,
        user_id,
        cipher=runtime().cipher,
        masked=not current_person().is_support,
        places=places,
        poll_every=timedelta(seconds=runtime().settings.spend_poll_seconds),
        poll_lease=timedelta(seconds=runtime().settings.lease_seconds),
        now=now,
    )
    timeline = read_timeline(session, user, before=before)
    return render_template(
        "referrals/user.html",
        user=user,
        timeline=timeline,
        refused=refused,
        may_act=current_person().is_support,
        links=_links(user, timeline),
        carried=f"?{urlencode(_paging())}" if _paging() else "",
        as_of=now,
    )


def page_address(user_id: int, anchor: str | None, **changed: str | int | None) -> str:
    """Return the address of the page as it was asked for, but for what is `changed`."""
    return url_for("user.show", user_id=user_id, _anchor=anchor, **{**_paging(), **changed})


def _paging() -> dict[str, Any]:
    return {name: request.args[name] for name in _PAGING if name in request.args}


def _links(user: UserView, timeline: Timeline) -> dict[str, str | None]:
    """Return the ways on from the page; each goes on in one list, and leaves the others where they are."""

    def link(anchor: str, names: tuple[str, ...], name: str, key: str | int | None) -> str | None:
        changed = dict.fromkeys((*names, *_TIMELINE)) | {name: key}
        return page_address(user.user_id, anchor, **changed) if key else None

    def first(anchor: str, names: tuple[str, ...]) -> str | None:
        is_first = not any(name in request.args for name in names)
        return None if is_first else page_address(user.user_id, anchor, **dict.fromkeys((*names, *_TIMELINE)))

    brought, invited = user.as_referrer, user.invitations
    return {
        "here": page_address(user.user_id, None),
        "older": link("brought", _REFERRALS, "older", brought.older),
        "newer": link("brought", _REFERRALS, "newer", brought.newer),
        "first": first("brought", _REFERRALS),
        "invited_before": link("invitations", _INVITED, "invited-before", invited.older),
        "invited_after": link("invitations", _INVITED, "invited-after", invited.newer),
        "invited_first": first("invitations", _INVITED),
        "timeline_older": link("timeline-card", _TIMELINE, "before", timeline.older),
        "timeline_newest": first("timeline-card", _TIMELINE),
    }
