"""The provider's notices are evidence that a mail went out."""

from __future__ import annotations

from datetime import UTC, datetime

from portal.db import Database
from portal.orders.mail_deliveries import Delivered, message_id_of, record_deliveries

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


def record(database: Database, *deliveries: Delivered) -> int:
    with database.writer() as session:
        return record_deliveries(session, deliveries)


def known(database: Database, key: str) -> str | None:
    with database.writer() as session:
        return message_id_of(session, key)


def test_a_mail_is_known_to_have_gone_out_by_the_key_of_its_effect(database: Database) -> None:
    assert record(database, Delivered("k-1", "m-1", NOW), Delivered("k-2", "m-2", NOW)) == 2
    assert known(database, "k-2") == "m-2"
    assert known(database, "k-3") is None
    assert known(database, "K-2") is None


def test_the_first_notice_of_a_mail_counts_and_all_others_are_told_as_not_new(database: Database) -> None:
    twice = [Delivered("k-1", "m-1", NOW), Delivered("k-1", "m-9", NOW), Delivered("k-2", "m-2", NOW)]
    assert record(database, *twice) == 2
    assert record(database, *twice, Delivered("k-3", "m-3", NOW)) == 1
    assert (known(database, "k-1"), known(database, "k-3")) == ("m-1", "m-3")


def test_no_notices_are_nothing(database: Database) -> None:
    assert record(database) == 0
