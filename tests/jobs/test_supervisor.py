"""Jobs are started again when they die, and stopped together."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.servers import processes
from tests.servers.waiting import wait_until

SECONDS = 30
Supervised = subprocess.Popen[bytes]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Supervised]]:
    """Start a supervisor with two jobs; whatever is left of them at the end is killed."""
    started: list[Supervised] = []

    def begin(*words: str) -> Supervised:
        with (tmp_path / "log").open("ab") as log:
            command = [sys.executable, "-m", "tests.jobs.supervised", str(tmp_path), *words]
            started.append(subprocess.Popen(command, stderr=log))
        return started[0]

    yield begin
    for process in started:
        process.kill()
        process.wait()
    processes.end([pid for name in ("one", "two") if (pid := pid_of(tmp_path, name))], signal.SIGKILL)


def pid_of(folder: Path, name: str) -> int:
    """Return the process id that a job wrote down, 0 when it did not yet."""
    path = folder / name
    return int(path.read_text() or 0) if path.exists() else 0


def both(folder: Path) -> tuple[int, int]:
    wait_until(lambda: pid_of(folder, "one") and pid_of(folder, "two"), SECONDS, "both jobs run")
    return pid_of(folder, "one"), pid_of(folder, "two")


def told(folder: Path) -> list[dict[str, object]]:
    """Return what the supervisor wrote to its log."""
    return [json.loads(line) for line in (folder / "log").read_text().splitlines()]


def test_a_job_that_is_killed_is_started_again_after_pauses_that_grow(
    start: Callable[..., Supervised], tmp_path: Path
) -> None:
    start()
    first, other = both(tmp_path)
    killed = {first}
    for _ in range(3):
        os.kill(pid_of(tmp_path, "one"), signal.SIGKILL)
        wait_until(lambda: pid_of(tmp_path, "one") not in killed, SECONDS, "it is started again")
        killed.add(pid_of(tmp_path, "one"))
    assert [line["seconds"] for line in told(tmp_path) if "seconds" in line] == [0.2, 0.4, 0.8]
    assert pid_of(tmp_path, "two") == other
    assert processes.is_alive(other)


def test_sigterm_stops_all_jobs_cleanly(start: Callable[..., Supervised], tmp_path: Path) -> None:
    supervisor = start()
    pids = both(tmp_path)
    supervisor.terminate()
    assert supervisor.wait(SECONDS) == 0
    assert not any(processes.is_alive(pid) for pid in pids)
    assert (tmp_path / "one.stopped").exists()
    assert (tmp_path / "two.stopped").exists()


def test_a_job_that_is_waiting_to_be_started_again_does_not_keep_the_others_from_stopping(
    start: Callable[..., Supervised], tmp_path: Path
) -> None:
    supervisor = start()
    one, _ = both(tmp_path)
    os.kill(one, signal.SIGKILL)
    wait_until(lambda: told(tmp_path), SECONDS, "its end was noticed")
    supervisor.terminate()
    assert supervisor.wait(SECONDS) == 0


def test_a_sigterm_right_after_the_fork_is_not_forgotten(
    start: Callable[..., Supervised], tmp_path: Path
) -> None:
    start("early")
    pids = both(tmp_path)
    assert int((tmp_path / "early").read_text()) not in pids


def test_when_the_process_that_started_it_is_gone_a_supervisor_stops_its_jobs(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.jobs.supervised", str(tmp_path)]
    # A shell that starts it and dies: the supervisor becomes another's child.
    script = 'exec 2>"$1"; shift; "$@" & wait'
    shell = subprocess.Popen(["sh", "-c", script, "sh", str(tmp_path / "log"), *command])
    pids = both(tmp_path)
    shell.kill()
    shell.wait()
    wait_until(lambda: not any(map(processes.is_alive, pids)), SECONDS, "the jobs have stopped")
    assert (tmp_path / "one.stopped").exists()
