"""Messages on the waiting queues are kept in the database, and sent back when somebody pushes them."""

from collections.abc import Sequence
from datetime import timedelta
from functools import partial

from sqlalchemy import select
from sqlalchemy.orm import Session

from jobs.job import Job
from portal import work
from portal.clients.aws import Message, Outgoing
from portal.orders import waiting
from portal.orders.models import WaitingMessage
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
    }
    while job.turn():
        try:
            busy = [_keep(job, queue, origin) for queue, origin in sources.items()]
            busy.append(_send_pushed(job))
        except Exception as error:  # noqa: BLE001 - an edge: what was not acknowledged comes back by itself
            job.log.warning("queue or database away", error=str(error))
            busy = []
        if not any(busy):
            job.stopping.wait(_IDLE_SECONDS)


def _keep(job: Job, queue: str, origin: str) -> bool:
    messages = job.runtime.queues.receive(queue, wait_seconds=0)
    for message in messages:
        job.runtime.transact(partial(_keep_one, job, origin, message))
        job.runtime.queues.acknowledge(queue, [message])
        job.count("kept")
    return bool(messages)


def _keep_one(job: Job, origin: str, message: Message, session: Session) -> None:
    told = message.attributes
    undelivered = Undelivered(
        message_id=message.id,
        queue=told.get("queue", origin),
        group=message.group,
        subject=told.get("subject", message.id),
        body=message.body,
        receives=int(told.get("receives", job.runtime.settings.max_receives)),
        code=told.get("code", "stopped-while-handling"),
        reason=told.get("reason", _UNTOLD),
        waiting_id=int(told["waiting_id"]) if "waiting_id" in told else None,
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
    with job.runtime.writer() as session:
        rows = list(
            session.scalars(
                select(WaitingMessage).where(WaitingMessage.id.in_([claimed.reference for claimed in claims]))
            )
        )
    for row in rows:
        # A second sending, after a crash before the work was finished, is the same to whoever takes it.
        job.runtime.queues.send(row.queue, [_outgoing(job, row)])
    job.runtime.transact(partial(_finish, claims))
    job.count("sent_back", len(rows))
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
