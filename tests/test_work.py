"""Work in the database is claimed by one worker at a time, and outlives its workers."""

from __future__ import annotations

import threading
import uuid
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import product

import pytest
from sqlalchemy import func, select, text, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from portal import work
from portal.db import Database, database_now
from portal.work import Claimed, Moved, New, Work
from tests.servers import mariadb as mariadbs
from tests.servers.waiting import wait_until

LEASE = timedelta(minutes=1)
LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)


def enqueue(database: Database, references: Iterable[int], lane: str = "", kind: str = "order") -> None:
    with database.writer() as session:
        due_at = database_now(session)
        work.enqueue(session, kind, [New(reference, lane) for reference in references], due_at)


def claim(
    database: Database,
    limit: int = 50,
    *,
    lease: timedelta = LEASE,
    lane: str | None = None,
    without: tuple[str, ...] = (),
    kind: str = "order",
) -> list[Claimed]:
    with database.writer() as session:
        return work.claim(
            session,
            kind,
            limit=limit,
            lease=lease,
            token=str(uuid.uuid4()),
            lane=lane,
            without_lanes=without,
        )


def owned(database: Database, claims: list[Claimed]) -> set[int]:
    with database.writer() as session:
        return work.still_owned(session, claims)


def move(database: Database, *moves: Moved) -> None:
    with database.writer() as session:
        work.move_on(session, moves)


def make_due(database: Database) -> None:
    """Let all leases and waits run out."""
    with database.writer() as session:
        session.execute(update(Work).values(due_at=LONG_AGO))


def references(claims: list[Claimed]) -> list[int]:
    return sorted(claimed.reference for claimed in claims)


def test_due_work_is_claimed_once_and_comes_with_its_reference_and_lane(database: Database) -> None:
    enqueue(database, [7], "eom")
    (claimed,) = claim(database)
    assert (claimed.reference, claimed.lane, claimed.attempt, claimed.interrupted) == (7, "eom", 1, False)
    assert claim(database) == []
    assert owned(database, [claimed]) == {claimed.id}


def test_work_of_another_kind_is_not_claimed(database: Database) -> None:
    enqueue(database, [1], kind="waiting-push")
    assert claim(database) == []
    assert references(claim(database, kind="waiting-push")) == [1]


def test_the_same_work_is_not_enqueued_twice(database: Database) -> None:
    enqueue(database, [1])
    with pytest.raises(IntegrityError):
        enqueue(database, [2, 1])
    enqueue(database, [1], kind="waiting-push")
    assert references(claim(database)) == [1]


def test_no_work_is_no_statement(database: Database) -> None:
    enqueue(database, [])
    with database.writer() as session:
        work.move_on(session, [])
        work.finish(session, [])
        assert session.scalar(select(func.count()).select_from(Work)) == 0


def test_no_more_is_claimed_than_asked_for_and_the_longest_due_comes_first(database: Database) -> None:
    enqueue(database, range(6))
    with database.writer() as session:
        for reference, minute in enumerate((3, 1, 5, 0, 4, 2)):
            due_at = LONG_AGO + timedelta(minutes=minute)
            session.execute(update(Work).where(Work.reference == reference).values(due_at=due_at))
    assert [claimed.reference for claimed in claim(database, 3)] == [3, 1, 5]
    assert [claimed.reference for claimed in claim(database, 9)] == [0, 4, 2]


def test_the_lane_whose_work_is_due_for_longest_is_served_first(database: Database) -> None:
    enqueue(database, [1, 2], "eom")
    enqueue(database, [3, 4], "pos")
    with database.writer() as session:
        for reference, minute in ((3, 0), (1, 1), (2, 2), (4, 3)):
            due_at = LONG_AGO + timedelta(minutes=minute)
            session.execute(update(Work).where(Work.reference == reference).values(due_at=due_at))
    assert references(claim(database, 1)) == [3]
    assert references(claim(database, 1)) == [1]
    assert references(claim(database, 9)) == [2, 4]


def test_work_that_is_due_later_is_left_alone(database: Database) -> None:
    with database.writer() as session:
        work.enqueue(session, "order", [New(1)], database_now(session) + timedelta(minutes=1))
    assert claim(database) == []


def test_lanes_are_left_alone_with_their_attempts(database: Database) -> None:
    for first, lane in enumerate(("", "eom", "mail", "pos")):
        enqueue(database, [first], lane)
    assert references(claim(database, without=("eom", "mail"))) == [0, 3]
    assert claim(database, without=("eom", "mail")) == []
    (trial,) = claim(database, lane="mail")
    assert (trial.reference, trial.attempt) == (2, 1)
    assert claim(database, lane="mail") == []
    assert [(left.reference, left.attempt) for left in claim(database)] == [(1, 1)]


def test_work_whose_lease_has_run_out_goes_to_another_who_is_told_so(database: Database) -> None:
    enqueue(database, [1])
    (first,) = claim(database, lease=timedelta(milliseconds=1))
    (second,) = wait_until(lambda: claim(database), 10, "the lease runs out")
    assert (second.id, second.attempt, second.interrupted) == (first.id, 2, True)
    assert second.token != first.token
    assert owned(database, [first, second]) == {second.id}
    assert owned(database, [first]) == set()


def test_a_lease_that_ran_out_is_still_ours_until_somebody_takes_it(database: Database) -> None:
    enqueue(database, [1])
    claimed = claim(database)
    make_due(database)
    assert owned(database, claimed) == {claimed[0].id}


def test_a_lease_ends_by_the_clock_of_the_database(database: Database) -> None:
    enqueue(database, [1])
    with database.writer() as session:
        before = database_now(session)
    claim(database, lease=timedelta(seconds=90))
    with database.writer() as session:
        after, until = database_now(session), session.scalars(select(Work.due_at)).one()
    assert before + timedelta(seconds=90) <= until <= after + timedelta(seconds=90)


def test_work_that_moved_on_is_no_longer_owned_by_its_old_lease(database: Database) -> None:
    enqueue(database, [1], "eom")
    (claimed,) = claim(database)
    move(database, Moved(claimed.id, "pos", 1, LONG_AGO + LEASE, token="next"))
    assert owned(database, [claimed]) == set()
    mine = Claimed(claimed.id, 1, "pos", 1, "next")
    assert owned(database, [mine]) == {claimed.id}


def test_work_that_waits_for_its_next_attempt_keeps_count(database: Database) -> None:
    enqueue(database, [1], "eom")
    (first,) = claim(database)
    move(database, Moved(first.id, "eom", first.attempt, LONG_AGO))
    (second,) = claim(database)
    assert (second.attempt, second.interrupted) == (2, False)
    assert owned(database, [first]) == set()


def test_work_that_goes_on_in_another_lane_counts_anew(database: Database) -> None:
    enqueue(database, [1], "eom")
    (first,) = claim(database)
    move(database, Moved(first.id, "pos", 0, LONG_AGO))
    assert claim(database, lane="eom") == []
    (second,) = claim(database, lane="pos")
    assert (second.attempt, second.interrupted) == (1, False)


def test_finished_work_is_gone(database: Database) -> None:
    enqueue(database, [1, 2])
    first, second = claim(database)
    with database.writer() as session:
        work.finish(session, [first.id])
    make_due(database)
    assert references(claim(database)) == [second.reference]


def test_claimers_at_once_share_nothing_and_leave_nothing_of_ten_thousand_rows(database: Database) -> None:
    for lane in ("eom", "pos"):
        start = 0 if lane == "eom" else 5_000
        enqueue(database, range(start, start + 5_000), lane)
    taken: Counter[int] = Counter()
    barrier = threading.Barrier(4)

    def take() -> list[int]:
        barrier.wait()
        mine: list[int] = []
        while claims := claim(database, 200):
            with database.writer() as session:
                still_mine = work.still_owned(session, claims)
                assert len(still_mine) == len(claims)
                work.finish(session, sorted(still_mine))
            mine += [claimed.reference for claimed in claims]
        return mine

    with ThreadPoolExecutor(4) as pool:
        # A deadlock among them would be raised here.
        for worker in [pool.submit(take) for _ in range(4)]:
            taken.update(worker.result(120))
    taken.update(claimed.reference for claimed in claim(database, 10_000))
    assert taken == Counter(range(10_000))


@pytest.fixture
def on_mariadb(mariadb: mariadbs.Cluster, migrated_mariadb: str, mariadb_database: str) -> Database:
    """Give a database of this test's own on MariaDB: SQLite has no locks of rows."""
    name = mariadb.copy_database(migrated_mariadb, f"{mariadb_database}_rows")
    url = mariadb.writer_url(name)
    return Database(url, url)


def test_rows_that_another_is_claiming_are_skipped_and_not_waited_for(on_mariadb: Database) -> None:
    enqueue(on_mariadb, [1, 2])
    with on_mariadb.writer() as session:
        first = work.claim(session, "order", limit=1, lease=LEASE, token="first")
        second = claim(on_mariadb, 9)
    assert {one.reference for one in first} | {one.reference for one in second} == {1, 2}
    assert len(first) == len(second) == 1
    on_mariadb.dispose()


def test_a_claim_does_not_hold_up_who_enqueues(on_mariadb: Database) -> None:
    """Under READ COMMITTED a claim locks the rows that it takes, and not the gaps around them."""
    enqueue(on_mariadb, [10, 21, 30], "eom")
    with on_mariadb.writer() as session:
        assert work.claim(session, "order", limit=2, lease=LEASE, token="first")
        with on_mariadb.writer() as other:
            other.execute(text("SET innodb_lock_wait_timeout=1"))
            now = database_now(other)
            places = product((LONG_AGO, now, now + LEASE), ("", "eom", "pos"))
            for reference, (due_at, lane) in enumerate(places, start=11):
                work.enqueue(other, "order", [New(reference, lane)], due_at)
    on_mariadb.dispose()


def test_work_of_a_lane_that_is_left_alone_is_not_read_past(on_mariadb: Database) -> None:
    enqueue(on_mariadb, range(10_000), "tax-documents")
    enqueue(on_mariadb, range(10_000, 10_050), "eom")
    with on_mariadb.writer() as session:
        session.execute(text("ANALYZE TABLE work"))
    with on_mariadb.writer() as session:
        before = rows_read(session)
        left_alone = {"tax-documents"}
        assert (
            len(work.claim(session, "order", limit=9, lease=LEASE, token="a", without_lanes=left_alone)) == 9
        )
        assert rows_read(session) - before < 200
    on_mariadb.dispose()


def rows_read(session: Session) -> int:
    """Give how many rows the server has read for this connection."""
    status = session.execute(text("SHOW SESSION STATUS LIKE 'Handler_read%'"))
    return sum(int(count) for _, count in status)


def test_work_of_a_lane_left_alone_gives_up_after_its_patience_and_no_sooner(database: Database) -> None:
    with database.writer() as session:
        now = database_now(session)
        impatient, patient = New(1, "pos", timedelta(0)), New(2, "pos", timedelta(hours=1))
        work.enqueue(session, "order", [impatient, patient, New(3, "pos"), New(4, "eom", timedelta(0))], now)

    assert references(claim_impatient(database, "pos")) == [1]
    assert claim_impatient(database, "pos") == []


def test_work_under_a_lease_does_not_give_up(database: Database) -> None:
    with database.writer() as session:
        work.enqueue(session, "order", [New(1, "pos", timedelta(0))], database_now(session))
    (held,) = claim(database, lane="pos")

    assert held.gives_up_at is not None
    assert claim_impatient(database, "pos") == []


def test_work_that_comes_again_keeps_its_patience(database: Database) -> None:
    with database.writer() as session:
        work.enqueue(session, "order", [New(1, "pos", timedelta(0))], database_now(session))
    (held,) = claim(database, lane="pos")
    later = held.gives_up_at
    assert later is not None
    move(database, Moved(held.id, "pos", 1, later + timedelta(hours=1), gives_up_at=later))

    assert references(claim_impatient(database, "pos")) == [1]


def claim_impatient(database: Database, lane: str) -> list[Claimed]:
    with database.writer() as session:
        token = str(uuid.uuid4())
        return work.claim_impatient(session, "order", lane, limit=50, lease=LEASE, token=token)


def withdraw(database: Database, reference: int) -> bool:
    with database.writer() as session:
        return work.withdraw(session, "order", reference)


def test_work_that_nobody_has_begun_can_be_withdrawn(database: Database) -> None:
    enqueue(database, [1, 2])
    enqueue(database, [1], kind="mail")
    assert [withdraw(database, 1), withdraw(database, 1)] == [True, False]
    assert references(claim(database)) == [2]
    assert references(claim(database, kind="mail")) == [1]


def test_work_that_somebody_has_begun_cannot_be_withdrawn(database: Database) -> None:
    enqueue(database, [1, 2, 3])
    waiting, kept, _ = claim(database)
    later = datetime.now(UTC) + LEASE
    move(database, Moved(waiting.id, "", 1, later), Moved(kept.id, "", 0, later, kept.token))
    assert [withdraw(database, reference) for reference in (1, 2, 3)] == [False] * 3


def call_for(database: Database, reference: int) -> None:
    with database.writer() as session:
        work.call_for(session, "order", New(reference, "eom"), database_now(session))


def test_work_that_is_called_for_twice_is_there_once(database: Database) -> None:
    for _ in range(2):
        call_for(database, 1)
    (claimed,) = claim(database)
    assert (claimed.reference, claimed.lane, claimed.attempt) == (1, "eom", 1)


def test_work_that_is_called_for_while_somebody_does_it_is_due_again_and_not_theirs_to_end(
    database: Database,
) -> None:
    enqueue(database, [1, 2], "eom")
    claims = claim(database)
    call_for(database, 1)
    assert owned(database, claims) == {one.id for one in claims if one.reference == 2}
    assert references(claim(database)) == [1]


@pytest.mark.parametrize("migrated_urls", ["mariadb"], indirect=True)
def test_who_withdraws_work_and_who_ends_it_do_not_wait_for_each_other(
    database: Database, mariadb: mariadbs.Cluster
) -> None:
    enqueue(database, [1])
    (claimed,) = claim(database)
    name = database.writer_engine.url.database
    with ThreadPoolExecutor(1) as pool, database.writer() as session:
        assert work.still_owned(session, [claimed])
        withdrawing = pool.submit(withdraw, database, 1)
        wait_until(lambda: mariadb.has_waiting(name), 10, "nobody withdraws")
        work.finish(session, [claimed.id])
    assert withdrawing.result(30) is False
