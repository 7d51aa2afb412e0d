"""The states of an order, of its steps and of waiting messages, and the ways between them."""

from enum import StrEnum


class OrderStatus(StrEnum):
    PROCESSING = "processing"
    EXCEPTION = "exception"
    COMPLETED = "completed"


class StepState(StrEnum):
    """DUE until it has a result; FAILED: its error took a path of its own; SKIPPED: it could do nothing."""

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

WAITING_TRANSITIONS: dict[WaitingState, frozenset[WaitingState]] = {
    WaitingState.WAITING: frozenset({WaitingState.REQUESTED}),
    WaitingState.REQUESTED: frozenset({WaitingState.WAITING, WaitingState.PASSED}),
    WaitingState.PASSED: frozenset(),
}
