"""Referrals whose time is over expire, batch by batch."""

from functools import partial

from sqlalchemy.orm import Session

from jobs.job import Job
from jobs.user_messages import recorder_of
from portal.db import database_now
from portal.referrals.progress.expiry import expire_referrals
from portal.referrals.recorder import Recorder

_BATCH = 500
_IDLE_SECONDS = 1.0


def run(job: Job) -> None:
    """Run until the job stops."""
    while job.turn():
        if not expire_due(job):
            job.stopping.wait(_IDLE_SECONDS)


def expire_due(job: Job) -> int:
    """Expire one batch; return how many referrals there were in it."""
    try:
        expired = job.runtime.transact(partial(_expire, job, recorder_of(job)))
    except Exception as error:  # noqa: BLE001 - an edge: the database is away, and comes back
        job.log.warning("database away", error=str(error))
        return 0
    if expired:
        job.runtime.reached("expiry.after-commit")
    job.count("done", expired)
    return expired


def _expire(job: Job, recorder: Recorder, session: Session) -> int:
    # By the database's clock: this machine's may be a day ahead.
    expired = expire_referrals(session, until=database_now(session), limit=_BATCH, recorder=recorder)
    if expired:
        job.runtime.reached("expiry.before-commit")
    return expired
