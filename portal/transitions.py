"""How tables of transitions are read: every write of a state names the states that it may be written over."""

from collections.abc import Mapping
from enum import StrEnum
from typing import TypeVar

State = TypeVar("State", bound=StrEnum)


def origins(transitions: Mapping[State, frozenset[State]], target: State) -> list[State]:
    """Give the states from which a transition leads to `target`."""
    return [state for state, targets in transitions.items() if target in targets]
