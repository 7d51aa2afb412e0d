"""Keys of pages go through an address and back, and what is none is refused."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from sqlalchemy import select

from portal.db import Database
from portal.errors import InvalidInput
from portal.keyset import Place, newest_of_each, read_place, write_key
from portal.referrals.progress.models import KnownUser

AT = datetime(2026, 11, 20, 12, 0, 0, 123456, UTC)


@pytest.mark.parametrize(
    ("key", "kinds"),
    [((AT, 7), (datetime, int)), ((7, "Task_With_Underscores"), (int, str)), ((9,), (int,))],
)
def test_a_key_is_read_as_it_was_written(key: tuple, kinds: tuple[type, ...]) -> None:
    assert read_place(write_key(key), None, kinds) == Place("older", key)
    assert read_place(None, write_key(key), kinds) == Place("newer", key)


def test_an_address_without_a_key_begins_at_the_first_page() -> None:
    assert read_place(None, "", (int,)) is None


@pytest.mark.parametrize(
    "written", ["x", "_", "2026_1", "20261120T120000123456", "20261120T120000123456_x", "-1", "1" * 30, "١"]
)
def test_what_is_no_key_is_refused_with_the_field_that_holds_it(written: str) -> None:
    for kinds in ((datetime, int), (int,)):
        with pytest.raises(InvalidInput) as refused:
            read_place(None, written, kinds)
        assert refused.value.field == "newer"


@pytest.mark.parametrize("most", [1, 2, 3, 50])
def test_the_newest_of_each_value_are_found_however_many_the_others_have(
    database: Database, most: int
) -> None:
    numbers = {"a": 1, "b": 7, "c": 0, "d": 3, "e": 17, "f": 1}
    ids = {value: [100 * place + n for n in range(numbers[value])] for place, value in enumerate(numbers, 1)}
    with database.writer() as session:
        session.add_all(KnownUser(user_id=one, address_index=value) for value in ids for one in ids[value])
        session.flush()
        found = newest_of_each(
            session, select(KnownUser.user_id), KnownUser.address_index, KnownUser.user_id, numbers, most
        )
    newest = {value: [(one,) for one in sorted(ids[value], reverse=True)][:most] for value in ids}
    assert found == {value: rows for value, rows in newest.items() if rows}
