"""The one search box: straight to the thing when there is one, else a list over all domains."""

from typing import Any

from flask import Blueprint, make_response, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from portal.orders.queries import FoundMessage, FoundOrder
from portal.pasted import MOST_PASTED
from portal.referrals.queries import FoundUser
from portal.search.queries import Found, Thing, search
from portal.web.context import current_person, reading, runtime
from portal.web.permissions import everybody

blueprint = Blueprint("search", __name__)

# What the box lets through: more is cut off by the browser, without a word.
LONGEST_TEXT = 4000


@blueprint.get("/search")
@everybody
def show() -> AnyResponse:
    text = request.args.get("q", "")
    found, refused = Found([], [], [], {}), None
    try:
        with reading() as session:
            found = search(session, text, cipher=runtime().cipher, masked=not current_person().is_support)
    except ValueError as error:
        refused = str(error)
    if found.only is not None:
        return redirect(_address(found.only.thing), 303)
    page = render_template(
        "search/search.html",
        found=found,
        refused=refused,
        address_of=_address,
        search_text=text,
        is_full=len(text) >= LONGEST_TEXT,
        most_pasted=MOST_PASTED,
        as_of=runtime().clock(),
    )
    return make_response(page, 422 if refused else 200)


def _address(thing: Thing) -> str:
    """Return where a thing is shown: in a list that pages by key, right at its top."""
    if isinstance(thing, FoundOrder):
        return url_for("order.show", number=thing.number)
    if isinstance(thing, FoundUser):
        return url_for("user.show", user_id=thing.user_id)
    if isinstance(thing, FoundMessage):
        view = "passed" if thing.is_passed else None
        return url_for("waiting.show", show=view, older=thing.id + 1, _anchor=f"message-{thing.id}")
    place, anchor = {"invited-before": str(thing.id + 1)}, f"invitation-{thing.id}"
    if thing.referral_id is not None:
        place, anchor = {"older": str(thing.referral_id + 1)}, f"referral-{thing.referral_id}"
    values: dict[str, Any] = {"user_id": thing.referrer_user_id, **place}
    return url_for("user.show", _anchor=anchor, **values)
