"""What became of a push: requested, running, passed, or failed again and why."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from portal.orders.models import OrderStep, WaitingMessage
from portal.orders.states import StepState, WaitingState
from portal.work import Work


class PushState(StrEnum):
    """RETRYING: an attempt since the push failed, and the next one comes by itself."""

    REQUESTED = "requested"
    RUNNING = "running"
    RETRYING = "retrying"
    PASSED = "passed"
    SKIPPED = "skipped"
    FAILED = "failed"
    FAILED_AGAIN = "failed-again"


_UNDER_WAY = frozenset({PushState.REQUESTED, PushState.RUNNING, PushState.RETRYING})


@dataclass(frozen=True, slots=True)
class Verdict:
    """How far the last push of an item is: `attempt` counts all attempts ever, `at` is when it was pushed."""

    state: PushState
    by: str
    at: datetime
    attempt: int
    reason: str | None = None
    next_at: datetime | None = None

    @property
    def is_final(self) -> bool:
        return self.state not in _UNDER_WAY

    @property
    def mark(self) -> str:
        """Tell this verdict from the one before it, so that nothing is drawn anew that did not change."""
        return f"{self.state}-{self.attempt}-{self.at:%Y%m%dT%H%M%S%f}"


def verdict_of_step(step: OrderStep, work: Work | None) -> Verdict | None:
    """Give the verdict on the last push of a step, or None when nobody ever pushed it.

    `work` is the row by which the step is due, if there is one.
    """
    if step.pushed_by is None or step.pushed_at is None:
        return None
    state = _FINAL[StepState(step.state)] if step.state != StepState.DUE else _under_way(work)
    attempt = step.attempts + 1 if state in (PushState.REQUESTED, PushState.RUNNING) else step.attempts
    # While it is asked for or runs, the reason that the row still holds is that of the attempt before.
    told = state not in (PushState.REQUESTED, PushState.RUNNING, PushState.PASSED)
    return Verdict(
        state,
        step.pushed_by,
        step.pushed_at,
        attempt,
        reason=step.reason if told else None,
        next_at=work.due_at if work is not None and state is PushState.RETRYING else None,
    )


def verdict_of_message(message: WaitingMessage, work: Work | None) -> Verdict | None:
    """Give the verdict on the last push of a waiting message, or None when nobody ever pushed it.

    Its work is done as soon as it lies in its queue again; from then on it is being handled.
    """
    if message.pushed_by is None or message.pushed_at is None:
        return None
    if message.state == WaitingState.PASSED:
        state = PushState.PASSED
    elif message.state == WaitingState.WAITING:
        state = PushState.FAILED_AGAIN
    else:
        state = PushState.RUNNING if work is None or work.lease_token else PushState.REQUESTED
    reason = message.reason if state is PushState.FAILED_AGAIN else None
    return Verdict(state, message.pushed_by, message.pushed_at, message.pushes, reason=reason)


_FINAL = {
    StepState.PASSED: PushState.PASSED,
    StepState.SKIPPED: PushState.SKIPPED,
    StepState.FAILED: PushState.FAILED,
    StepState.EXCEPTION: PushState.FAILED_AGAIN,
}


def _under_way(work: Work | None) -> PushState:
    if work is None or (work.lease_token is None and work.attempt == 0):
        return PushState.REQUESTED
    return PushState.RUNNING if work.lease_token else PushState.RETRYING
