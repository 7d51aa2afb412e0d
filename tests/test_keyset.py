"""Keys of pages go through an address and back, and what is none is refused."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from portal.errors import InvalidInput
from portal.keyset import Place, read_place, write_key

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
