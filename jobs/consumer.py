"""How jobs take messages: receive, handle, acknowledge; and what becomes of those that fail."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from jobs.job import Job
from portal.clients.aws import Message, Outgoing
from portal.errors import Conflict, InvalidInput, NotFound, Upstream, WaybillError

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
    messages of the batch.
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
    while job.turn():
        try:
            messages = job.runtime.queues.receive(source.queue)
            if messages:
                _take(job, source, messages, handle)
        except Exception as error:  # noqa: BLE001 - an edge: what was not acknowledged comes back by itself
            job.log.warning("queue or database away", queue=source.queue, error=str(error))
            job.stopping.wait(_PAUSE_SECONDS)


def _take(
    job: Job,
    source: Source,
    messages: Sequence[Message],
    handle: Callable[[Sequence[Message]], list[Handled]],
) -> None:
    job.count("received", len(messages))
    job.runtime.reached(f"{job.name}.before-handling")
    with job.runtime.metrics.timed("job.batch_seconds", job.name):
        outcomes = _outcomes(job, messages, handle)
    done = [message for message, error in zip(messages, outcomes, strict=True) if error is None]
    job.runtime.reached(f"{job.name}.before-acknowledge")
    if done:
        job.runtime.queues.acknowledge(source.queue, done)
    job.runtime.reached(f"{job.name}.after-acknowledge")
    job.count("done", len(done))
    for message, error in zip(messages, outcomes, strict=True):
        if error is not None:
            _fail(job, source, message, error)


def _outcomes(
    job: Job, messages: Sequence[Message], handle: Callable[[Sequence[Message]], list[Handled]]
) -> list[Handled]:
    try:
        return handle(messages)
    except WaybillError as error:
        return [error] * len(messages)
    except Exception as error:  # an edge: a defect must not lose messages or stop the job
        job.log.exception("handling failed")
        defect = WaybillError(f"Handling it failed: {type(error).__name__}: {error}", code="handling-failed")
        return [defect] * len(messages)


def _fail(job: Job, source: Source, message: Message, error: WaybillError) -> None:
    job.count("failed")
    refused = isinstance(error, InvalidInput | Conflict | NotFound)
    # Whoever pushed a message is waiting for the verdict.
    last = message.receives >= job.runtime.settings.max_receives or (
        refused and "waiting_id" in message.attributes
    )
    job.log.warning(
        "message failed", subject=source.subject(message), code=error.code, receives=message.receives
    )
    if last:
        _send_to_waiting(job, source, message, error)
        return
    wait = _REFUSED_WAIT_SECONDS if refused else min(2**message.receives, _LONGEST_WAIT_SECONDS)
    job.runtime.queues.return_later(source.queue, message, wait)


def _send_to_waiting(job: Job, source: Source, message: Message, error: WaybillError) -> None:
    field = f" (field {error.field})" if isinstance(error, InvalidInput) and error.field else ""
    attributes = message.attributes | {
        "queue": source.queue,
        "code": error.code,
        "reason": (error.reason + field)[:2000],
        "subject": source.subject(message)[:500],
        "receives": str(message.receives),
    }
    waiting = Outgoing(message.body, message.group, f"waiting-{message.id}", attributes)
    job.runtime.queues.send(source.waiting_queue, [waiting])
    job.runtime.queues.acknowledge(source.queue, [message])
    job.count("waiting")


def as_error(error: Exception) -> WaybillError:
    """Turn whatever one message raised into an error with a reason."""
    if isinstance(error, WaybillError):
        return error
    return Upstream(
        f"Handling it failed: {type(error).__name__}: {error}", code="handling-failed", retryable=True
    )
