"""The batches of a poll: the walk over all open referrals, and the batches that failed on it.

A batch that failed is kept by the range of its ids, and belongs to its retries from then on: polls pass it
over. Of a batch whose answer can be read but for a few users, only their referrals fail, each alone. Out of
retries it is an exception that a person may push; and once in each poll it is asked again by itself, so
that hundreds of them mend themselves when a service that was away for long is back.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import NamedTuple

from sqlalchemy import exists, select
from sqlalchemy.orm import Session

from portal import events, work
from portal.db import database_now
from portal.errors import Conflict, NotFound, Upstream, WaybillError
from portal.events import NewEvent
from portal.referrals.progress.models import FailedBatch
from portal.referrals.recorder import Recorder
from portal.referrals.spends.service import Batch, read_open
from portal.work import Claimed, Moved, Work

WORK_KIND = "spend-batch"
LANE = "spend"
SUBJECT = "spend-batch"
# Seconds before each retry.
RETRY = (5.0, 30.0, 120.0, 600.0, 3600.0)

# Where no amount can be read of more users than this, the batch fails as a whole: it is no matter of a user.
MOST_UNREADABLE = 20


class FailedRange(NamedTuple):
    """Where a failed batch lies; `is_retried` tells whether it is in the hands of its retries."""

    id: int
    first_id: int
    last_id: int
    is_retried: bool


class Found(NamedTuple):
    """A batch to ask for; `failed_id` names the exception that it is, if it is one."""

    batch: Batch
    failed_id: int | None

    @property
    def is_nothing(self) -> bool:
        """Tell that there was nobody to ask for where the walk is now."""
        return not self.batch.referrals and self.failed_id is None


class Walk:
    """One walk over the open referrals by their ids, from `failed` range to failed range."""

    def __init__(self, condition_id: int, size: int, failed: Sequence[FailedRange]) -> None:
        self._condition_id = condition_id
        self._size = size
        self._failed = list(reversed(failed))
        self._after = 0

    def next(self, session: Session) -> Found | None:
        """Read on; None at the end. Each turn is short, also where there is nobody to ask for."""
        now = database_now(session)
        before = self._failed[-1].first_id if self._failed else None
        batch = read_open(
            session, self._condition_id, now=now, after=self._after, before=before, limit=self._size
        )
        if batch.last_id is not None:
            self._after = batch.last_id
            return Found(batch, None)
        if not self._failed:
            return None
        failed = self._failed.pop()
        self._after = failed.last_id
        return Found(batch, None) if failed.is_retried else Found(self._read(session, failed), failed.id)

    def _read(self, session: Session, failed: FailedRange) -> Batch:
        return read_range(session, self._condition_id, failed.first_id, failed.last_id)


def read_range(session: Session, condition_id: int, first_id: int, last_id: int) -> Batch:
    """Read what is still open of a batch that failed."""
    return read_open(
        session,
        condition_id,
        now=database_now(session),
        after=first_id - 1,
        before=last_id + 1,
        limit=last_id - first_id + 1,
    )


def failed_ranges(session: Session) -> list[FailedRange]:
    """Return the batches that failed and did not pass since, in the order of their ids."""
    retried = exists().where(Work.kind == WORK_KIND, Work.reference == FailedBatch.id)
    rows = select(FailedBatch.id, FailedBatch.first_referral_id, FailedBatch.last_referral_id, retried)
    return [FailedRange._make(row) for row in session.execute(rows.order_by(FailedBatch.first_referral_id))]


def keep_failure(
    session: Session, poll_run_id: int, batch: Batch, error: WaybillError, recorder: Recorder
) -> None:
    """Keep a batch that failed in a poll, to be retried; a commit that was lost keeps it once."""
    first_id, last_id = batch.referrals[0].referral_id, batch.referrals[-1].referral_id
    known = select(FailedBatch.id).where(
        FailedBatch.poll_run_id == poll_run_id,
        FailedBatch.first_referral_id == first_id,
        FailedBatch.last_referral_id == last_id,
    )
    if session.scalar(known) is not None:
        return
    now = database_now(session)
    failed = FailedBatch(
        poll_run_id=poll_run_id,
        first_referral_id=first_id,
        last_referral_id=last_id,
        attempts=1,
        code=error.code,
        reason=error.reason,
        at=now,
    )
    session.add(failed)
    session.flush()
    due_at = now + timedelta(seconds=RETRY[0])
    work.enqueue(session, WORK_KIND, [work.New(failed.id, LANE)], due_at)
    _tell(session, failed, "spend-batch.failed", recorder, next_at=due_at.isoformat())


def keep_unreadable(
    session: Session, poll_run_id: int, batch: Batch, unreadable: Mapping[int, str], recorder: Recorder
) -> int:
    """Keep each referral alone of whose user no amount can be read; return how many that are.

    The others of the batch are not held up by them.
    """
    alone = [one for one in batch.referrals if one.user_id in unreadable]
    for one in alone:
        error = _unreadable({one.user_id: unreadable[one.user_id]})
        keep_failure(session, poll_run_id, replace(batch, referrals=[one]), error, recorder)
    return len(alone)


def fails_as_a_whole(batch: Batch, unreadable: Mapping[int, str]) -> Upstream | None:
    """Return why a batch fails of which no amount can be read of too many users, or of all."""
    is_whole = len(unreadable) > MOST_UNREADABLE or len(unreadable) == len(batch.user_ids)
    return _unreadable(unreadable) if unreadable and is_whole else None


def _unreadable(unreadable: Mapping[int, str]) -> Upstream:
    (user_id, said), others = next(iter(unreadable.items())), len(unreadable) - 1
    also = f", and so of {others} others" if others else ""
    # The service is up: it is not for the breaker, although the batch is asked for again like any other.
    return Upstream(
        f"The spend service says of user {user_id} what is no amount: {said}{also}.",
        code="spend-unreadable",
        retryable=False,
    )


def keep_failure_of_exception(session: Session, failed_id: int, error: WaybillError) -> None:
    """Keep that an exception failed once more in a poll; that is no news for anybody."""
    failed = session.get(FailedBatch, failed_id, with_for_update=True, populate_existing=True)
    if failed is not None:
        _note(session, failed, error)


def keep_failed_retry(session: Session, claimed: Claimed, error: WaybillError, recorder: Recorder) -> None:
    """Keep that a retry failed: the next one waits longer, and after the last one it is an exception."""
    failed = session.get(FailedBatch, claimed.reference, with_for_update=True, populate_existing=True)
    if failed is None:
        work.finish(session, [claimed.id])
        return
    _note(session, failed, error)
    if claimed.attempt < len(RETRY):
        due_at = database_now(session) + timedelta(seconds=RETRY[claimed.attempt])
        work.move_on(session, [Moved(claimed.id, claimed.lane, claimed.attempt, due_at)])
        _tell(session, failed, "spend-batch.retried", recorder, next_at=due_at.isoformat())
        return
    work.finish(session, [claimed.id])
    _tell(session, failed, "spend-batch.given-up", recorder)


def keep_passed(session: Session, failed_id: int, recorder: Recorder) -> None:
    """Forget a batch that passed at last, but for its events."""
    failed = session.get(FailedBatch, failed_id, with_for_update=True, populate_existing=True)
    if failed is None:
        return
    _tell(session, failed, "spend-batch.passed", recorder)
    session.delete(failed)
    # Somebody may have pushed it while it was asked for.
    work.withdraw(session, WORK_KIND, failed_id)
    session.flush()


def push_batch(session: Session, failed_id: int, recorder: Recorder) -> None:
    """Let a batch that is out of retries be tried again at once.

    Raises NotFound when it passed meanwhile, and Conflict when it is being retried already.
    """
    failed = session.get(FailedBatch, failed_id, with_for_update=True, populate_existing=True)
    if failed is None:
        raise NotFound("There is no such batch, or it has passed.")
    of_batch = select(Work.id).where(Work.kind == WORK_KIND, Work.reference == failed_id)
    if session.scalar(of_batch) is not None:
        raise Conflict("The batch is being retried already.", code="already-retried")
    work.enqueue(session, WORK_KIND, [work.New(failed_id, LANE)], database_now(session))
    _tell(session, failed, "spend-batch.push-requested", recorder)


def record_refused_push(session: Session, failed_id: int, reason: str, recorder: Recorder) -> None:
    """Put on the audit trail that somebody pushed too late, or what could not be pushed."""
    refused = NewEvent(
        SUBJECT, failed_id, "spend-batch.push-refused", recorder.actor, recorder.now, {"reason": reason}
    )
    events.record(session, refused)


def _note(session: Session, failed: FailedBatch, error: WaybillError) -> None:
    failed.attempts += 1
    failed.code, failed.reason, failed.at = error.code, error.reason, database_now(session)
    session.flush()


def _tell(session: Session, failed: FailedBatch, kind: str, recorder: Recorder, **more: str) -> None:
    data = {
        "poll_run_id": failed.poll_run_id,
        "first_referral_id": failed.first_referral_id,
        "last_referral_id": failed.last_referral_id,
        "attempts": failed.attempts,
        "code": failed.code,
        "reason": failed.reason,
    }
    events.record(session, NewEvent(SUBJECT, failed.id, kind, recorder.actor, recorder.now, data | more))
