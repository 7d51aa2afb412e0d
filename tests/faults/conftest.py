"""The whole backbone for tests that break it: database, emulator, stand-ins, and jobs that can be killed."""

from __future__ import annotations

import base64
import os
import secrets
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from portal.runtime import Runtime, build_runtime
from portal.settings import load_settings
from sandbox.backbone import Backbone
from sandbox.child import Child
from tests.servers.forwarder import Forwarder
from tests.servers.mariadb import Cluster

StartJobs = Callable[..., Child]


@pytest.fixture
def database() -> str:
    """Give the kind of database; tests in which it matters name theirs by a parameter."""
    return "sqlite"


@pytest.fixture
def writer_url(request: pytest.FixtureRequest, database: str, tmp_path: Path) -> Iterator[str]:
    """Give a database with the whole schema."""
    if database == "sqlite":
        path = tmp_path / "waybill.db"
        shutil.copyfile(request.getfixturevalue("migrated_sqlite"), path)
        yield f"sqlite:///{path}"
        return
    cluster: Cluster = request.getfixturevalue("mariadb")
    template: str = request.getfixturevalue("migrated_mariadb")
    name = cluster.copy_database(template, f"test_{secrets.token_hex(8)}")
    yield cluster.writer_url(name)
    cluster.drop_database(name)


@pytest.fixture
def forwarder(mariadb: Cluster) -> Iterator[Forwarder]:
    """Give a way to the run's MariaDB that can be cut, or lose an answer."""
    with Forwarder(mariadb.primary.port) as started:
        yield started


@pytest.fixture
def more_settings() -> dict[str, str]:
    """Give settings that differ from those of all tests of faults."""
    return {}


@pytest.fixture
def backbone(
    writer_url: str, aws_endpoint: str, aws_account: str, more_settings: dict[str, str], tmp_path: Path
) -> Iterator[Backbone]:
    """Give a backbone of this test's own; its jobs are not started."""
    environment = os.environ | {
        "DATABASE_WRITER_URL": writer_url,
        "SECRET_KEY": secrets.token_hex(32),
        "DATA_KEY": base64.b64encode(secrets.token_bytes(32)).decode(),
        "AWS_ACCESS_KEY_ID": aws_account,
        "AWS_SECRET_ACCESS_KEY": "test",
        "ORDERS_BUCKET": f"orders-in-{aws_account}",
        "ORIGINALS_BUCKET": f"order-originals-{aws_account}",
        "LEASE_SECONDS": "5",
        "VISIBILITY_SECONDS": "2",
        "CALL_DEADLINE_SECONDS": "2",
        "HEARTBEAT_SECONDS": "1",
    }
    whole = Backbone(tmp_path, aws_endpoint, environment | more_settings)
    try:
        whole.wait_ready()
        whole.prepare()
        yield whole
    finally:
        whole.stop()


@pytest.fixture
def runtime(backbone: Backbone) -> Iterator[Runtime]:
    """Give a runtime on the backbone, for looking at what became of things."""
    built = build_runtime(load_settings(backbone.environment))
    yield built
    built.database.dispose()


@pytest.fixture
def start_jobs(backbone: Backbone) -> Iterator[StartJobs]:
    """Start jobs by their names; those that still run at the end of the test are stopped."""
    started: list[Child] = []

    def start(*names: str, **settings: str) -> Child:
        started.append(backbone.start_jobs(*names, **settings))
        return started[-1]

    yield start
    for child in started:
        if child.alive():
            # All at once; and one that a test has stopped by SIGSTOP would not hear of its end.
            os.kill(child.pid, signal.SIGCONT)
            os.kill(child.pid, signal.SIGTERM)
    for child in started:
        child.stop()
