"""Both databases keep the same schema, times and keys, and survive a failover of the writer."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import inspect, make_url, select, text
from sqlalchemy.exc import IntegrityError, OperationalError, ProgrammingError, StatementError
from sqlalchemy.orm import Session

from portal import models
from portal.access.models import ApiClient, Person
from portal.db import Base, Database, database_now, migrate, patient_writer
from portal.metrics.models import MetricMinute
from tests.servers import mariadb as mariadbs
from tests.servers.forwarder import Forwarder
from tests.servers.urls import Urls

NOW = datetime(2026, 11, 20, 12, 0, 0, 123456, UTC)
ROOT = Path(__file__).parents[1]


def tables_of(url: str) -> set[str]:
    database = Database(url, url)
    try:
        return set(inspect(database.writer_engine).get_table_names())
    finally:
        database.dispose()


def test_migrations_make_all_tables_from_nothing_and_do_nothing_the_second_time(database_url: str) -> None:
    migrate(database_url)
    expected = {*Base.metadata.tables, "alembic_version"}
    assert tables_of(database_url) == expected
    migrate(database_url)
    assert tables_of(database_url) == expected


def test_two_processes_that_migrate_at_once_do_it_one_after_the_other(database_url: str) -> None:
    program = "import sys; from portal.db import migrate; sys.stdin.read(1); migrate(sys.argv[1])"
    command = [sys.executable, "-c", program, database_url]
    both = [subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT) for _ in "ab"]
    for process in both:
        assert process.stdin is not None
        process.stdin.write(b"go")
        process.stdin.flush()
    told = [process.communicate(timeout=120)[1].decode() for process in both]
    assert [process.returncode for process in both] == [0, 0], "\n".join(told)
    assert tables_of(database_url) == {*Base.metadata.tables, "alembic_version"}


def test_models_and_migrations_agree(database: Database) -> None:
    assert models.__all__
    with database.writer_engine.connect() as connection:
        differences = compare_metadata(MigrationContext.configure(connection), Base.metadata)
    assert not differences


def test_the_audit_chain_has_its_head_from_the_start(database: Database) -> None:
    with database.reader() as session:
        assert session.execute(text("SELECT id, sequence FROM audit_head")).all() == [(1, 0)]


def metric(minute: datetime, label: str = "") -> MetricMinute:
    return MetricMinute(name="m", label=label, minute=minute, count=1, total=1.0, maximum=1.0)


def test_a_time_without_a_zone_is_refused(database: Database) -> None:
    naive = NOW.replace(tzinfo=None)
    with pytest.raises(StatementError, match="without a zone"), database.writer() as session:
        session.add(metric(naive))


def test_a_time_comes_back_in_utc_to_the_microsecond(database: Database) -> None:
    with database.writer() as session:
        session.add(metric(NOW.astimezone(timezone(timedelta(hours=-3)))))
    with database.reader() as session:
        kept = session.scalars(select(MetricMinute.minute)).one()
    assert (kept, kept.utcoffset()) == (NOW, timedelta(0))


def test_the_clock_of_the_database_is_aware_and_goes_on(database: Database) -> None:
    with database.writer() as session:
        first, second = database_now(session), database_now(session)
    assert first.utcoffset() == timedelta(0)
    assert first <= second
    assert abs(first - datetime.now(UTC)) < timedelta(minutes=5)


@pytest.mark.parametrize(("one", "other"), [("josé", "jose"), ("A-1", "a-1"), ("ß", "ss"), ("ﬁ", "fi")])
def test_keys_compare_letter_by_letter(database: Database, one: str, other: str) -> None:
    with database.writer() as session:
        session.add_all([metric(NOW, one), metric(NOW, other)])
    with database.reader() as session:
        found = session.scalars(select(MetricMinute.label).where(MetricMinute.label == other)).all()
    assert found == [other]


def client(name: str = "kiosks") -> ApiClient:
    return ApiClient(name=name, key_hash=name.ljust(64, "0"), active=True, created_at=NOW)


def test_a_transaction_that_fails_leaves_nothing(database: Database) -> None:
    def write() -> None:
        with database.writer() as session:
            session.add(client("first"))
            session.flush()
            session.add_all([client("twice"), client("twice")])

    with pytest.raises(IntegrityError):
        write()
    with database.reader() as session:
        assert session.scalars(select(ApiClient.name)).all() == []


def test_values_are_not_in_the_errors_of_the_database(database: Database) -> None:
    with database.writer() as session:
        session.add(client())
    with pytest.raises(IntegrityError) as refused, database.writer() as session:
        session.add(ApiClient(name="other", key_hash=client().key_hash, active=True, created_at=NOW))
    assert "[parameters:" not in str(refused.value)
    assert "2026" not in str(refused.value)


def test_the_reader_of_sqlite_writes_nothing(migrated_sqlite: Path) -> None:
    url = f"sqlite:///{migrated_sqlite}"
    database = Database(url, url)
    with database.reader() as session:
        session.add(client())
        with pytest.raises(OperationalError, match="readonly"):
            session.flush()
    database.dispose()


@pytest.fixture
def on_mariadb(mariadb: mariadbs.Cluster, migrated_mariadb: str) -> Database:
    """Give a database for questions to the server: nothing is written."""
    return Database(mariadb.writer_url(migrated_mariadb), mariadb.reader_url(migrated_mariadb))


def test_sessions_are_read_committed_strict_and_in_utc(on_mariadb: Database) -> None:
    question = text("SELECT @@tx_isolation, @@time_zone, @@sql_mode LIKE '%STRICT_ALL_TABLES%'")
    for given in (on_mariadb.writer, on_mariadb.reader):
        with given() as session:
            assert session.execute(question).one() == ("READ-COMMITTED", "+00:00", 1)
    on_mariadb.dispose()


def test_a_patient_writer_has_no_limit_for_an_answer_and_is_otherwise_like_the_others(
    mariadb: mariadbs.Cluster, mariadb_database: str
) -> None:
    url = mariadb.writer_url(mariadb_database)
    with patient_writer(url) as session:
        connection = session.connection().connection.driver_connection
        assert (connection._read_timeout, connection._write_timeout) == (None, None)  # type: ignore[union-attr]
        assert session.scalar(text("SELECT @@tx_isolation")) == "READ-COMMITTED"
        session.execute(text("CREATE TABLE told (id int)"))
        session.execute(text("INSERT INTO told VALUES (1)"))

    def fail() -> None:
        with patient_writer(url) as session:
            session.execute(text("INSERT INTO told VALUES (2)"))
            session.execute(text("INSERT INTO nowhere VALUES (2)"))

    with pytest.raises(ProgrammingError):
        fail()
    with patient_writer(url) as session:
        assert session.execute(text("SELECT id FROM told")).all() == [(1,)]


def test_a_change_that_others_commit_is_seen_within_a_transaction(database: Database) -> None:
    if database.writer_engine.dialect.name == "sqlite":
        return  # one writer at a time: nobody else can commit meanwhile
    with database.writer() as session:
        assert session.scalars(select(ApiClient.name)).all() == []
        with database.writer() as other:
            other.add(client())
        assert session.scalars(select(ApiClient.name)).all() == ["kiosks"]


@pytest.fixture
def moving(own_mariadb: mariadbs.Cluster) -> Urls:
    """Give the addresses of a migrated database on a cluster of this test's own."""
    name = own_mariadb.create_database("waybill")
    migrate(own_mariadb.writer_url(name))
    own_mariadb.wait_until_caught_up()
    return Urls(own_mariadb.writer_url(name), own_mariadb.reader_url(name))


def add_person(session: Session, login: str) -> None:
    session.add(
        Person(login=login, name=login, role="support", password_hash="-", active=True, created_at=NOW)
    )


def test_connections_to_a_writer_that_was_demoted_are_thrown_away(
    own_mariadb: mariadbs.Cluster, moving: Urls
) -> None:
    with Forwarder(own_mariadb.primary.port) as forwarder:
        url = make_url(moving.writer).set(port=forwarder.port).render_as_string(hide_password=False)
        database = Database(url, url, pool_size=3)
        sessions = [Session(database.writer_engine) for _ in range(3)]
        servers = {session.execute(text("SELECT @@server_id")).scalar_one() for session in sessions}
        for session in sessions:
            session.close()
        assert database.writer_engine.pool.checkedin() == 3  # type: ignore[attr-defined]

        own_mariadb.promote()
        forwarder.point_at(own_mariadb.primary.port)

        with pytest.raises(OperationalError) as refused, database.writer() as session:
            add_person(session, "ana")
        assert refused.value.orig is not None
        assert refused.value.orig.args[0] == 1290
        assert refused.value.connection_invalidated
        with database.writer() as session:
            assert session.execute(text("SELECT @@server_id")).scalar_one() not in servers
            add_person(session, "ana")
        database.dispose()


def test_a_question_is_asked_again_on_a_new_connection_when_its_own_was_lost(
    mariadb: mariadbs.Cluster, migrated_mariadb: str
) -> None:
    database = Database(mariadb.writer_url(migrated_mariadb), mariadb.reader_url(migrated_mariadb))
    who = text("SELECT CONNECTION_ID(), @@server_id, @@autocommit, @@time_zone, :given")
    ((first, server, autocommit, zone, given),) = database.ask(who, {"given": "é"})
    assert (server, autocommit, zone, given) == (2, 1, "+00:00", "é")
    assert database.ask(who, {"given": 1})[0][0] == first
    mariadb.replica.execute(f"KILL {first}")
    ((second, *_),) = database.ask(who, {"given": 1})
    assert second != first
    with pytest.raises(ProgrammingError):
        database.ask(text("SELECT nothing FROM nowhere"), {})
    database.dispose()


def test_a_question_sees_what_was_committed_since_the_last(database: Database) -> None:
    counted = text("SELECT COUNT(*) FROM api_client WHERE name = :name")
    assert database.ask(counted, {"name": "kiosks"}) == [(0,)]
    with database.writer() as session:
        session.add(client())
    assert database.ask(counted, {"name": "kiosks"}) == [(1,)]


def test_what_is_too_long_is_refused_whatever_the_mode_of_the_server(
    own_mariadb: mariadbs.Cluster, moving: Urls
) -> None:
    own_mariadb.primary.execute("SET GLOBAL sql_mode=''")
    database = Database(moving.writer, moving.writer)
    with pytest.raises(StatementError, match="Data too long"), database.writer() as session:
        add_person(session, "a" * 300)
    database.dispose()
