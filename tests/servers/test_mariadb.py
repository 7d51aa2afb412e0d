"""The floor itself: a primary and a replica that behave as the tests above it expect."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.exc import DBAPIError

from tests.servers import mariadb as mariadbs
from tests.servers.urls import Urls
from tests.servers.waiting import wait_until

FAMILY = (
    "CREATE TABLE parent (id INT PRIMARY KEY)",
    "CREATE TABLE child (id INT PRIMARY KEY, up INT, FOREIGN KEY (up) REFERENCES parent (id))",
    """
    CREATE TRIGGER only_one BEFORE INSERT ON parent
    FOR EACH ROW IF NEW.id > 1 THEN SIGNAL SQLSTATE '45000'; END IF
    """,
    "INSERT INTO parent VALUES (1)",
    "INSERT INTO child VALUES (1, 1)",
)


@pytest.fixture
def database(own_mariadb: mariadbs.Cluster) -> str:
    """A database of one table, `kept(id)`, that the replica has too."""
    name = own_mariadb.create_database("test_own")
    own_mariadb.primary.execute(f"CREATE TABLE `{name}`.kept (id INT PRIMARY KEY)")
    own_mariadb.wait_until_caught_up()
    return name


def keep(engine: Engine, number: int) -> None:
    with engine.begin() as connection:
        connection.execute(text("INSERT INTO kept VALUES (:number)"), {"number": number})


def kept(url: str) -> list[int]:
    with create_engine(url).connect() as connection:
        return list(connection.scalars(text("SELECT id FROM kept ORDER BY id")))


def test_what_the_primary_commits_reaches_the_replica(own_mariadb: mariadbs.Cluster, database: str) -> None:
    keep(create_engine(own_mariadb.writer_url(database)), 1)
    own_mariadb.wait_until_caught_up()
    assert kept(own_mariadb.reader_url(database)) == [1]


def test_a_write_to_the_replica_is_refused_as_read_only(own_mariadb: mariadbs.Cluster, database: str) -> None:
    with pytest.raises(DBAPIError) as refused:
        keep(create_engine(own_mariadb.reader_url(database)), 1)
    assert refused.value.orig is not None
    assert refused.value.orig.args[0] == 1290


def test_a_lagging_replica_shows_the_past_until_it_is_told_to_catch_up(
    own_mariadb: mariadbs.Cluster, database: str
) -> None:
    own_mariadb.lag(60)
    keep(create_engine(own_mariadb.writer_url(database)), 1)
    with pytest.raises(mariadbs.MariaDBError):
        own_mariadb.wait_until_caught_up(0.5)
    assert kept(own_mariadb.reader_url(database)) == []
    own_mariadb.lag(0)
    own_mariadb.wait_until_caught_up()
    assert kept(own_mariadb.reader_url(database)) == [1]


def test_after_a_failover_the_old_connection_is_refused_and_the_new_primary_takes_writes(
    own_mariadb: mariadbs.Cluster, database: str
) -> None:
    before = create_engine(own_mariadb.writer_url(database))
    keep(before, 1)
    own_mariadb.promote()
    with pytest.raises(DBAPIError) as refused:
        keep(before, 2)
    assert refused.value.orig is not None
    assert refused.value.orig.args[0] == 1290
    keep(create_engine(own_mariadb.writer_url(database)), 3)
    own_mariadb.wait_until_caught_up()
    assert kept(own_mariadb.reader_url(database)) == [1, 3]


def test_a_commit_survives_the_kill_of_the_primary_and_replication_goes_on(
    own_mariadb: mariadbs.Cluster, database: str
) -> None:
    keep(create_engine(own_mariadb.writer_url(database)), 1)
    own_mariadb.kill_primary()
    assert not own_mariadb.primary.alive()
    own_mariadb.restart_primary()
    keep(create_engine(own_mariadb.writer_url(database)), 2)
    own_mariadb.wait_until_caught_up()
    assert kept(own_mariadb.reader_url(database)) == [1, 2]


def test_the_shared_cluster_cannot_be_disturbed(mariadb: mariadbs.Cluster) -> None:
    for disturb in (mariadb.promote, mariadb.kill_primary, mariadb.restart_primary, lambda: mariadb.lag(1)):
        with pytest.raises(mariadbs.MariaDBError, match="own_mariadb"):
            disturb()


def test_a_copied_database_has_the_tables_rows_keys_and_triggers_of_its_source(
    mariadb: mariadbs.Cluster, mariadb_database: str
) -> None:
    with create_engine(mariadb.writer_url(mariadb_database)).begin() as connection:
        for statement in FAMILY:
            connection.execute(text(statement))
    copy = mariadb.copy_database(mariadb_database, f"{mariadb_database}_copy")
    engine = create_engine(mariadb.writer_url(copy))
    with engine.connect() as connection:
        assert connection.execute(text("SELECT * FROM child")).all() == [(1, 1)]
    for refused in ("INSERT INTO parent VALUES (2)", "DELETE FROM parent"):
        with pytest.raises(DBAPIError), engine.begin() as connection:
            connection.execute(text(refused))
    mariadb.drop_database(copy)


def test_a_database_can_be_dropped_although_a_transaction_still_holds_it(mariadb: mariadbs.Cluster) -> None:
    name = mariadb.create_database("test_held")
    mariadb.primary.execute(f"CREATE TABLE `{name}`.kept (id INT PRIMARY KEY)")
    holder = create_engine(mariadb.writer_url(name)).connect()
    holder.execute(text("SELECT * FROM kept"))
    mariadb.drop_database(name)
    holder.invalidate()
    holder.close()
    assert not mariadb.primary.execute(f"SHOW DATABASES LIKE '{name}'")


def test_a_migrated_database_is_the_tests_own(migrated_urls: Urls) -> None:
    engine = create_engine(migrated_urls.writer)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE only_here (id INT PRIMARY KEY)"))
    engine.dispose()


def test_a_wait_in_vain_says_what_it_waited_for() -> None:
    with pytest.raises(AssertionError, match="the order is completed"):
        wait_until(lambda: False, 0.05, "the order is completed")
