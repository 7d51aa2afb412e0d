"""Messages that were received too often without success: kept with their reason, pushed, and passed."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import CursorResult, delete, select, update
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
FORGOTTEN = b""


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
    # That of an earlier push is left where its job was killed; the row of the message is locked by us.
    work.call_for(session, WORK_KIND, work.New(waiting_id), database_now(session))
    data = {"code": row.code, "push": row.pushes}
    events.record(session, NewEvent(SUBJECT, waiting_id, "message.push-requested", actor, now, data))


def waiting_passed(
    session: Session, waiting_id: int, *, actor: Actor, now: datetime, forget_body: bool = False
) -> None:
    """Say that a pushed message was handled at last; told twice, nothing happens.

    `forget_body` is for what tells of people: nobody needs its text any more.
    """
    passed = session.execute(
        update(WaitingMessage)
        .where(
            WaitingMessage.id == waiting_id,
            WaitingMessage.state.in_(origins(WAITING_TRANSITIONS, WaitingState.PASSED)),
        )
        .values(state=WaitingState.PASSED, passed_at=now, **({"body": FORGOTTEN} if forget_body else {}))
    )
    if isinstance(passed, CursorResult) and passed.rowcount == 1:
        events.record(session, NewEvent(SUBJECT, waiting_id, "message.passed", actor, now))


def erase_waiting(
    session: Session,
    queues: Collection[str],
    tells_of_them: Callable[[str], bool],
    *,
    cipher: DataCipher,
    actor: Actor,
    now: datetime,
) -> int:
    """Delete the messages of some queues that tell of a person; return how many there were.

    A message that was pushed, and is on its queue already, goes on.
    """
    kept = select(WaitingMessage.id, WaitingMessage.body).where(
        WaitingMessage.queue.in_(queues), WaitingMessage.body != FORGOTTEN
    )
    found = session.execute(kept.order_by(WaitingMessage.id).with_for_update())
    ids = [row.id for row in found if tells_of_them(cipher.decrypt(row.body).decode())]
    for waiting_id in ids:
        work.withdraw(session, WORK_KIND, waiting_id)
    session.execute(delete(WaitingMessage).where(WaitingMessage.id.in_(ids)))
    events.record_all(session, [NewEvent(SUBJECT, each, "message.erased", actor, now) for each in ids])
    return len(ids)
