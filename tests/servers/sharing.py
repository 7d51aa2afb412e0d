"""One server for all processes of a test run: whoever needs it first starts it, the run's end stops it."""

from __future__ import annotations

import fcntl
import json
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

from tests.servers import processes


def share(directory: Path, name: str, start: Callable[[], tuple[str, list[int], Path]]) -> str:
    """Return the description of the run's server of this name, starting it when nobody has.

    ``start`` answers with its description, its process ids, and the directory to delete at the end.
    """
    with (directory / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        told = directory / f"{name}.json"
        if told.exists():
            return str(json.loads(told.read_text())["description"])
        description, pids, home = start()
        told.write_text(json.dumps({"description": description, "pids": pids, "home": str(home)}))
        return description


def end_all(directory: Path) -> None:
    """Kill every server that was shared through this directory, and delete what they wrote."""
    for told in sorted(directory.glob("*.json")):
        server = json.loads(told.read_text())
        processes.end(server["pids"], signal.SIGKILL)
        shutil.rmtree(server["home"], ignore_errors=True)
        told.unlink()
