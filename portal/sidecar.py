"""A process that lives and dies with this one: started, started again when it dies, stopped in the end."""

import os
import signal
import threading
import time
from collections.abc import Mapping, Sequence
from logging import Logger

_LOOK_SECONDS = 0.2
_LONGEST_PAUSE_SECONDS = 10.0
# Whoever ran this long had no trouble starting.
_STEADY_SECONDS = 30.0
# The jobs finish what they have in hand, for 25 s at most.
_STOP_SECONDS = 30.0


class Sidecar:
    """Keeps one child process running from a thread until it is stopped.

    The child is in a process group of its own, so that Ctrl-C reaches it only through `stop`. It must watch
    for the end of its parent by itself: a process that is killed cannot stop anything. `close` are the
    descriptors that it must not hold open, such as listening sockets.
    """

    def __init__(
        self, command: Sequence[str], environment: Mapping[str, str], log: Logger, close: Sequence[int] = ()
    ) -> None:
        self._command = list(command)
        self._environment = environment
        self._log = log
        self._close = close
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="sidecar", daemon=True)
        self._pid: int | None = None

    def start(self) -> None:
        """Start the child, and keep it running."""
        self._thread.start()

    def stop(self) -> None:
        """Stop the child with SIGTERM and wait for it; kill it when it takes too long."""
        self._stopping.set()
        self._thread.join()
        if self._pid is None or _has_ended(self._pid):
            return
        os.kill(self._pid, signal.SIGTERM)
        ends_at = time.monotonic() + _STOP_SECONDS
        while not _has_ended(self._pid):
            if time.monotonic() > ends_at:
                self._log.error("sidecar did not stop in time (pid: %s)", self._pid)
                os.kill(self._pid, signal.SIGKILL)
                os.waitpid(self._pid, 0)
                return
            time.sleep(0.02)

    def _keep(self) -> None:
        pause = 0.0
        while not self._stopping.wait(pause):
            began = time.monotonic()
            self._pid = self._spawn()
            self._log.info("sidecar started (pid: %s)", self._pid)
            while not _has_ended(self._pid):
                if self._stopping.wait(_LOOK_SECONDS):
                    return
            steady = time.monotonic() - began > _STEADY_SECONDS
            pause = _LOOK_SECONDS if steady else min(max(pause * 2, _LOOK_SECONDS), _LONGEST_PAUSE_SECONDS)
            self._log.error("sidecar ended and is started again in %s s", pause)

    def _spawn(self) -> int:
        # Not by subprocess: the pipe by which it learns of a failed start is inherited by a worker that
        # the main thread forks at this moment, and then it waits for as long as that worker lives.
        no_input = (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)
        closed = [(os.POSIX_SPAWN_CLOSE, descriptor) for descriptor in self._close]
        return os.posix_spawn(
            self._command[0],
            self._command,
            self._environment,
            file_actions=[no_input, *closed],
            setpgroup=0,
        )


def _has_ended(pid: int) -> bool:
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    except ChildProcessError:
        # The web server reaps all children, this one too.
        return True
