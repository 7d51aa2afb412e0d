"""Messages on the waiting queues are kept in the database, and sent back when somebody pushes them."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import partial

from sqlalchemy import select
from sqlalchemy.orm import Session

from jobs.consumer import waiting_id_of
from jobs.job import Job
from portal import work
from portal.clients.aws import Message, Outgoing
from portal.orders import waiting
from portal.orders.models import WaitingMessage
from portal.orders.states import WaitingState
from portal.orders.waiting import Undelivered
from portal.work import Claimed

_PUSHES_AT_ONCE = 50
_IDLE_SECONDS = 0.5
_UNTOLD = (
    "It was taken too often without success, and no error was recorded: each time, the job stopped while it"
    " was handling this message."
)


def run(job: Job) -> None:
    """Run until the job stops."""
    settings = job.runtime.settings
    sources = {
        settings.order_documents_waiting_queue: settings.order_documents_queue,
        settings.orders_waiting_queue: settings.orders_queue,
        settings.mail_events_waiting_queue: settings.mail_events_queue,
        settings.user_sign_ups_waiting_queue: settings.user_sign_ups_queue,
        settings.user_verifications_waiting_queue: settings.user_verifications_queue,
    }
    parts = [partial(_keep, job, queue, origin) for queue, origin in sources.items()]
    parts.append(partial(_send_pushed, job))
    while job.turn():
        busy = [_tried(job, part) for part in parts]
        if not any(busy):
            job.stopping.wait(_IDLE_SECONDS)


def _tried(job: Job, part: Callable[[], bool]) -> bool:
    """Do a part of the work, whatever became of the others; return whether there was something to do."""
    try:
        return part()
    except Exception as error:  # noqa: BLE001 - an edge: what was not acknowledged comes back by itself
        job.log.warning("queue or database away", error=str(error))
        return False


def _keep(job: Job, queue: str, origin: str) -> bool:
    messages = job.runtime.queues.receive(queue, wait_seconds=0)
    kept = [_tried(job, partial(_keep_one, job, queue, origin, message)) for message in messages]
    return any(kept)


def _keep_one(job: Job, queue: str, origin: str, message: Message) -> bool:
    job.runtime.transact(partial(_keep_waiting, job, origin, message))
    job.runtime.queues.acknowledge(queue, [message])
    job.count("kept")
    return True


def _keep_waiting(job: Job, origin: str, message: Message, session: Session) -> None:
    told, receives = message.attributes, message.attributes.get("receives", "")
    undelivered = Undelivered(
        message_id=message.id,
        queue=told.get("queue", origin),
        group=message.group,
        subject=told.get("subject", message.id),
        body=message.body,
        receives=int(receives) if receives.isdecimal() else job.runtime.settings.max_receives,
        code=told.get("code", "stopped-while-handling")[:64],
        reason=told.get("reason", _UNTOLD),
        waiting_id=waiting_id_of(message),
    )
    waiting.keep_waiting(
        session, undelivered, cipher=job.runtime.cipher, actor=job.actor, now=job.runtime.clock()
    )


def _send_pushed(job: Job) -> bool:
    lease = timedelta(seconds=job.runtime.settings.lease_seconds)
    token = job.runtime.new_id()
    claim = partial(work.claim, kind=waiting.WORK_KIND, limit=_PUSHES_AT_ONCE, lease=lease, token=token)
    claims = job.runtime.transact(claim)
    if not claims:
        return False
    pushed = select(WaitingMessage).where(
        WaitingMessage.id.in_([claimed.reference for claimed in claims]),
        # Sent before a crash, it may have its verdict already, and then no text any more.
        WaitingMessage.state == WaitingState.REQUESTED,
    )
    with job.runtime.writer() as session:
        rows = session.scalars(pushed).all()
    # A second sending, after a crash before the work was finished, is the same to whoever takes it.
    unsent = {row.id for row in rows if not _tried(job, partial(_send_back, job, row))}
    done = [claimed for claimed in claims if claimed.reference not in unsent]
    job.runtime.transact(partial(_finish, done))
    return bool(done)


def _send_back(job: Job, row: WaitingMessage) -> bool:
    job.runtime.queues.send(row.queue, [_outgoing(job, row)])
    job.count("sent_back")
    return True


def _finish(claims: Sequence[Claimed], session: Session) -> None:
    work.finish(session, sorted(work.still_owned(session, claims)))


def _outgoing(job: Job, row: WaitingMessage) -> Outgoing:
    return Outgoing(
        job.runtime.cipher.decrypt(row.body).decode(),
        row.message_group,
        f"push-{row.id}-{row.pushes}",
        {"waiting_id": str(row.id)},
    )
