"""Messages that were received too often without success: kept with their reason, pushed, and passed."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import CursorResult, select, update
from sqlalchemy.orm import Session

from portal import events, work
from portal.crypto import DataCipher
from portal.db import database_now
from portal.errors import Conflict, NotFound
from portal.events import Actor, NewEvent
from portal.orders.models import WaitingMessage
from portal.orders.states import WAITING_TRANSITIONS, WaitingState
from portal.transitions import origins

WORK_KIND = "waiting-push"
SUBJECT = "waiting-message"


@dataclass(frozen=True, slots=True)
class Undelivered:
    """A message that arrived on a waiting queue, and why.

    `waiting_id` is set when it had been pushed before: it goes back to its row.
    """

    message_id: str
    queue: str
    group: str | None
    subject: str
    body: str
    receives: int
    code: str
    reason: str
    waiting_id: int | None = None


def keep_waiting(
    session: Session, message: Undelivered, *, cipher: DataCipher, actor: Actor, now: datetime
) -> None:
    """Keep a message until somebody pushes it; kept already, or passed by another copy, nothing happens."""
    if session.scalar(select(WaitingMessage.id).where(WaitingMessage.message_id == message.message_id)):
        return
    row = None
    if message.waiting_id is not None:
        row = session.get(WaitingMessage, message.waiting_id, with_for_update=True)
    if row is None:
        row = WaitingMessage(pushes=0)
        session.add(row)
    elif row.state not in (WaitingState.WAITING, *origins(WAITING_TRANSITIONS, WaitingState.WAITING)):
        return
    row.message_id = message.message_id
    row.queue = message.queue
    row.message_group = message.group
    row.subject = message.subject
    row.body = cipher.encrypt(message.body.encode())
    row.state = WaitingState.WAITING
    row.receives = message.receives
    row.code = message.code
    row.reason = message.reason
    row.arrived_at = now
    session.flush()
    data = {"code": message.code, "reason": message.reason, "receives": message.receives}
    events.record(session, NewEvent(SUBJECT, row.id, "message.waiting", actor, now, data))


def push_waiting(session: Session, waiting_id: int, *, actor: Actor, now: datetime) -> None:
    """Send a waiting message back to its queue.

    Of two people who push at once one wins; the other gets a Conflict that names the winner.
    """
    pushed = session.execute(
        update(WaitingMessage)
        .where(
            WaitingMessage.id == waiting_id,
            WaitingMessage.state.in_(origins(WAITING_TRANSITIONS, WaitingState.REQUESTED)),
        )
        .values(
            state=WaitingState.REQUESTED,
            pushed_by=actor.name,
            pushed_at=now,
            pushes=WaitingMessage.pushes + 1,
        )
    )
    row = session.get(WaitingMessage, waiting_id, populate_existing=True)
    if row is None:
        raise NotFound("There is no such waiting message.")
    if not isinstance(pushed, CursorResult) or pushed.rowcount != 1:
        raise Conflict(
            f"{row.pushed_by} already pushed this message at {row.pushed_at:%H:%M:%S} UTC.",
            code="already-pushed",
        )
    work.enqueue(session, WORK_KIND, [work.New(waiting_id)], database_now(session))
    data = {"code": row.code, "push": row.pushes}
    events.record(session, NewEvent(SUBJECT, waiting_id, "message.push-requested", actor, now, data))


def waiting_passed(session: Session, waiting_id: int, *, actor: Actor, now: datetime) -> None:
    """Say that a pushed message was handled at last; told twice, nothing happens."""
    passed = session.execute(
        update(WaitingMessage)
        .where(
            WaitingMessage.id == waiting_id,
            WaitingMessage.state.in_(origins(WAITING_TRANSITIONS, WaitingState.PASSED)),
        )
        .values(state=WaitingState.PASSED, passed_at=now)
    )
    if isinstance(passed, CursorResult) and passed.rowcount == 1:
        events.record(session, NewEvent(SUBJECT, waiting_id, "message.passed", actor, now))
