"""The page of a user's progress: why they are rewarded or not, and whom they invited."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from flask import Blueprint, make_response, render_template, request, url_for
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response as AnyResponse

from portal.keyset import read_place
from portal.referrals.queries_progress import (
    INVITATION_KEY,
    REFERRAL_KEY,
    Places,
    UserView,
    read_timeline,
    read_user,
)
from portal.web.context import current_person, newest, reading, runtime
from portal.web.permissions import everybody

blueprint = Blueprint("user", __name__)


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
    before = asked.get("before", type=int)
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
    return render_template(
        "referrals/user.html",
        user=user,
        timeline=read_timeline(session, user, before=before),
        before=before,
        places=places,
        refused=refused,
        may_act=current_person().is_support,
        links=_links(user),
        as_of=now,
    )


def _links(user: UserView) -> dict[str, str | None]:
    def link(anchor: str, name: str, key: str | None) -> str | None:
        values: dict[str, Any] = {name: key}
        return url_for("user.show", user_id=user.user_id, _anchor=anchor, **values) if key else None

    brought, invited = user.as_referrer, user.invitations
    return {
        "older": link("brought", "older", brought.older),
        "newer": link("brought", "newer", brought.newer),
        "invited_before": link("invitations", "invited-before", invited.older),
        "invited_after": link("invitations", "invited-after", invited.newer),
    }
