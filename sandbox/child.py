"""A child process with a log of its own, which ends when its parent does."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Self

_PR_SET_PDEATHSIG = 1


class ChildError(RuntimeError):
    """Say that a child did not start or has ended, and quote the end of its log."""


class Child:
    """Run `python -m …` with this interpreter, in a session of its own: Ctrl-C is its parent's alone."""

    def __init__(self, name: str, module: Sequence[str], environment: Mapping[str, str], log: Path) -> None:
        self.name = name
        self.log = log
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", *module],
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=die_with_parent(),  # noqa: PLW1509 - no threads run yet where children are started
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    def alive(self) -> bool:
        return self._process.poll() is None

    def wait_until(self, ready: Callable[[], bool], seconds: float = 30.0) -> Self:
        """Return when `ready` says so; raises ChildError when the child ends or the time is over."""
        until = time.monotonic() + seconds
        while not ready():
            if not self.alive():
                raise ChildError(
                    f"{self.name} ended with code {self._process.returncode}:\n{self.log_tail()}"
                )
            if time.monotonic() > until:
                raise ChildError(f"{self.name} was not ready after {seconds:g} s:\n{self.log_tail()}")
            time.sleep(0.03)
        return self

    def stop(self, seconds: float = 30.0) -> int:
        """Stop by SIGTERM and wait; kill what has not ended in time. Return the exit code."""
        if self.alive():
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(seconds)
            except subprocess.TimeoutExpired:
                self._process.kill()
        return self._process.wait()

    def kill(self) -> None:
        """End it as a power failure would."""
        self._process.kill()
        self._process.wait()

    def wait(self, seconds: float) -> int:
        """Wait for its end; return the exit code, negative for a signal."""
        return self._process.wait(seconds)

    def log_tail(self) -> str:
        return self.log.read_text(errors="replace")[-2000:]


def die_with_parent() -> Callable[[], None] | None:
    """Return what a new process does first so that it is told to end when its parent was killed (Linux)."""
    if not sys.platform.startswith("linux"):
        return None
    libc, parent = ctypes.CDLL(None), os.getpid()

    def prepare() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:
            os._exit(1)

    return prepare
