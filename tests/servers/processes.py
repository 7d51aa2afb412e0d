"""Processes known by their id only, whether or not this process started them."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable


def is_alive(pid: int) -> bool:
    """Tell whether a process runs; a child that has ended is reaped and counts as ended."""
    try:
        if os.waitpid(pid, os.WNOHANG) != (0, 0):
            return False
    except ChildProcessError:
        pass
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def end(pids: Iterable[int], number: signal.Signals = signal.SIGTERM, deadline: float = 20.0) -> None:
    """Send a signal to processes and wait until they end; kill -9 what has not in ``deadline`` seconds."""
    waiting = [pid for pid in pids if is_alive(pid)]
    for pid in waiting:
        os.kill(pid, number)
    until = time.monotonic() + deadline
    while waiting := [pid for pid in waiting if is_alive(pid)]:
        if time.monotonic() > until:
            for pid in waiting:
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.01)
