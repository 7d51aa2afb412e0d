"""Keeps a process for each job: starts it, starts it again when it dies, and stops them all together."""

import os
import signal
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import structlog

log = structlog.get_logger()

_FIRST_PAUSE_SECONDS = 0.2
_LONGEST_PAUSE_SECONDS = 10.0
# Whoever ran this long had no trouble starting.
_STEADY_SECONDS = 30.0
_STOP_SECONDS = 25.0
_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


@dataclass
class _Child:
    pid: int
    started_at: float
    pause: float = _FIRST_PAUSE_SECONDS
    start_again_at: float | None = None


class Supervisor:
    """Forks its jobs from one process that holds no connections and no threads, so a start is quick."""

    def __init__(self, jobs: Mapping[str, Callable[[], None]]) -> None:
        self._jobs = jobs
        self._children: dict[str, _Child] = {}
        self._stopping = threading.Event()
        self._parent = os.getppid()

    def run(self) -> int:
        """Run until SIGTERM, SIGINT, or the end of the process that started this one."""
        for number in _STOP_SIGNALS:
            signal.signal(number, lambda *_: self._stopping.set())
        for name in self._jobs:
            self._children[name] = self._start(name)
        while not self._stopping.wait(0.1):
            if os.getppid() != self._parent:
                log.warning("the process that started the jobs is gone")
                break
            self._start_dead_ones_again()
        self._stop_all()
        return 0

    def _start(self, name: str) -> _Child:
        # Until the child has laid down its parent's handlers, a signal would be taken and forgotten there.
        signal.pthread_sigmask(signal.SIG_BLOCK, _STOP_SIGNALS)
        pid = os.fork()
        if pid == 0:
            code = 1
            for number in _STOP_SIGNALS:
                signal.signal(number, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOP_SIGNALS)
            try:
                self._jobs[name]()
                code = 0
            except Exception:  # an edge: the reason of a job's death must be in the log
                log.exception("job died", job=name)
            finally:
                os._exit(code)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOP_SIGNALS)
        return _Child(pid, time.monotonic())

    def _start_dead_ones_again(self) -> None:
        now = time.monotonic()
        for name, child in self._children.items():
            if child.start_again_at is None and _has_ended(child.pid):
                pause = _FIRST_PAUSE_SECONDS if now - child.started_at > _STEADY_SECONDS else child.pause
                child.start_again_at, child.pause = now + pause, min(pause * 2, _LONGEST_PAUSE_SECONDS)
                log.error("job ended and will be started again", job=name, pid=child.pid, seconds=pause)
            elif child.start_again_at is not None and now >= child.start_again_at:
                fresh = self._start(name)
                fresh.pause = child.pause
                self._children[name] = fresh

    def _stop_all(self) -> None:
        alive = [child.pid for child in self._children.values() if child.start_again_at is None]
        for pid in alive:
            os.kill(pid, signal.SIGTERM)
        ends_at = time.monotonic() + _STOP_SECONDS
        while alive and time.monotonic() < ends_at:
            alive = [pid for pid in alive if not _has_ended(pid)]
            time.sleep(0.02)
        for pid in alive:
            log.error("job did not stop in time", pid=pid)
            os.kill(pid, signal.SIGKILL)


def _has_ended(pid: int) -> bool:
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    except ChildProcessError:
        return True
