"""The established tables are made as the old service has them, and stay as they are where they are."""

from __future__ import annotations

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from portal.db import Database, migrate
from tests.referrals import established
from tests.servers import mariadb as mariadbs


def test_the_established_tables_are_made_as_the_old_service_has_them(
    mariadb: mariadbs.Cluster, mariadb_database: str, migrated_mariadb: str
) -> None:
    old = Database(mariadb.writer_url(mariadb_database), mariadb.writer_url(mariadb_database))
    ours = Database(mariadb.writer_url(migrated_mariadb), mariadb.writer_url(migrated_mariadb))
    with old.writer_engine.begin() as old_connection, ours.writer_engine.begin() as our_connection:
        established.create(old_connection)
        assert established.definition(our_connection) == established.definition(old_connection)
    old.dispose()
    ours.dispose()


def test_established_tables_that_are_there_stay_as_they_are(
    mariadb: mariadbs.Cluster, mariadb_database: str
) -> None:
    url = mariadb.writer_url(mariadb_database)
    database = Database(url, url)
    with database.writer_engine.begin() as connection:
        established.create(connection)
        connection.execute(text("INSERT INTO task_manager VALUES (7, 1, '2020-02-02 02:02:02')"))
        connection.execute(text("ALTER TABLE reward ADD COLUMN colour varchar(9) NOT NULL DEFAULT 'red'"))
        before = established.definition(connection)
    migrate(url)
    with database.writer_engine.begin() as connection:
        assert established.definition(connection) == before
        tasks = connection.execute(text("SELECT id, in_progress, CAST(updated_at AS CHAR) FROM task_manager"))
        assert tasks.all() == [(7, 1, "2020-02-02 02:02:02")]
    database.dispose()


def test_there_is_one_task_from_the_start_and_never_a_second(database: Database) -> None:
    with pytest.raises(DBAPIError, match="Only one task is allowed"), database.writer() as session:
        session.execute(text("INSERT INTO task_manager (in_progress, updated_at) VALUES (0, '2026-01-01')"))
    with database.reader() as session:
        assert session.execute(text("SELECT in_progress FROM task_manager")).all() == [(0,)]
