"""What clients of the API ask is counted in the database, over all processes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select

from portal.access import service, usage
from portal.access.models import ApiUsage
from portal.db import Database
from portal.errors import TooManyRequests
from portal.events import Actor

NOW = datetime(2026, 11, 20, 12, 0, 20, tzinfo=UTC)
KEY = "k" * 64


@pytest.fixture(autouse=True)
def shop(database: Database) -> None:
    with database.writer() as session:
        service.create_api_client(
            session, name="shop", key_hash=KEY, actor=Actor("person", "shell:operator"), now=NOW
        )


def ask(database: Database, at: datetime = NOW) -> str | None:
    with database.writer() as session:
        client = usage.admit_client(session, KEY, most=3, now=at)
        return client.name if client else None


def test_a_client_is_admitted_until_its_minute_is_used_up(database: Database) -> None:
    assert [ask(database) for _ in range(3)] == ["shop"] * 3
    with pytest.raises(TooManyRequests) as refused:
        ask(database)
    assert refused.value.retry_after == 40
    assert ask(database, NOW + timedelta(seconds=40)) == "shop"


def test_who_has_no_known_key_is_not_counted(database: Database) -> None:
    with database.writer() as session:
        assert usage.admit_client(session, "x" * 64, most=3, now=NOW) is None
        assert session.scalars(select(ApiUsage)).all() == []


def test_old_counts_are_removed(database: Database) -> None:
    ask(database)
    ask(database, NOW + timedelta(hours=2))
    with database.writer() as session:
        assert [row.requests for row in session.scalars(select(ApiUsage))] == [1]
