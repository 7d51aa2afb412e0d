"""The transition tables are closed, and `origins` reads them backwards."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

import pytest

from portal.orders.states import (
    ORDER_TRANSITIONS,
    STEP_TRANSITIONS,
    WAITING_TRANSITIONS,
    OrderStatus,
    StepState,
    WaitingState,
)
from portal.transitions import origins

TABLES = [
    (OrderStatus, ORDER_TRANSITIONS),
    (StepState, STEP_TRANSITIONS),
    (WaitingState, WAITING_TRANSITIONS),
]


@pytest.mark.parametrize(("states", "table"), TABLES)
def test_every_state_says_where_it_leads(
    states: type[StrEnum], table: Mapping[StrEnum, frozenset[StrEnum]]
) -> None:
    assert set(table) == set(states)
    assert not [state for state, targets in table.items() if state in targets]


def test_origins_are_the_states_that_lead_to_a_state() -> None:
    assert origins(STEP_TRANSITIONS, StepState.DUE) == [StepState.EXCEPTION]
    assert origins(STEP_TRANSITIONS, StepState.PASSED) == [StepState.DUE]
    assert origins(ORDER_TRANSITIONS, OrderStatus.COMPLETED) == [OrderStatus.PROCESSING]
    assert set(origins(WAITING_TRANSITIONS, WaitingState.PASSED)) == {
        WaitingState.WAITING,
        WaitingState.REQUESTED,
    }


def test_nothing_leads_away_from_an_end() -> None:
    assert not ORDER_TRANSITIONS[OrderStatus.COMPLETED]
    assert not STEP_TRANSITIONS[StepState.PASSED]
    assert not WAITING_TRANSITIONS[WaitingState.PASSED]
