"""Addresses are read strictly: what they ask for is found, what they cannot mean is named."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest

from portal.orders.forms import OrderListForm, chips_of, read_order_list
from portal.orders.queries_orders import OrderFilter
from portal.orders.states import OrderStatus

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
SANTIAGO = ZoneInfo("America/Santiago")


def read(**arguments: str) -> OrderListForm:
    return read_order_list(arguments, zone=SANTIAGO, now=NOW, blind_index=lambda text: f"#{text}")


def test_every_filter_is_read_into_what_it_asks_for() -> None:
    form = read(
        status="exception",
        step="Task_X",
        channel="kiosk",
        store="North",
        country="cl",
        amount_from="10",
        amount_to="99.5",
    )
    assert form.errors == {}
    assert form.wanted == OrderFilter(
        status=OrderStatus.EXCEPTION,
        step="Task_X",
        channel="kiosk",
        store="North",
        country="CL",
        amount_from=Decimal("10.00"),
        amount_until=Decimal("99.50"),
    )


def test_days_are_those_of_the_viewer_and_the_last_one_is_included() -> None:
    wanted = read(received_from="2026-11-20", received_to="2026-11-20").wanted
    assert wanted.received_from == datetime(2026, 11, 20, 3, tzinfo=UTC)
    assert wanted.received_until == datetime(2026, 11, 21, 3, tzinfo=UTC)


def test_an_age_bounds_one_side() -> None:
    assert read(age="last-hour").wanted == OrderFilter(received_from=datetime(2026, 11, 20, 11, tzinfo=UTC))
    assert read(age="over-day").wanted == OrderFilter(received_until=datetime(2026, 11, 19, 12, tzinfo=UTC))


def test_pasted_numbers_may_be_parted_by_blanks_commas_and_lines() -> None:
    form = read(q="A-1, A-2\nA-3;A-2\t ana@example.com")
    assert form.numbers == ("A-1", "A-2", "A-3")
    assert {"A-1", "A-2", "A-3"} <= set(form.wanted.numbers)
    assert form.wanted.email_indexes == ("#ana@example.com",)
    assert not form.asks_for_one


def test_an_address_is_looked_for_as_it_is_written_and_in_lower_case() -> None:
    assert read(q="Ana@Example.com").wanted.email_indexes == ("#Ana@Example.com", "#ana@example.com")


def test_a_number_with_a_blank_in_it_is_looked_for_as_a_whole_too() -> None:
    assert "A 1" in read(q="A 1").wanted.numbers


def test_one_number_alone_is_asked_for_as_one() -> None:
    assert read(q="A-1").asks_for_one
    assert not read(q="A-1", status="completed").asks_for_one
    assert not read(q="ana@example.com").asks_for_one


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("status", "stuck"),
        ("age", "young"),
        ("amount_from", "abc"),
        ("amount_from", "-1"),
        ("amount_to", "1_000"),
        ("amount_to", "1.234"),
        ("received_from", "yesterday"),
        ("received_from", "2026-13-01"),
        ("received_to", "9999-12-31"),
        ("store", "x" * 65),
        ("country", "Chile"),
        ("q", " ".join(str(number) for number in range(201))),
        ("q", "x" * 65),
    ],
)
def test_a_value_that_cannot_be_meant_is_refused_by_its_field(name: str, value: str) -> None:
    form = read(**{name: value})
    assert set(form.errors) == {name}
    assert form.wanted == OrderFilter()
    assert len(form.complaints) == 1


@pytest.mark.parametrize(
    ("low", "high", "named"),
    [
        ({"amount_from": "10"}, {"amount_to": "9"}, "amount_to"),
        ({"received_from": "2026-11-20"}, {"received_to": "2026-11-18"}, "received_to"),
        ({"age": "last-day"}, {"received_to": "2026-11-18"}, "age"),
    ],
)
def test_bounds_that_exclude_each_other_are_refused(
    low: dict[str, str], high: dict[str, str], named: str
) -> None:
    assert set(read(**low, **high).errors) == {named}


def test_each_chip_takes_its_own_filter_away() -> None:
    form = read(status="exception", step="Task_X", received_from="2026-11-20")
    chips = chips_of(form, {"Task_X": "Issue it"})
    assert [chip.text for chip in chips] == [
        "Status: exception",
        "Step: Issue it",
        "Received from: 2026-11-20 (America/Santiago)",
    ]
    assert dict(chips[1].without) == {"status": "exception", "received_from": "2026-11-20"}
