"""Experiments are counted, user by user in batches, so that no page has to wait for it."""

from collections import Counter
from datetime import timedelta
from functools import partial

from sqlalchemy.orm import Session

from jobs.job import Job
from portal.db import database_now
from portal.referrals.experiments.counts import (
    OFFERED,
    WITHHELD,
    Count,
    Figures,
    count_batch,
    keep_figures,
    take_count,
)

_IDLE_SECONDS = 2.0
# How long messages of before the end of an experiment have to come, until it is counted for the last time.
_LATE = timedelta(minutes=15)


def run(job: Job) -> None:
    """Run until the job stops."""
    while job.turn():
        if not count_due(job):
            job.stopping.wait(_IDLE_SECONDS)


def count_due(job: Job) -> bool:
    """Count an experiment that is due; return whether there was one."""
    try:
        count = job.runtime.transact(_take)
        if count is None:
            return False
        figures = _count(job, count)
        if figures is not None:
            job.runtime.transact(partial(keep_figures, count=count, figures=figures))
            job.count("done")
    except Exception as error:  # noqa: BLE001 - an edge: the database is away, and comes back
        job.log.warning("database away", error=str(error))
        return False
    return True


def _take(session: Session) -> Count | None:
    # By the database's clock: this machine's may be a day ahead, and the last count would come too early.
    return take_count(session, now=database_now(session), late=_LATE)


def _count(job: Job, count: Count) -> Figures | None:
    """Count batch by batch, each by itself; None when the job is to stop, and another counts it later."""
    figures: Figures = {OFFERED: Counter(), WITHHELD: Counter()}
    last: int | None = -1
    while last is not None:
        if not job.turn():
            return None
        # What the last count misses stays missing: it lags behind nothing.
        with job.runtime.newest() if count.is_last else job.runtime.reader() as session:
            last, found = count_batch(session, count, last)
        for side, numbers in found.items():
            figures[side].update(numbers)
    return figures
