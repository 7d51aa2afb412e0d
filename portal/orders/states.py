"""The states of an order, of its steps and of waiting messages, and the ways between them.

Every write of a state names by `origins` the states that it may be written over, so the tables decide
each race: whoever finds the row in another state has lost.
"""

from enum import StrEnum


class OrderStatus(StrEnum):
    PROCESSING = "processing"
    EXCEPTION = "exception"
    COMPLETED = "completed"


class StepState(StrEnum):
    """DUE until it has a result; FAILED: its error took a path of its own; SKIPPED: it could do nothing.

    An attempt that failed and comes again leaves its step DUE.
    """

    DUE = "due"
    PASSED = "passed"
    SKIPPED = "skipped"
    FAILED = "failed"
    EXCEPTION = "exception"


class WaitingState(StrEnum):
    WAITING = "waiting"
    REQUESTED = "requested"
    PASSED = "passed"


ORDER_TRANSITIONS: dict[OrderStatus, frozenset[OrderStatus]] = {
    OrderStatus.PROCESSING: frozenset({OrderStatus.EXCEPTION, OrderStatus.COMPLETED}),
    OrderStatus.EXCEPTION: frozenset({OrderStatus.PROCESSING}),
    OrderStatus.COMPLETED: frozenset(),
}

STEP_TRANSITIONS: dict[StepState, frozenset[StepState]] = {
    StepState.DUE: frozenset({StepState.PASSED, StepState.SKIPPED, StepState.FAILED, StepState.EXCEPTION}),
    StepState.EXCEPTION: frozenset({StepState.DUE}),
    StepState.PASSED: frozenset(),
    StepState.SKIPPED: frozenset(),
    StepState.FAILED: frozenset(),
}

# A message that is on a waiting queue may be in its own once more, and pass there after all.
WAITING_TRANSITIONS: dict[WaitingState, frozenset[WaitingState]] = {
    WaitingState.WAITING: frozenset({WaitingState.REQUESTED, WaitingState.PASSED}),
    WaitingState.REQUESTED: frozenset({WaitingState.WAITING, WaitingState.PASSED}),
    WaitingState.PASSED: frozenset(),
}
