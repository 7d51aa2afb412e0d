"""Periods end in calendar terms, and what is unknown never does."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from portal.referrals.schemes.periods import PeriodType, end_of_period, period_type

START = datetime(2026, 1, 31, 23, 59, 59, tzinfo=UTC)


@pytest.mark.parametrize(
    ("stored", "length", "end"),
    [
        ("hour", 1, datetime(2026, 2, 1, 0, 59, 59, tzinfo=UTC)),
        ("day", 30, datetime(2026, 3, 2, 23, 59, 59, tzinfo=UTC)),
        ("WEEKS", 1, datetime(2026, 2, 7, 23, 59, 59, tzinfo=UTC)),
        ("month", 1, datetime(2026, 2, 28, 23, 59, 59, tzinfo=UTC)),
        ("Months", 25, datetime(2028, 2, 29, 23, 59, 59, tzinfo=UTC)),
        ("month", 11, datetime(2026, 12, 31, 23, 59, 59, tzinfo=UTC)),
        ("year", 2, datetime(2028, 1, 31, 23, 59, 59, tzinfo=UTC)),
        ("never", 3, None),
        ("day", 0, None),
        ("fortnight", 1, None),
        ("year", 9000, None),
        ("day", 2**31 - 1, None),
    ],
)
def test_a_period_ends_in_calendar_terms(stored: str, length: int, end: datetime | None) -> None:
    assert end_of_period(START, stored, length) == end


def test_a_year_from_a_leap_day_ends_on_the_last_of_february() -> None:
    assert end_of_period(datetime(2028, 2, 29, tzinfo=UTC), "year", 1) == datetime(2029, 2, 28, tzinfo=UTC)


def test_a_type_is_known_whatever_its_case_and_number() -> None:
    assert [period_type(word) for word in (" DAYS ", "day", "fortnight", "")] == [
        PeriodType.DAY,
        PeriodType.DAY,
        None,
        None,
    ]
