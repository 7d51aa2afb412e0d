"""A transaction is begun anew where that can help, and a commit that was done is not done twice."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import func, make_url, select, text, update
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError
from sqlalchemy.orm import Session

from portal.access.models import ApiClient
from portal.db import migrate
from portal.runtime import Runtime, build_runtime
from tests.clients.settings import settings_for
from tests.servers import mariadb as mariadbs
from tests.servers.forwarder import Forwarder
from tests.servers.urls import Urls

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


def built(urls: Urls, **more: str) -> Runtime:
    return build_runtime(
        settings_for(
            "http://127.0.0.1:9",
            "1",
            DATABASE_WRITER_URL=urls.writer,
            DATABASE_READER_URL=urls.reader,
            **more,
        )
    )


@pytest.fixture
def on_both(migrated_urls: Urls) -> Iterator[Runtime]:
    runtime = built(Urls(migrated_urls.writer, migrated_urls.writer))
    yield runtime
    runtime.database.dispose()


@pytest.fixture
def forwarder(mariadb: mariadbs.Cluster) -> Iterator[Forwarder]:
    with Forwarder(mariadb.primary.port) as started:
        yield started


@pytest.fixture
def through_forwarder(
    mariadb: mariadbs.Cluster, mariadb_database: str, forwarder: Forwarder
) -> Iterator[Runtime]:
    """Give a runtime on MariaDB whose way to the writer can be cut."""
    migrate(mariadb.writer_url(mariadb_database))
    url = make_url(mariadb.writer_url(mariadb_database)).set(port=forwarder.port)
    address = url.render_as_string(hide_password=False)
    runtime = built(Urls(address, address))
    yield runtime
    runtime.database.dispose()


def client(name: str) -> ApiClient:
    return ApiClient(name=name, key_hash=name.ljust(64, "0"), active=True, created_at=NOW)


def names(session: Session) -> list[str]:
    return list(session.scalars(select(ApiClient.name).order_by(ApiClient.id)))


def add_unless_known(session: Session, name: str) -> str:
    """Decide by what is read in the transaction, as all work in a transaction must."""
    if name in names(session):
        return "known"
    session.add(client(name))
    session.flush()
    return "added"


def test_work_is_committed_and_its_answer_returned(on_both: Runtime) -> None:
    assert on_both.transact(lambda session: add_unless_known(session, "a")) == "added"
    assert on_both.transact(lambda session: add_unless_known(session, "a")) == "known"
    with on_both.reader() as session:
        assert names(session) == ["a"]


def test_an_error_of_ours_ends_the_work_and_leaves_nothing(on_both: Runtime) -> None:
    tries = []

    def work(session: Session) -> None:
        tries.append(add_unless_known(session, "a"))
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        on_both.transact(work)
    assert tries == ["added"]
    with on_both.reader() as session:
        assert names(session) == []


def test_a_duplicate_key_begins_the_work_anew_and_finds_what_was_there_first(on_both: Runtime) -> None:
    tries = []

    def lose_the_race(session: Session) -> str:
        tries.append("try")
        if len(tries) == 1:
            session.add_all([client("a"), client("a")])
            session.flush()
        return add_unless_known(session, "a")

    assert on_both.transact(lose_the_race) == "added"
    assert len(tries) == 2


def test_work_that_fails_each_time_is_given_up_with_its_error(on_both: Runtime) -> None:
    tries = []

    def duplicate(session: Session) -> None:
        tries.append("try")
        session.add_all([client("a"), client("a")])
        session.flush()

    with pytest.raises(IntegrityError):
        on_both.transact(duplicate)
    assert len(tries) == 5


def test_a_statement_that_can_never_pass_is_not_tried_again(on_both: Runtime) -> None:
    tries = []

    def nonsense(session: Session) -> None:
        tries.append("try")
        session.execute(text("INSERT INTO api_client (id, id) VALUES (1, 2)"))

    def too_long(session: Session) -> None:
        tries.append("try")
        session.add(client("x" * 101))
        session.flush()

    with pytest.raises(DBAPIError):
        on_both.transact(nonsense)
    if on_both.database.writer_engine.dialect.name == "sqlite":
        return  # its driver tells a fault of the statement and a lock by the same class of error
    tries.clear()
    with pytest.raises(DBAPIError, match="Data too long"):
        on_both.transact(too_long)
    assert tries == ["try"]


def test_of_two_that_deadlock_both_come_through(through_forwarder: Runtime) -> None:
    runtime = through_forwarder
    for name in ("a", "b"):
        runtime.transact(lambda session, name=name: add_unless_known(session, name))  # type: ignore[misc]
    both_hold_one = threading.Barrier(2)
    tries: list[str] = []

    def rename(first: str, second: str) -> None:
        mine: list[str] = []

        def work(session: Session) -> None:
            mine.append("try")
            for name in (first, second):
                session.execute(update(ApiClient).where(ApiClient.name == name).values(active=False))
                if name == first and len(mine) == 1:
                    both_hold_one.wait(10)

        runtime.transact(work)
        tries.extend(mine)

    threads = [threading.Thread(target=rename, args=pair) for pair in (("a", "b"), ("b", "a"))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(tries) == 3
    with runtime.reader() as session:
        assert session.scalar(select(func.count()).where(ApiClient.active)) == 0


def test_a_connection_that_is_cut_within_the_work_is_replaced(
    through_forwarder: Runtime, forwarder: Forwarder
) -> None:
    tries = []

    def work(session: Session) -> str:
        tries.append("try")
        names(session)
        if len(tries) == 1:
            forwarder.cut()
        return add_unless_known(session, "a")

    assert through_forwarder.transact(work) == "added"
    assert len(tries) == 2


def test_a_commit_whose_answer_was_lost_is_settled_by_reading(
    through_forwarder: Runtime, forwarder: Forwarder
) -> None:
    with through_forwarder.reader() as session:
        assert names(session) == []
    forwarder.swallow_answer_to(b"COMMIT")
    assert through_forwarder.transact(lambda session: add_unless_known(session, "a")) == "known"
    assert forwarder.swallowed.wait(5)
    with through_forwarder.reader() as session:
        assert names(session) == ["a"]


def test_work_on_a_writer_that_was_demoted_passes_on_the_new_one(own_mariadb: mariadbs.Cluster) -> None:
    name = own_mariadb.create_database("waybill")
    migrate(own_mariadb.writer_url(name))
    own_mariadb.wait_until_caught_up()
    with Forwarder(own_mariadb.primary.port) as forwarder:
        url = make_url(own_mariadb.writer_url(name)).set(port=forwarder.port)
        address = url.render_as_string(hide_password=False)
        runtime = built(Urls(address, address))
        runtime.transact(lambda session: add_unless_known(session, "before"))
        own_mariadb.promote()
        forwarder.point_at(own_mariadb.primary.port)
        assert runtime.transact(lambda session: add_unless_known(session, "after")) == "added"
        with runtime.reader() as session:
            assert names(session) == ["before", "after"]
        runtime.database.dispose()


def test_a_database_that_stays_away_is_told_as_such(tmp_path: Path) -> None:
    away = Urls(*["mysql+pymysql://waybill:x@127.0.0.1:9/waybill"] * 2)
    with pytest.raises(OperationalError):
        built(away).transact(names)


def test_nothing_is_connected_before_it_is_used(tmp_path: Path) -> None:
    runtime = built(Urls(*[f"sqlite:///{tmp_path / 'new' / 'waybill.db'}"] * 2))
    assert list((tmp_path / "new").iterdir()) == []
    runtime.database.dispose()


KILLED = """
from tests.test_runtime import built, Urls
runtime = built(Urls("sqlite:///{path}", "sqlite:///{path}"), KILL_AT="{point}")
for number in range(3):
    print(number, flush=True)
    runtime.reached("job.here")
"""


@pytest.mark.parametrize(
    ("point", "passed", "code"),
    [
        ("job.here", "0", -9),
        ("job.here:3", "0 1 2", -9),
        ("job.there", "0 1 2", 0),
    ],
)
def test_a_process_dies_at_the_point_and_the_time_that_it_is_told(
    tmp_path: Path, point: str, passed: str, code: int
) -> None:
    program = KILLED.format(path=tmp_path / "waybill.db", point=point)
    root = Path(__file__).parents[1]
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=root, check=False
    )
    assert (run.stdout.split(), run.returncode) == (passed.split(), code), run.stderr


def test_what_is_secret_is_not_in_the_text_of_the_runtime(on_both: Runtime) -> None:
    runtime = replace(on_both, settings=on_both.settings.model_copy(update={"secret_key": "hunter2" * 5}))
    assert "hunter2" not in repr(runtime)
