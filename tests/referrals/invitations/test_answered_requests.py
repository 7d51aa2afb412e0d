"""Answers are kept for as long as somebody may ask again, and forgotten in small parts."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import select

from portal.db import Database
from portal.referrals.invitations.answered_requests import forget_answers, keep_answer
from portal.referrals.invitations.models import AnsweredRequest
from tests.referrals.inviting import NOW

DAY = timedelta(days=1)


def keep(database: Database, client_id: int, key: str, days_ago: int) -> None:
    with database.writer() as session:
        keep_answer(session, client_id, key, "hash", {"results": []}, NOW - days_ago * DAY)


def kept(database: Database) -> list[tuple[int, str]]:
    with database.writer() as session:
        rows = select(AnsweredRequest.client_id, AnsweredRequest.key)
        return sorted((row.client_id, row.key) for row in session.execute(rows))


def forget(database: Database, limit: int) -> int:
    with database.writer() as session:
        return forget_answers(session, NOW - 30 * DAY, limit)


def test_the_oldest_are_forgotten_first_and_young_ones_stay(database: Database) -> None:
    for client_id, key, days_ago in ((1, "a", 40), (2, "a", 50), (2, "b", 31), (1, "b", 29)):
        keep(database, client_id, key, days_ago)
    assert forget(database, 2) == 2
    assert kept(database) == [(1, "b"), (2, "b")]
    assert (forget(database, 2), forget(database, 2)) == (1, 0)
    assert kept(database) == [(1, "b")]
