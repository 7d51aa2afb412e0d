"""What tests of orders stand on."""

from __future__ import annotations

import pytest

from portal.db import Database
from tests.orders.scenes import Scene


@pytest.fixture
def scene(database: Database) -> Scene:
    """Give a database in which orders can be brought to any place, on SQLite and on MariaDB."""
    return Scene(database)
