"""What support staff do about a user's referrals: review, push, adjust, send again."""

from collections.abc import Callable
from decimal import Decimal

from flask import Blueprint, flash, redirect, request
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response as AnyResponse

from portal.errors import Conflict, InvalidInput
from portal.referrals.invitations import corrections
from portal.referrals.progress import review
from portal.referrals.progress.views import Refused, page_address, refused_page
from portal.referrals.rewards import changes as reward_changes
from portal.referrals.schemes.proposals import AMOUNT
from portal.referrals.views_values import post, recorder
from portal.web.context import actor, runtime, write, writing
from portal.web.permissions import support

blueprint = Blueprint("user_actions", __name__)
_REVIEWS = {
    "approve": (review.approve, "The referral is approved."),
    "deny": (review.deny, "The referral is denied."),
    "reopen": (review.reopen, "The referral is to be reviewed again."),
}


@blueprint.post(
    "/referrals/users/<id:user_id>/referrals/<id:referral_id>/<any(approve,deny,reopen):decision>"
)
@support
def decide(user_id: int, referral_id: int, decision: str) -> AnyResponse:
    decided, said = _REVIEWS[decision]
    reason = request.form.get("reason", "")
    return _do(
        user_id,
        f"review-{referral_id}",
        said,
        lambda session: decided(session, referral_id, reason, recorder()),
    )


@blueprint.post("/referrals/users/<id:user_id>/grants/<id:grant_id>/push")
@support
def push(user_id: int, grant_id: int) -> AnyResponse:
    return _do(
        user_id,
        f"grant-{grant_id}",
        "The push of the reward is requested; what becomes of it is shown here.",
        lambda session: reward_changes.push_reward(session, grant_id, recorder()),
        lambda session, why: reward_changes.record_refused_push(session, grant_id, why, recorder()),
    )


@blueprint.post("/referrals/users/<id:user_id>/grants/<id:grant_id>/adjust")
@support
def adjust(user_id: int, grant_id: int) -> AnyResponse:
    reason, written = request.form.get("reason", ""), request.form.get("amount", "")
    return _do(
        user_id,
        f"grant-{grant_id}",
        "The amount of the reward is changed.",
        lambda session: reward_changes.adjust_reward(session, grant_id, _amount(written), reason, recorder()),
    )


@blueprint.post("/referrals/users/<id:user_id>/grants/<id:grant_id>/cancel")
@support
def cancel(user_id: int, grant_id: int) -> AnyResponse:
    reason = request.form.get("reason", "")
    return _do(
        user_id,
        f"grant-{grant_id}",
        "The reward is cancelled.",
        lambda session: reward_changes.cancel_reward(session, grant_id, reason, recorder()),
    )


@blueprint.post("/referrals/users/<id:user_id>/invitations/<id:invitation_id>/send-again")
@support
def send_again(user_id: int, invitation_id: int) -> AnyResponse:
    address, now = request.form.get("address", "").strip() or None, runtime().clock()
    return _do(
        user_id,
        f"invitation-{invitation_id}",
        "The invitation is on its way again, with a new link.",
        lambda session: corrections.send_again(
            session, invitation_id, address, post(), actor=actor(), now=now
        ),
    )


def _do(
    user_id: int,
    place: str,
    said: str,
    act: Callable[[Session], object],
    record_refusal: Callable[[Session, str], object] | None = None,
) -> AnyResponse:
    """Act in one transaction, and lead back to the place; a refusal is told there.

    With `record_refusal`, also who was too late is put on record, by a transaction of its own.
    """
    try:
        write(act)
    except (Conflict, InvalidInput) as refused:
        if isinstance(refused, Conflict) and record_refusal is not None:
            with writing() as session:
                record_refusal(session, refused.reason)
        status = 422 if isinstance(refused, InvalidInput) else 409
        return refused_page(user_id, Refused(place, refused.reason, request.form.to_dict()), status)
    flash(said, "success")
    return redirect(page_address(user_id, place), 303)


def _amount(written: str) -> Decimal:
    if not AMOUNT.fullmatch(written.strip()):
        raise InvalidInput("Enter an amount such as 12.50.", field="amount")
    return Decimal(written.strip())
