"""What tests of orders stand on."""

from __future__ import annotations

import pytest

from portal.db import Database
from portal.runtime import Runtime
from tests.orders.scenes import Scene
from tests.sandbox.conftest import sandbox, sandbox_server

__all__ = ["sandbox", "sandbox_server", "scene"]


@pytest.fixture
def scene(database: Database) -> Scene:
    """Give a database in which orders can be brought to any place, on SQLite and on MariaDB."""
    return Scene(database)


@pytest.fixture
def shown(runtime: Runtime) -> Scene:
    """Give the same within the portal's own database, to look at it by its pages."""
    return Scene(runtime.database, runtime.cipher, runtime.definitions, runtime.clock())
