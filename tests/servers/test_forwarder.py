"""The fixed port behaves as the way to a database that fails over."""

from __future__ import annotations

from collections.abc import Iterator

import pymysql
import pytest
from sqlalchemy import create_engine, make_url, text
from sqlalchemy.exc import DBAPIError

from tests.servers import mariadb as mariadbs
from tests.servers.forwarder import Forwarder


@pytest.fixture
def forwarder(mariadb: mariadbs.Cluster) -> Iterator[Forwarder]:
    with Forwarder(mariadb.primary.port) as started:
        yield started


@pytest.fixture
def url(forwarder: Forwarder, mariadb: mariadbs.Cluster, mariadb_database: str) -> str:
    """The writer of a database with one table, `kept(id)`, through the forwarder."""
    mariadb.primary.execute(f"CREATE TABLE `{mariadb_database}`.kept (id INT PRIMARY KEY)")
    direct = make_url(mariadb.writer_url(mariadb_database))
    return direct.set(port=forwarder.port).render_as_string(hide_password=False)


def test_new_connections_go_to_the_new_target_and_open_ones_stay(
    forwarder: Forwarder, url: str, mariadb: mariadbs.Cluster
) -> None:
    engine = create_engine(url)
    mariadb.wait_until_caught_up()
    with engine.connect() as before:
        assert before.scalar(text("SELECT @@server_id")) == 1
        forwarder.point_at(mariadb.replica.port)
        with engine.connect() as after:
            assert after.scalar(text("SELECT @@server_id")) == 2
        assert before.scalar(text("SELECT @@server_id")) == 1
    engine.dispose()


def test_a_cut_breaks_open_connections_and_lets_new_ones_in(forwarder: Forwarder, url: str) -> None:
    engine = create_engine(url)
    with engine.connect() as connection:
        connection.execute(text("SELECT 1"))
        forwarder.cut()
        with pytest.raises(DBAPIError) as lost:
            connection.execute(text("SELECT 1"))
        assert lost.value.connection_invalidated
    with engine.connect() as again:
        assert again.scalar(text("SELECT 1")) == 1
    engine.dispose()


def test_a_commit_whose_answer_is_swallowed_was_done_although_the_client_saw_it_fail(
    forwarder: Forwarder, url: str
) -> None:
    engine = create_engine(url)
    with engine.connect() as connection:
        connection.execute(text("INSERT INTO kept VALUES (1)"))
        forwarder.swallow_answer_to(b"COMMIT")
        with pytest.raises((DBAPIError, pymysql.err.Error)):
            connection.commit()
        assert forwarder.swallowed.wait(5)
        connection.invalidate()
    with engine.connect() as again:
        assert again.scalar(text("SELECT COUNT(*) FROM kept")) == 1
    engine.dispose()
