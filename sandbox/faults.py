"""Faults on demand: which system misbehaves next, how, and how often. Kept in memory only."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from decimal import Decimal
from random import Random
from typing import Any

from sandbox.answers import invalid

DOWN, SLOW, ERROR, GARBAGE, LOST_ANSWER = "down", "slow", "500", "garbage", "lost-answer"
KINDS = (DOWN, SLOW, ERROR, GARBAGE, LOST_ANSWER)
DEFAULT_SECONDS = 5.0
MAX_SECONDS = 600.0
_FIELDS = {"kind", "times", "probability", "seconds"}


@dataclass(frozen=True, slots=True)
class Fault:
    """What a system does instead of its work.

    `times` is how many more calls are hit (None: until cleared), `probability` the share of calls that
    are hit (None: all), `seconds` how late a slow answer comes.
    """

    kind: str
    times: int | None = None
    probability: float | None = None
    seconds: float | None = None

    @classmethod
    def from_document(cls, document: dict[str, Any]) -> Fault:
        """Read a fault from a request; raise Refused, naming the field, for what makes no sense."""
        for name in document.keys() - _FIELDS:
            raise invalid(
                name, f"{name} is not a property of a fault: kind, times, probability, seconds are."
            )
        kind = document.get("kind")
        if kind not in KINDS:
            raise invalid("kind", f"kind must be one of {', '.join(KINDS)}.")
        times = document.get("times")
        if times is not None and (not isinstance(times, int) or isinstance(times, bool) or times < 1):
            raise invalid("times", "times must be a whole number from 1.")
        probability = _number(document, "probability", 1.0)
        seconds = _number(document, "seconds", MAX_SECONDS)
        if seconds is not None and kind != SLOW:
            raise invalid("seconds", "seconds is for the fault slow only.")
        if kind == SLOW and seconds is None:
            seconds = DEFAULT_SECONDS
        return cls(kind, times, probability, seconds)

    def as_document(self) -> dict[str, Any]:
        """Write the fault as JSON-ready values."""
        return asdict(self)


class FaultBoard:
    """Keep at most one fault a system, and decide call by call whether it strikes."""

    def __init__(self, random: Random) -> None:
        self._faults: dict[str, Fault] = {}
        self._random = random

    def put(self, system: str, fault: Fault) -> None:
        """Let a fault stand for a system, in place of the one before."""
        self._faults[system] = fault

    def clear(self, system: str) -> None:
        """End the fault of a system, if it has one."""
        self._faults.pop(system, None)

    def standing(self) -> dict[str, Fault]:
        """Return the faults that stand now, by system."""
        return dict(self._faults)

    def strike(self, system: str, *, effect: bool) -> Fault | None:
        """Return the fault that hits this call, and use up one of its times.

        `effect` tells whether the call is to cause an effect; the answer to a mere question is not
        lost by lost-answer.
        """
        fault = self._faults.get(system)
        if fault is None or (fault.kind == LOST_ANSWER and not effect):
            return None
        if fault.probability is not None and self._random.random() >= fault.probability:
            return None
        if fault.times == 1:
            self.clear(system)
        elif fault.times is not None:
            self._faults[system] = replace(fault, times=fault.times - 1)
        return fault


def _number(document: dict[str, Any], field: str, highest: float) -> float | None:
    value = document.get(field)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | Decimal) or not 0 < value <= highest:
        raise invalid(field, f"{field} must be a number above 0 and at most {highest:g}.")
    return float(value)
