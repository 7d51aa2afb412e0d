"""CPU time of processes, as Linux counts it: a figure that a busy machine hardly changes."""

from __future__ import annotations

import os
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


def descendants(pid: int) -> list[int]:
    """Return the ids of all processes below one, itself left out."""
    children = [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return children + [one for child in children for one in descendants(child)]


def cpu_seconds(pid: int) -> float:
    """Return user and system time of a running process with all its threads, in seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def command(pid: int) -> str:
    """Return the command line of a running process."""
    return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ").strip()
