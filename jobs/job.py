"""What every job is handed, and how it says that it is alive."""

import os
import signal
import socket
import threading
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import structlog
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from portal.events import Actor
from portal.metrics import service as metrics
from portal.runtime import Runtime

_SILENT_SECONDS = 60


@dataclass
class Job:
    """One running instance of a job: its runtime, its counters, and whether it is to stop."""

    name: str
    runtime: Runtime
    supervisor: int | None = None
    stopping: threading.Event = field(default_factory=threading.Event)
    counters: Counter[str] = field(default_factory=Counter)
    details: dict[str, Any] = field(default_factory=dict)
    _last_turns: dict[int, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.instance = f"{socket.gethostname()}:{os.getpid()}"
        self.actor = Actor("job", self.name)
        self.log = structlog.get_logger().bind(job=self.name)
        self.turn()

    def turn(self) -> bool:
        """Say that this thread's loop goes round; return whether it is to go on."""
        self._last_turns[threading.get_ident()] = self.runtime.monotonic()
        if self.supervisor not in (None, os.getppid()):
            self.log.warning("the supervisor is gone", supervisor=self.supervisor)
            self.stopping.set()
        return not self.stopping.is_set()

    def count(self, what: str, number: int = 1) -> None:
        """Count messages or steps: received, done, failed, duplicate."""
        if number:
            self.counters[what] += number
            self.runtime.metrics.count(f"job.{what}", number, self.name)

    def database_answers(self) -> bool:
        """Tell whether the writer can be asked at all: if not, a failure is not the message's own."""
        try:
            with self.runtime.writer() as session:
                session.execute(text("SELECT 1"))
        except SQLAlchemyError:
            return False
        return True

    def stop_on_signals(self) -> None:
        """Finish the batch in hand and stop when told to by SIGTERM or SIGINT."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self.stopping.set())

    def keep_beating(self) -> threading.Thread:
        """Write heartbeats and metrics from a thread, at once and until the job stops.

        A loop that has not gone round for a minute is stuck: then the job's heartbeat stops too.
        """
        thread = threading.Thread(target=self._beat_until_stopped, name="heartbeat", daemon=True)
        thread.start()
        return thread

    def _beat_until_stopped(self) -> None:
        started_at = self.runtime.clock()
        stopping = False
        while not stopping:
            if not self._is_stuck():
                self._beat(started_at)
            stopping = self.stopping.wait(self.runtime.settings.heartbeat_seconds)
        self._beat(started_at)

    def _is_stuck(self) -> bool:
        # A copy at once: a loop that begins meanwhile adds its thread.
        return self.runtime.monotonic() - min(list(self._last_turns.values())) >= _SILENT_SECONDS

    def _beat(self, started_at: datetime) -> None:
        try:
            self.runtime.transact(
                lambda session: metrics.beat(
                    session,
                    job=self.name,
                    instance=self.instance,
                    pid=os.getpid(),
                    started_at=started_at,
                    now=self.runtime.clock(),
                    counters=dict(self.counters) | self.details,
                )
            )
            self.runtime.metrics.flush(self.runtime.transact, self.runtime.clock())
        except Exception as error:  # noqa: BLE001 - an edge: a beat that fails must not end the job
            self.log.warning("heartbeat failed", error=str(error))
