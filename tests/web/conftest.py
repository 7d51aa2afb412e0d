"""The portal on SQLite alone: what is tested here does not differ by database."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from portal.settings import Settings
from tests.servers.urls import Urls
from tests.web.portal import settings_for


@pytest.fixture
def portal_settings(migrated_sqlite: Path, tmp_path: Path) -> Settings:
    """Give the portal's settings, on SQLite."""
    url = f"sqlite:///{shutil.copyfile(migrated_sqlite, tmp_path / 'waybill.db')}"
    return settings_for(Urls(url, url))
