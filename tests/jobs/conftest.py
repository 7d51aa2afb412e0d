"""A job's own queues, database and systems, and a job that runs in a thread of the test."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from jobs.job import Job
from portal.runtime import Runtime, build_runtime
from portal.settings import Settings
from sandbox.provision import provision
from tests.clients.settings import settings_for
from tests.sandbox.conftest import order, sandbox, sandbox_server

__all__ = ["order", "sandbox", "sandbox_server"]


@pytest.fixture
def writer_url(migrated_sqlite: Path, tmp_path: Path) -> str:
    """Give a database with the whole schema; tests of what the database decides replace this by both."""
    path = tmp_path / "waybill.db"
    shutil.copyfile(migrated_sqlite, path)
    return f"sqlite:///{path}"


@pytest.fixture
def more_settings() -> dict[str, str]:
    """Give settings that differ from those of all tests of jobs."""
    return {}


@pytest.fixture
def settings(aws_endpoint: str, aws_account: str, writer_url: str, more_settings: dict[str, str]) -> Settings:
    """Give settings of an account that has its queues and buckets, with short waits."""
    short = {"DATABASE_WRITER_URL": writer_url, "VISIBILITY_SECONDS": "1", "MAX_RECEIVES": "3"}
    given = settings_for(aws_endpoint, aws_account, **(short | more_settings))
    provision(given)
    return given


@pytest.fixture
def runtime(settings: Settings) -> Iterator[Runtime]:
    built = build_runtime(settings)
    yield built
    built.database.dispose()


@contextmanager
def running(job: Job, run: Callable[[], object]) -> Iterator[None]:
    """Run a job's loop in a thread until the block ends; it must then stop by itself."""
    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        job.stopping.set()
        thread.join(30)
    assert not thread.is_alive(), "the job did not stop"
