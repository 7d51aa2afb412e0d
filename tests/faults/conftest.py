"""The whole backbone for tests that break it: database, emulator, stand-ins, and jobs that can be killed."""

from __future__ import annotations

import base64
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from portal.runtime import Runtime, build_runtime
from portal.settings import load_settings
from sandbox.backbone import Backbone
from tests.servers.urls import Urls


@pytest.fixture
def backbone(migrated_urls: Urls, aws_endpoint: str, aws_account: str, tmp_path: Path) -> Iterator[Backbone]:
    """Give a backbone of this test's own, once on SQLite and once on MariaDB; its jobs are not started."""
    environment = os.environ | {
        "DATABASE_WRITER_URL": migrated_urls.writer,
        "SECRET_KEY": secrets.token_hex(32),
        "DATA_KEY": base64.b64encode(secrets.token_bytes(32)).decode(),
        "AWS_ACCESS_KEY_ID": aws_account,
        "AWS_SECRET_ACCESS_KEY": "test",
        "ORDERS_BUCKET": f"orders-in-{aws_account}",
        "ORIGINALS_BUCKET": f"order-originals-{aws_account}",
        "LEASE_SECONDS": "2",
        "VISIBILITY_SECONDS": "2",
        "CALL_DEADLINE_SECONDS": "2",
        "HEARTBEAT_SECONDS": "1",
    }
    whole = Backbone(tmp_path, aws_endpoint, environment)
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
