"""Two jobs under a supervisor, for tests of it: `python -m tests.jobs.supervised FOLDER [early]`.

Each job writes its process id to a file of its own name, and runs until it is told to stop. With
`early`, the first child gets SIGTERM right after the fork, before it has run a line of its own.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from functools import partial
from pathlib import Path

from jobs.supervisor import Supervisor
from portal.logs import configure_logs


def job(folder: Path, name: str) -> None:
    """Run until SIGTERM."""
    stopping = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    (folder / name).write_text(str(os.getpid()))
    stopping.wait()
    (folder / f"{name}.stopped").touch()


def stop_early(folder: Path) -> None:
    """Send SIGTERM to this process, which was just forked, unless one before it got it."""
    if not (folder / "early").exists():
        (folder / "early").write_text(str(os.getpid()))
        os.kill(os.getpid(), signal.SIGTERM)


def main() -> int:
    folder = Path(sys.argv[1])
    configure_logs("info")
    if "early" in sys.argv:
        os.register_at_fork(after_in_child=partial(stop_early, folder))
    return Supervisor({name: partial(job, folder, name) for name in ("one", "two")}).run()


if __name__ == "__main__":
    sys.exit(main())
