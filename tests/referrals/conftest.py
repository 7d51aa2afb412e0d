"""A database with one active scheme, on SQLite and on MariaDB."""

from __future__ import annotations

import base64

import pytest

from portal.crypto import DataCipher
from portal.db import Database
from tests.referrals.scenes import Scene, scheme


@pytest.fixture
def scene(database: Database) -> Scene:
    """Give a scheme with sign-up, verification and spend, without limit or budget."""
    with database.writer() as session:
        scheme_id = scheme(session)
    return Scene(database, scheme_id, DataCipher(base64.b64encode(bytes(32)).decode()))
