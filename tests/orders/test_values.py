"""Amounts, quantities, days and times are read from their text, strictly."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from portal.orders.values import Day, Moment, read_amount, read_quantity, shown


@pytest.mark.parametrize(
    ("given_as", "amount"),
    [
        ("10", "10.00"),
        ("10.5", "10.50"),
        (10, "10.00"),
        (Decimal("0.1"), "0.10"),
        ("007.00", "7.00"),
        (1.1, "1.10"),
        ("999999999999.99", "999999999999.99"),
    ],
)
def test_an_amount_has_two_decimals_however_it_is_written(given_as: object, amount: str) -> None:
    assert str(read_amount(given_as)) == amount


NO_AMOUNT: list[Any] = [
    "NaN", "Infinity", "1e400", "1e2", "１０", "٣", "1_000", "-1", "-0", "+1", "0.001", "10.", ".5", "", " 1",
    "1 ", "1,00", "0x10", "1\n", "1000000000000", float("nan"), float("inf"), 1e400, 1e300, Decimal("1E+2"),
    -1, Decimal("NaN"), True, None, [], {}, b"1",
]  # fmt: skip


@pytest.mark.parametrize("value", NO_AMOUNT, ids=repr)
def test_what_only_looks_like_an_amount_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="is not an amount"):
        read_amount(value)


@pytest.mark.parametrize(
    ("given_as", "quantity"),
    [("1.500", "1.5"), ("100", "100"), ("0.000001", "0.000001"), (2, "2"), ("010", "10")],
)
def test_a_quantity_has_no_zeros_at_its_end(given_as: object, quantity: str) -> None:
    assert str(read_quantity(given_as)) == quantity


@pytest.mark.parametrize("value", ["0", "0.000", *NO_AMOUNT[:9], "0.0000001", True, None], ids=repr)
def test_what_only_looks_like_a_quantity_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="is not a quantity"):
        read_quantity(value)


def test_a_time_is_kept_in_utc() -> None:
    read = TypeAdapter[datetime](Moment).validate_python
    assert read("2010-01-20T12:30:00+02:00") == datetime(2010, 1, 20, 10, 30, tzinfo=UTC)
    assert read("2010-01-20T12:30:00.25Z").tzinfo is UTC


@pytest.mark.parametrize(
    "value",
    [
        "2010-01-20T12:30:00",
        "2010-02-30T12:30:00Z",
        "2010-01-20",
        "0001-01-01T00:00:00+14:00",
        1263990600,
        "",
        None,
        "1263990600",
        "1899-12-31T23:59:59Z",
        "9999-12-31T23:59:59-14:00",
        datetime(2010, 1, 20),  # noqa: DTZ001
        True,
    ],
)
def test_a_time_without_its_zone_or_that_never_was_is_refused(value: object) -> None:
    with pytest.raises(ValidationError, match="is not a time"):
        TypeAdapter(Moment).validate_python(value)


@pytest.mark.parametrize(
    "value",
    [
        "2010-02-30",
        "20100220",
        "2010-W03-3",
        "2010-02-20T00:00:00",
        1263990600,
        datetime(2010, 2, 20, tzinfo=UTC),
        None,
    ],
)
def test_what_is_no_day_is_refused(value: object) -> None:
    with pytest.raises(ValidationError, match="is not a day"):
        TypeAdapter(Day).validate_python(value)
    assert TypeAdapter[date](Day).validate_python("2010-02-20") == date(2010, 2, 20)


@settings(deadline=None)
@given(st.text() | st.none() | st.booleans() | st.integers() | st.lists(st.none()))
def test_an_untrusted_value_is_quoted_short_and_printable(value: object) -> None:
    quoted = shown(value)
    assert len(quoted) <= 43
    assert quoted.isprintable()
