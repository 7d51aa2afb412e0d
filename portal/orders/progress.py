"""How orders move through their process: results of steps become states, next steps, events and work."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Update, bindparam, insert, or_, update
from sqlalchemy.orm import Session

from portal import events, work
from portal.db import database_now
from portal.errors import Upstream
from portal.events import Actor, NewEvent
from portal.orders.connectors import Passed, Skipped
from portal.orders.models import OrderStep, PurchaseOrder
from portal.orders.open_orders import OpenOrder, Turn
from portal.orders.personal import personal_values, without_personal_data
from portal.orders.process.plan import EndNode, Node, TaskNode
from portal.orders.service import step_values
from portal.orders.states import ORDER_TRANSITIONS, STEP_TRANSITIONS, OrderStatus, StepState
from portal.transitions import origins
from portal.work import Claimed, Moved


@dataclass(frozen=True, slots=True)
class Failed:
    """The effect is not there, or nobody knows; `error` says why and whether to try again."""

    error: Upstream


Outcome = Passed | Skipped | Failed


@dataclass(frozen=True, slots=True)
class Result:
    """What one attempt came to, and when."""

    turn: Turn
    outcome: Outcome
    started_at: datetime
    ended_at: datetime


@dataclass
class _Changes:
    """Rows to write, gathered over a batch of results so that each table is written once."""

    steps: dict[StepState, list[dict[str, Any]]] = field(default_factory=dict)
    new_steps: list[dict[str, Any]] = field(default_factory=list)
    events: list[NewEvent] = field(default_factory=list)
    moves: list[Moved] = field(default_factory=list)
    finished: list[int] = field(default_factory=list)
    statuses: dict[OrderStatus, list[int]] = field(default_factory=dict)
    next_turns: list[Turn] = field(default_factory=list)


class Progress:
    """Commits results of steps, next steps, events and work together.

    A next step that can be taken at once stays with this worker, under a new lease: it is among the
    turns that `apply` returns.
    """

    def __init__(
        self, *, actor: Actor, lease: timedelta, new_token: Callable[[], str], keep: Callable[[str], bool]
    ) -> None:
        self._actor = actor
        self._lease = lease
        self._new_token = new_token
        self._keep = keep

    def apply(self, session: Session, results: Sequence[Result]) -> list[Turn]:
        """Write what the results came to; those whose lease has run out to somebody else are dropped."""
        owned = work.still_owned(session, [result.turn.claimed for result in results])
        now = database_now(session)
        changes = _Changes()
        for result in results:
            if result.turn.claimed.id in owned:
                self._judge(result, now, changes)
        _write(session, changes, now)
        return changes.next_turns

    def _judge(self, result: Result, now: datetime, changes: _Changes) -> None:
        match result.outcome:
            case Passed():
                self._passed(result, result.outcome, now, changes)
            case Skipped():
                self._skipped(result, result.outcome, now, changes)
            case Failed():
                self._failed(result, result.outcome.error, now, changes)

    def _passed(self, result: Result, outcome: Passed, now: datetime, changes: _Changes) -> None:
        turn = result.turn
        answer = without_personal_data(outcome.result, personal_values(turn.order.order))
        data = {"call": outcome.call, "status": outcome.status, "asked": outcome.asked, "answer": answer}
        self._end_step(changes, result, StepState.PASSED, "step.passed", data, answer=answer)
        results = turn.order.results | {turn.node.effect: answer}
        following = turn.order.plan.after(turn.node.id, turn.order.facts)
        self._go_on(replace(turn.order, results=results), turn.claimed, following, now, changes)

    def _skipped(self, result: Result, outcome: Skipped, now: datetime, changes: _Changes) -> None:
        turn = result.turn
        personal = personal_values(turn.order.order)
        why = {"code": outcome.code, "reason": without_personal_data(outcome.reason, personal)}
        self._end_step(changes, result, StepState.SKIPPED, "step.skipped", why)
        following = turn.order.plan.after(turn.node.id, turn.order.facts)
        self._go_on(turn.order, turn.claimed, following, now, changes)

    def _failed(self, result: Result, error: Upstream, now: datetime, changes: _Changes) -> None:
        turn, node = result.turn, result.turn.node
        personal = personal_values(turn.order.order)
        why = {"code": error.code, "reason": without_personal_data(error.reason, personal)}
        data = why | {
            "status": error.status,
            "answer": without_personal_data(error.answer, personal),
            "outcome_unknown": error.outcome_unknown,
        }
        if error.retryable and turn.claimed.attempt <= len(node.retry):
            due_at = now + timedelta(seconds=node.retry[turn.claimed.attempt - 1])
            data |= {"next_at": due_at.isoformat()}
            self._end_step(changes, result, StepState.DUE, "step.failed", data)
            claimed = turn.claimed
            again = Moved(claimed.id, claimed.lane, claimed.attempt, due_at, gives_up_at=claimed.gives_up_at)
            changes.moves.append(again)
            return
        following = turn.order.plan.on_error(node.id, error.code)
        if following is not None:
            self._end_step(changes, result, StepState.FAILED, "step.failed", data)
            results = turn.order.results | {"error": why}
            self._go_on(replace(turn.order, results=results), turn.claimed, following, now, changes)
            return
        self._end_step(changes, result, StepState.EXCEPTION, "step.exception", data)
        changes.statuses.setdefault(OrderStatus.EXCEPTION, []).append(turn.order.id)
        changes.finished.append(turn.claimed.id)

    def _end_step(
        self,
        changes: _Changes,
        result: Result,
        state: StepState,
        kind: str,
        data: dict[str, Any],
        answer: dict[str, Any] | None = None,
    ) -> None:
        turn, node = result.turn, result.turn.node
        changes.steps.setdefault(state, []).append(
            {
                "of_order": turn.order.id,
                "of_element": node.id,
                "new_attempts": turn.attempt,
                "new_code": data.get("code"),
                "new_reason": data.get("reason"),
                "new_result": answer,
                "new_ended_at": None if state is StepState.DUE else result.ended_at,
            }
        )
        told = {
            "element_id": node.id,
            "step": node.name,
            "system": node.system,
            "attempt": turn.attempt,
            "seconds": round((result.ended_at - result.started_at).total_seconds(), 3),
        }
        told |= {name: value for name, value in data.items() if value is not None and value is not False}
        changes.events.append(NewEvent("order", turn.order.id, kind, self._actor, result.ended_at, told))

    def _go_on(
        self, order: OpenOrder, claimed: Claimed, following: Node, now: datetime, changes: _Changes
    ) -> None:
        if isinstance(following, EndNode):
            changes.statuses.setdefault(OrderStatus.COMPLETED, []).append(order.id)
            changes.finished.append(claimed.id)
            changes.events.append(NewEvent("order", order.id, "order.completed", self._actor, now))
        elif following.hold:
            self._hold(order, claimed, following, now, changes)
        else:
            self._begin(order, claimed, following, now, changes)

    def _begin(
        self, order: OpenOrder, claimed: Claimed, node: TaskNode, now: datetime, changes: _Changes
    ) -> None:
        changes.new_steps.append(step_values(order.id, node, now))
        lane = node.system or ""
        gives_up_at = now + node.patience if node.patience is not None else None
        if not self._keep(lane):
            changes.moves.append(Moved(claimed.id, lane, 0, now, gives_up_at=gives_up_at))
            return
        ours = Claimed(claimed.id, claimed.reference, lane, 1, self._new_token(), gives_up_at=gives_up_at)
        changes.moves.append(Moved(claimed.id, lane, 1, now + self._lease, ours.token, gives_up_at))
        changes.next_turns.append(Turn(ours, order, node, 1))

    def _hold(
        self, order: OpenOrder, claimed: Claimed, node: TaskNode, now: datetime, changes: _Changes
    ) -> None:
        """Let a step begin as an exception, with the reason of the error that led to it."""
        why = order.results.get("error", {})
        code = why.get("code", "waits-for-a-person")
        reason = why.get("reason", "This step waits for a person to push it.")
        stopped = {"state": StepState.EXCEPTION, "code": code, "reason": reason}
        changes.new_steps.append(step_values(order.id, node, now) | stopped)
        changes.statuses.setdefault(OrderStatus.EXCEPTION, []).append(order.id)
        changes.finished.append(claimed.id)
        data = {"element_id": node.id, "step": node.name, "code": code, "reason": reason}
        changes.events.append(NewEvent("order", order.id, "step.exception", self._actor, now, data))


def _write(session: Session, changes: _Changes, now: datetime) -> None:
    for state, steps in changes.steps.items():
        if session.connection().execute(_STEP_UPDATES[state], steps).rowcount != len(steps):
            raise RuntimeError(f"A step that was under a lease of ours could not become {state}.")
    if changes.new_steps:
        session.execute(insert(OrderStep), changes.new_steps)
    for status, ids in changes.statuses.items():
        completed = {"completed_at": now} if status is OrderStatus.COMPLETED else {}
        session.execute(
            update(PurchaseOrder)
            .where(PurchaseOrder.id.in_(ids), PurchaseOrder.status.in_(origins(ORDER_TRANSITIONS, status)))
            .values(status=status, **completed),
            execution_options={"synchronize_session": False},
        )
    work.move_on(session, changes.moves)
    work.finish(session, changes.finished)
    events.record_all(session, changes.events)


def _step_update(state: StepState) -> Update:
    """Return the statement for steps whose attempt leaves them in a state: DUE when it comes again."""
    step = OrderStep.__table__.c
    expected = [state] if state is StepState.DUE else origins(STEP_TRANSITIONS, state)
    return (
        update(OrderStep.__table__)  # type: ignore[arg-type]
        .where(
            step.order_id == bindparam("of_order"),
            step.element_id == bindparam("of_element"),
            # An IN would be rendered anew for each call, and cannot be used for many rows at once.
            or_(*[step.state == origin for origin in expected]),
        )
        .values(
            state=state,
            attempts=bindparam("new_attempts"),
            code=bindparam("new_code"),
            reason=bindparam("new_reason"),
            result=bindparam("new_result", type_=step.result.type),
            ended_at=bindparam("new_ended_at", type_=step.ended_at.type),
        )
    )


_STEP_UPDATES = {state: _step_update(state) for state in StepState}
