"""A job that dies whenever it is handed a certain message: `python -m tests.jobs.deadly`."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence

from jobs.consumer import Handled, Source, consume
from jobs.job import Job
from portal.clients.aws import Message
from portal.runtime import build_runtime
from portal.settings import load_settings

POISON = "poison"
QUEUE, WAITING = "mail-events", "mail-events-waiting"


def handle(messages: Sequence[Message]) -> list[Handled]:
    """Die of the poison; everything else is handled."""
    if any(message.body == POISON for message in messages):
        os.kill(os.getpid(), signal.SIGKILL)
    return [None] * len(messages)


def main() -> None:
    job = Job("deadly", build_runtime(load_settings(os.environ)))
    job.stop_on_signals()
    consume(job, Source(QUEUE, WAITING, lambda message: message.id), handle)


if __name__ == "__main__":
    main()
