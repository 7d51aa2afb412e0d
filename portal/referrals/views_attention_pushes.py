"""Pushing what needs a person to retry: rewards one by one or all of a cause, and batches of spends."""

from flask import Blueprint, flash, redirect, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from portal.errors import Conflict, NotFound
from portal.referrals.queries_attention import oldest_failed
from portal.referrals.rewards import changes as reward_changes
from portal.referrals.spends import batches as spend_batches
from portal.referrals.views_attention import (
    MOST_PUSHED,
    batches_page,
    failed_page,
    pending_page,
    pushed_ids,
    written_ids,
)
from portal.referrals.views_values import recorder
from portal.web.context import newest, write, writing
from portal.web.permissions import support

blueprint = Blueprint("attention_pushes", __name__)


@blueprint.post("/referrals/attention/rewards/<id:grant_id>/push")
@support
def push_one(grant_id: int) -> AnyResponse:
    is_pending = "reason" in request.args
    try:
        _push(grant_id)
    except Conflict as refused:
        page = pending_page if is_pending else failed_page
        return page({f"grant-{grant_id}": refused.reason}, 409)
    return _follow([grant_id])


@blueprint.post("/referrals/attention/rewards/push")
@support
def push_cause() -> AnyResponse:
    """Push the oldest rewards of a cause, each by itself: one that is refused stops none."""
    code = request.form.get("code", "")
    with newest() as session:
        ids = oldest_failed(session, code, MOST_PUSHED)
    pushed, reasons = [], []
    for grant_id in ids:
        try:
            _push(grant_id)
        except Conflict as refused:
            reasons.append(refused.reason)
        else:
            pushed.append(grant_id)
    if reasons:
        flash(f"{len(reasons)} could not be pushed: {' '.join(dict.fromkeys(reasons))}", "warning")
    if not pushed:
        flash("Nothing was pushed.", "warning")
    return _follow(pushed)


@blueprint.post("/referrals/attention/spends/<id:failed_id>/push")
@support
def push_batch(failed_id: int) -> AnyResponse:
    try:
        write(lambda session: spend_batches.push_batch(session, failed_id, recorder()))
    except NotFound:
        flash("The batch has passed meanwhile: there is nothing to push.", "success")
    except Conflict as refused:
        with writing() as session:
            spend_batches.record_refused_push(session, failed_id, refused.reason, recorder())
        return batches_page({f"batch-{failed_id}": refused.reason}, 409)
    else:
        flash("The push of the batch is requested; it is gone from here when it has passed.", "success")
    return redirect(url_for("attention.show_batches", _anchor=f"batch-{failed_id}"), 303)


def _push(grant_id: int) -> None:
    """Push a reward; a refusal is put on the audit trail, and raised."""
    try:
        write(lambda session: reward_changes.push_reward(session, grant_id, recorder()))
    except Conflict as refused:
        with writing() as session:
            reward_changes.record_refused_push(session, grant_id, refused.reason, recorder())
        raise


def _follow(pushed: list[int]) -> AnyResponse:
    """Lead to what becomes of the pushed rewards, which are no longer where they were."""
    code = request.args.get("code") or None
    ids = written_ids([*pushed_ids(), *pushed][-MOST_PUSHED:]) or None
    return redirect(url_for("attention.show", code=code, pushed=ids, _anchor="pushed"), 303)
