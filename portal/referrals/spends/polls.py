"""Who polls: one owner at a time of the row of `task_manager`, and the runs that owners make.

An owner holds the row under a lease that every batch renews. Everything that a poll writes is written in a
transaction that begins with `hold`: it locks the row and compares the token, so an owner that was thought
dead, and replaced, writes nothing when it goes on. Times are those of the database, to the second.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil

from sqlalchemy import CursorResult, select, text, update
from sqlalchemy.orm import Session

from portal.db import database_now
from portal.referrals.models import PollTask
from portal.referrals.progress.models import PollOwner, PollRun

# The row's time has no fractions: it may seem older than it is by up to this.
_ROUNDED_OFF = timedelta(seconds=1)


class Fenced(Exception):
    """Say that somebody else has taken over: nothing more may be written."""


@dataclass(frozen=True, slots=True)
class Ownership:
    """The right to write for one poll, as long as nobody else has taken over."""

    task_id: int
    token: str
    poll_run_id: int
    lease: timedelta


def take(session: Session, *, owner: str, token: str, every: timedelta, lease: timedelta) -> Ownership | None:
    """Begin a run when one is due, or when the owner of the last one has died; else return None.

    A run is due `every` so long after the last one began, and at once when that one was cut short.
    """
    _end_with_lease(session, lease)
    # Whoever holds the row just now is alive: there is nothing to wait for.
    task_id = session.scalar(select(PollTask.id).with_for_update(skip_locked=True))
    if task_id is None:
        return None
    now = database_now(session)
    known = session.get(PollOwner, task_id, populate_existing=True)
    if known is not None and known.token == token and known.poll_run_id is not None:
        # Taken by this token already: the answer to its commit was lost.
        return Ownership(task_id, token, known.poll_run_id, lease)
    if not _is_due(session, known, now - every):
        return None
    if not _seize(session, task_id, now, silent_since=now - lease - _ROUNDED_OFF):
        return None
    run = PollRun(owner=owner, started_at=now, users=0, batches=0, failed_batches=0, met=0)
    session.add(run)
    session.flush()
    if known is None:
        known = PollOwner(task_id=task_id)
        session.add(known)
    known.token, known.poll_run_id = token, run.id
    session.flush()
    return Ownership(task_id, token, run.id, lease)


def hold(session: Session, ownership: Ownership) -> datetime:
    """Renew the lease, and keep others out until the transaction ends; return the database's time.

    Raises Fenced when another owner has taken over.
    """
    _end_with_lease(session, ownership.lease)
    session.execute(select(PollTask.id).where(PollTask.id == ownership.task_id).with_for_update())
    owners = select(PollOwner.token).where(PollOwner.task_id == ownership.task_id).with_for_update()
    if session.scalar(owners) != ownership.token:
        raise Fenced("Another poller has taken over.")
    now = database_now(session)
    _set_task(session, ownership.task_id, in_progress=True, now=now)
    return now


def count(session: Session, poll_run_id: int, **numbers: int) -> None:
    """Add to the counts of a run: users, batches, failed_batches, met."""
    added = {getattr(PollRun, name): getattr(PollRun, name) + number for name, number in numbers.items()}
    session.execute(
        update(PollRun).where(PollRun.id == poll_run_id).values(added),
        execution_options={"synchronize_session": False},
    )


def give_up(session: Session, ownership: Ownership, *, complete: bool) -> None:
    """End the ownership; a run that is not `complete` has no end, and the next one begins at once."""
    now = hold(session, ownership)
    _set_task(session, ownership.task_id, in_progress=False, now=now)
    if complete:
        session.execute(
            update(PollRun).where(PollRun.id == ownership.poll_run_id).values(ended_at=now),
            execution_options={"synchronize_session": False},
        )


def _end_with_lease(session: Session, lease: timedelta) -> None:
    """Let the server end this transaction when nothing is heard of it for a lease.

    A process that is stopped in the midst of it would hold the row for as long as it sleeps, and nobody
    could take over. SQLite knows nothing of the kind: its lock is the file's.
    """
    if session.get_bind().dialect.name == "mysql":
        # Of MariaDB and MySQL alike; the pool replaces connections that were ended while nobody used them.
        told, seconds = session.connection().info, ceil(lease.total_seconds())
        if told.get("wait_timeout") != seconds:
            session.execute(text("SET SESSION wait_timeout = :seconds"), {"seconds": seconds})
            told["wait_timeout"] = seconds


def _is_due(session: Session, known: PollOwner | None, last_start: datetime) -> bool:
    if known is None or known.poll_run_id is None:
        return True
    run = session.get(PollRun, known.poll_run_id, populate_existing=True)
    return run is None or run.ended_at is None or run.started_at <= last_start


def _seize(session: Session, task_id: int, now: datetime, silent_since: datetime) -> bool:
    """Take the row if nobody has it, or its owner has not been heard of for too long."""
    taken = session.execute(
        update(PollTask)
        .where(
            PollTask.id == task_id,
            PollTask.in_progress.is_(False) | (PollTask.updated_at <= silent_since),
        )
        .values(in_progress=True, updated_at=now),
        execution_options={"synchronize_session": False},
    )
    return isinstance(taken, CursorResult) and taken.rowcount == 1


def _set_task(session: Session, task_id: int, *, in_progress: bool, now: datetime) -> None:
    session.execute(
        update(PollTask).where(PollTask.id == task_id).values(in_progress=in_progress, updated_at=now),
        execution_options={"synchronize_session": False},
    )
