"""A database with one active scheme, on SQLite and on MariaDB, and one of the old service."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Iterator

import pytest

from portal.crypto import DataCipher
from portal.db import Database
from tests.referrals import established
from tests.referrals.scenes import Scene, scheme
from tests.servers import mariadb as mariadbs


@pytest.fixture
def scene(database: Database) -> Scene:
    """Give a scheme with sign-up, verification and spend, without limit or budget."""
    with database.writer() as session:
        scheme_id = scheme(session)
    return Scene(database, scheme_id, DataCipher(base64.b64encode(bytes(32)).decode()))


@pytest.fixture(scope="session")
def old_server() -> Iterator[mariadbs.Cluster]:
    """Give a server of the age of the old service, whose first timestamps update themselves."""
    if missing := mariadbs.missing():
        pytest.skip(missing)
    options = ("--explicit-defaults-for-timestamp=OFF", "--sql-mode=")
    cluster = mariadbs.Cluster.start(mariadbs.Tuning(flush_log_at_commit=0, options=options))
    yield cluster
    cluster.remove()


@pytest.fixture
def old(old_server: mariadbs.Cluster) -> Iterator[Database]:
    """Give a filled database of the old service."""
    name = old_server.create_database(f"old_{secrets.token_hex(4)}")
    database = Database(old_server.writer_url(name), old_server.writer_url(name))
    with database.writer_engine.begin() as connection:
        established.create(connection)
        established.fill(connection)
    yield database
    database.dispose()
    old_server.drop_database(name)
