"""Circuit breakers: work for a system that is down is left alone, but for one trial now and then."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal


@dataclass(slots=True)
class _Circuit:
    failures: int = 0
    opened_at: float | None = None
    on_trial: bool = False


class Breakers:
    """One circuit for each outside system, as this process sees it.

    After `failures` failed calls in a row a circuit opens; after `seconds` one trial is let through, and
    its outcome closes the circuit or keeps it open for another `seconds`. The pattern is Nygard's
    ("Release It!"); libraries that hold a lock during the call would serialise our calls.
    """

    def __init__(self, failures: int, seconds: float, monotonic: Callable[[], float]) -> None:
        self._failures = failures
        self._seconds = seconds
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._circuits: dict[str, _Circuit] = {}

    def state(self, system: str) -> Literal["closed", "open", "half-open"]:
        with self._lock:
            circuit = self._circuits.get(system)
            if circuit is None or circuit.opened_at is None:
                return "closed"
            return "half-open" if self._trial_is_due(circuit) or circuit.on_trial else "open"

    def not_closed(self) -> dict[str, bool]:
        """Return the systems whose circuit is not closed, each with whether a trial is due."""
        with self._lock:
            return {
                name: self._trial_is_due(circuit)
                for name, circuit in self._circuits.items()
                if circuit.opened_at is not None
            }

    def begin_trial(self, system: str) -> None:
        """Say that the call that comes now is the trial; no other is let through until its outcome."""
        with self._lock:
            self._circuits[system].on_trial = True

    def passed(self, system: str) -> None:
        with self._lock:
            self._circuits.pop(system, None)

    def failed(self, system: str) -> None:
        with self._lock:
            circuit = self._circuits.setdefault(system, _Circuit())
            circuit.failures += 1
            if circuit.on_trial or circuit.failures >= self._failures:
                circuit.opened_at, circuit.on_trial = self._monotonic(), False

    def _trial_is_due(self, circuit: _Circuit) -> bool:
        if circuit.opened_at is None or circuit.on_trial:
            return False
        return self._monotonic() - circuit.opened_at >= self._seconds
