"""Circuit breakers: work for a system that is down is left alone, but for one trial now and then."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal


@dataclass(slots=True)
class _Circuit:
    failures: int = 0
    opened_at: float | None = None


class Breakers:
    """One circuit for each outside system, as this process sees it.

    After `failures` failed calls in a row a circuit opens; from then on one trial is let through every
    `seconds`, until a call passes and closes it. A trial whose outcome is never told costs nothing but
    its `seconds`. The pattern is Nygard's ("Release It!"); libraries that hold a lock during the call
    would serialise our calls.
    """

    def __init__(self, failures: int, seconds: float, monotonic: Callable[[], float]) -> None:
        self._failures = failures
        self._seconds = seconds
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._circuits: dict[str, _Circuit] = {}

    def state(self, system: str) -> Literal["closed", "open", "half-open"]:
        """Say whether calls go through (closed), none does (open), or a trial may (half-open)."""
        trial_is_due = self.not_closed().get(system)
        if trial_is_due is None:
            return "closed"
        return "half-open" if trial_is_due else "open"

    def not_closed(self) -> dict[str, bool]:
        """Return the systems whose circuit is not closed, each with whether a trial is due."""
        now = self._monotonic()
        with self._lock:
            return {
                name: now - circuit.opened_at >= self._seconds
                for name, circuit in self._circuits.items()
                if circuit.opened_at is not None
            }

    def begin_trial(self, system: str) -> None:
        """Say that the call that comes now is the trial; the next one is due after the same time again."""
        with self._lock:
            if circuit := self._circuits.get(system):
                circuit.opened_at = self._monotonic()

    def passed(self, system: str) -> None:
        """Say that a call was answered: the circuit is closed."""
        with self._lock:
            self._circuits.pop(system, None)

    def failed(self, system: str) -> None:
        """Say that a call failed; enough of them in a row open the circuit, or keep it open."""
        with self._lock:
            circuit = self._circuits.setdefault(system, _Circuit())
            circuit.failures += 1
            if circuit.failures >= self._failures:
                circuit.opened_at = self._monotonic()
