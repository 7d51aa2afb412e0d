"""A process that lives and dies with this one: started, started again when it dies, stopped in the end."""

import signal
import subprocess
import threading
import time
from collections.abc import Sequence
from logging import Logger

_LOOK_SECONDS = 0.2
_LONGEST_PAUSE_SECONDS = 10.0
# Whoever ran this long had no trouble starting.
_STEADY_SECONDS = 30.0
# The jobs finish what they have in hand, for 25 s at most.
_STOP_SECONDS = 30.0


class Sidecar:
    """Keeps one child process running from a thread until it is stopped.

    The child is in a session of its own, so that Ctrl-C reaches it only through `stop`. It must watch for
    the end of its parent by itself: a process that is killed cannot stop anything.
    """

    def __init__(self, command: Sequence[str], log: Logger) -> None:
        self._command = list(command)
        self._log = log
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="sidecar", daemon=True)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the child, and keep it running."""
        self._thread.start()

    def stop(self) -> None:
        """Stop the child with SIGTERM and wait for it; kill it when it takes too long."""
        self._stopping.set()
        self._thread.join()
        if self._process is None or self._process.poll() is not None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._log.error("sidecar did not stop in time (pid: %s)", self._process.pid)
            self._process.kill()
            self._process.wait()

    def _keep(self) -> None:
        pause = 0.0
        while not self._stopping.wait(pause):
            began = time.monotonic()
            self._process = subprocess.Popen(self._command, stdin=subprocess.DEVNULL, start_new_session=True)
            self._log.info("sidecar started (pid: %s)", self._process.pid)
            while self._process.poll() is None:
                if self._stopping.wait(_LOOK_SECONDS):
                    return
            steady = time.monotonic() - began > _STEADY_SECONDS
            pause = _LOOK_SECONDS if steady else min(max(pause * 2, _LOOK_SECONDS), _LONGEST_PAUSE_SECONDS)
            self._log.error("sidecar ended and is started again in %s s", pause)
