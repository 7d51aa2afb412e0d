"""One owner at a time polls, as the row of `task_manager` and the database's clock decide."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import select, update
from sqlalchemy.exc import OperationalError

from portal.db import Database, database_now
from portal.referrals.models import PollTask
from portal.referrals.progress.models import PollRun
from portal.referrals.spends import polls
from portal.referrals.spends.polls import Fenced, Ownership
from tests.servers.waiting import wait_until

EVERY, LEASE = timedelta(minutes=2), timedelta(seconds=30)


def take(database: Database, token: str, every: timedelta = EVERY) -> Ownership | None:
    with database.writer() as session:
        return polls.take(session, owner="host:1", token=token, every=every, lease=LEASE)


def took(database: Database, token: str) -> Ownership:
    ownership = take(database, token)
    assert ownership is not None
    return ownership


def give_up(database: Database, ownership: Ownership, *, complete: bool = True) -> None:
    with database.writer() as session:
        polls.give_up(session, ownership, complete=complete)


def fall_silent(database: Database, seconds: float) -> None:
    """Let the owner have been heard of last so long ago."""
    with database.writer() as session:
        at = database_now(session) - timedelta(seconds=seconds)
        session.execute(update(PollTask).values(in_progress=True, updated_at=at))


def task(database: Database) -> PollTask:
    with database.writer() as session:
        return session.scalars(select(PollTask)).one()


def test_while_one_polls_no_other_does(database: Database) -> None:
    took(database, "first")
    assert task(database).in_progress
    assert take(database, "second", every=timedelta(0)) is None


def test_a_poll_that_is_taken_again_after_a_lost_commit_is_the_same(database: Database) -> None:
    ownership = took(database, "first")
    assert took(database, "first") == ownership
    with database.writer() as session:
        assert len(session.scalars(select(PollRun)).all()) == 1


def test_the_next_run_begins_when_its_time_has_come(database: Database) -> None:
    give_up(database, took(database, "first"))
    assert not task(database).in_progress
    assert take(database, "second") is None
    with database.writer() as session:
        session.execute(update(PollRun).values(started_at=database_now(session) - EVERY))
    assert take(database, "second") is not None


def test_a_run_that_was_cut_short_is_followed_at_once(database: Database) -> None:
    give_up(database, took(database, "first"), complete=False)
    assert take(database, "second") is not None


def test_an_owner_that_is_silent_for_less_than_its_lease_keeps_the_poll(database: Database) -> None:
    took(database, "first")
    fall_silent(database, LEASE.total_seconds() - 1)
    assert take(database, "second") is None


def test_an_owner_that_was_replaced_may_not_write(database: Database) -> None:
    stale = took(database, "first")
    fall_silent(database, LEASE.total_seconds() + 2)
    owner = took(database, "second")
    assert owner.poll_run_id != stale.poll_run_id
    for write in (polls.hold, lambda session, ownership: polls.give_up(session, ownership, complete=True)):
        with pytest.raises(Fenced), database.writer() as session:
            write(session, stale)
    with database.writer() as session:
        polls.hold(session, owner)
    assert task(database).in_progress


def test_an_owner_that_nobody_replaced_goes_on_after_its_lease(database: Database) -> None:
    ownership = took(database, "first")
    fall_silent(database, 3600)
    with database.writer() as session:
        now = polls.hold(session, ownership)
    assert task(database).updated_at == now.replace(microsecond=0)
    assert take(database, "second") is None


@pytest.mark.parametrize("migrated_urls", [pytest.param("mariadb", marks=pytest.mark.mariadb)], indirect=True)
def test_an_owner_that_falls_asleep_in_a_transaction_is_replaced_all_the_same(database: Database) -> None:
    asleep = replace(took(database, "first"), lease=timedelta(seconds=1))
    fall_silent(database, 3600)

    def sleep_in_a_transaction() -> None:
        with database.writer() as session:
            polls.hold(session, asleep)
            assert take(database, "second") is None
            wait_until(lambda: take(database, "second") is not None, 20, "the server ends the transaction")
            session.execute(select(1))

    with pytest.raises(OperationalError):
        sleep_in_a_transaction()
    with pytest.raises(Fenced), database.writer() as session:
        polls.hold(session, asleep)
