"""How jobs take messages: receive, handle, acknowledge; and what becomes of those that fail."""

import threading
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from jobs.job import Job
from portal.clients.aws import Message, Outgoing
from portal.errors import Conflict, InvalidInput, NotFound, Upstream, WaybillError
from portal.orders import waiting

# A refusal is no better for waiting; everything else gets ever more time, up to a minute.
_REFUSED_WAIT_SECONDS = 1
_LONGEST_WAIT_SECONDS = 60
_PAUSE_SECONDS = 2.0

Handled = WaybillError | None


@dataclass(frozen=True, slots=True)
class Source:
    """A queue, where its messages go that fail too often, and what a person knows one by."""

    queue: str
    waiting_queue: str
    subject: Callable[[Message], str]


def consume(
    job: Job, source: Source, handle: Callable[[Sequence[Message]], list[Handled]], threads: int = 1
) -> None:
    """Take messages until the job stops.

    `handle` returns for each message None, or the error that it failed with. What it raises fails all
    messages that it was given; they come back one by one. While the database is away nothing is taken.
    """
    loops = [
        threading.Thread(target=_consume, args=(job, source, handle), name=f"{source.queue}-{number}")
        for number in range(1, threads)
    ]
    for loop in loops:
        loop.start()
    _consume(job, source, handle)
    for loop in loops:
        loop.join()


def _consume(job: Job, source: Source, handle: Callable[[Sequence[Message]], list[Handled]]) -> None:
    troubled = False
    while job.turn():
        if troubled and not job.database_answers():
            job.stopping.wait(_PAUSE_SECONDS)
            continue
        try:
            _take(job, source, job.runtime.queues.receive(source.queue), handle)
            troubled = False
        except Exception as error:  # noqa: BLE001 - an edge: what was not acknowledged comes back by itself
            troubled = True
            job.log.warning("queue or database away", queue=source.queue, error=str(error))
            job.stopping.wait(_PAUSE_SECONDS)


def _take(
    job: Job,
    source: Source,
    messages: Sequence[Message],
    handle: Callable[[Sequence[Message]], list[Handled]],
) -> None:
    job.count("received", len(messages))
    held_up: set[str] = set()
    for part in _parts(messages):
        if part[0].group in held_up:
            # Its turn comes after the one before it in its group, which comes back.
            job.runtime.queues.return_later(source.queue, part[0], 0)
            continue
        for message in _take_together(job, source, part, handle):
            if message.group is not None:
                held_up.add(message.group)


def _parts(messages: Sequence[Message]) -> Iterator[Sequence[Message]]:
    """Divide messages into those that are handled together, in the order in which that is to be done.

    What came back is handled alone, in an order and the next time in its reverse: what kills the job, or
    fails all that it is handled with, would else take its neighbours along to the waiting queue. No two
    of a group are handled together, so that the second can wait when the first fails.
    """
    together: list[Message] = []
    alone: list[Message] = []
    groups: set[str | None] = set()
    for message in messages:
        first_of_group = message.group is None or message.group not in groups
        groups.add(message.group)
        (together if message.receives == 1 and first_of_group else alone).append(message)
    if together:
        yield together
    turn = max((message.receives for message in alone), default=0)
    for message in sorted(alone, key=partial(_place, turn)):
        yield [message]


def _place(turn: int, message: Message) -> int:
    # The same for all of a group, whose order stays; another way round every second turn.
    place = zlib.crc32(f"{turn // 2}/{message.group or message.id}".encode())
    return -place if turn % 2 else place


def _take_together(
    job: Job,
    source: Source,
    messages: Sequence[Message],
    handle: Callable[[Sequence[Message]], list[Handled]],
) -> list[Message]:
    """Handle messages, and return those that failed and come back."""
    job.runtime.reached(f"{job.name}.before-handling")
    with job.runtime.metrics.timed("job.batch_seconds", job.name):
        outcomes = _outcomes(job, messages, handle)
    done = [message for message, error in zip(messages, outcomes, strict=True) if error is None]
    _tell_pushed(job, source, done)
    job.runtime.reached(f"{job.name}.before-acknowledge")
    if done:
        job.runtime.queues.acknowledge(source.queue, done)
    job.runtime.reached(f"{job.name}.after-acknowledge")
    job.count("done", len(done))
    return [
        message
        for message, error in zip(messages, outcomes, strict=True)
        if error is not None and _fail(job, source, message, error)
    ]


def _outcomes(
    job: Job, messages: Sequence[Message], handle: Callable[[Sequence[Message]], list[Handled]]
) -> list[Handled]:
    try:
        return handle(messages)
    except WaybillError as error:
        return [error] * len(messages)
    except Exception as error:  # an edge: a defect must not lose messages or stop the job
        if not job.database_answers():
            raise
        job.log.exception("handling failed")
        defect = WaybillError(f"Handling it failed: {type(error).__name__}: {error}", code="handling-failed")
        return [defect] * len(messages)


def _tell_pushed(job: Job, source: Source, done: Sequence[Message]) -> None:
    passed = partial(
        waiting.waiting_passed,
        actor=job.actor,
        now=job.runtime.clock(),
        forget_body=source.queue in job.runtime.settings.personal_queues,
    )
    for message in done:
        if (waiting_id := waiting_id_of(message)) is not None:
            job.runtime.transact(partial(passed, waiting_id=waiting_id))


def _fail(job: Job, source: Source, message: Message, error: WaybillError) -> bool:
    """Let a message come back later and return True, or send it to the waiting queue."""
    job.count("failed")
    refused = isinstance(error, InvalidInput | Conflict | NotFound)
    # Whoever pushed a message is waiting for the verdict.
    last = message.receives >= job.runtime.settings.max_receives or (
        refused and waiting_id_of(message) is not None
    )
    subject = _subject(source, message)
    job.log.warning("message failed", subject=subject, code=error.code, receives=message.receives)
    if last:
        _send_to_waiting(job, source, message, subject, error)
        return False
    wait = _REFUSED_WAIT_SECONDS if refused else min(2**message.receives, _LONGEST_WAIT_SECONDS)
    job.runtime.queues.return_later(source.queue, message, wait)
    return True


def _subject(source: Source, message: Message) -> str:
    try:
        return source.subject(message)[:500] or message.id
    except Exception:  # noqa: BLE001 - an edge: what cannot even be named must reach the waiting queue too
        return message.id


def _send_to_waiting(job: Job, source: Source, message: Message, subject: str, error: WaybillError) -> None:
    field = f" (field {error.field})" if isinstance(error, InvalidInput) and error.field else ""
    attributes = message.attributes | {
        "queue": source.queue,
        "code": error.code,
        "reason": (error.reason + field)[:2000],
        "subject": subject,
        "receives": str(message.receives),
    }
    outgoing = Outgoing(message.body, message.group, f"waiting-{message.id}", attributes)
    job.runtime.queues.send(source.waiting_queue, [outgoing])
    job.runtime.queues.acknowledge(source.queue, [message])
    job.count("waiting")


def waiting_id_of(message: Message) -> int | None:
    """Return the id of the waiting message that was pushed, when this one came of it."""
    told = message.attributes.get("waiting_id", "")
    return int(told) if told.isascii() and told.isdigit() else None


def as_error(error: Exception) -> WaybillError:
    """Turn whatever one message raised into an error with a reason."""
    if isinstance(error, WaybillError):
        return error
    return Upstream(
        f"Handling it failed: {type(error).__name__}: {error}", code="handling-failed", retryable=True
    )
