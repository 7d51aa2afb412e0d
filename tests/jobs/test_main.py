"""`python -m jobs` tells in a line what is wrong, and runs what it is asked to run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import select

from jobs.__main__ import NAMES
from portal.metrics.models import JobHeartbeat
from portal.runtime import Runtime
from sandbox.child import Child
from tests.servers import processes
from tests.servers.waiting import wait_until

SECONDS = 60


@pytest.fixture
def environment(runtime: Runtime) -> dict[str, str]:
    told = runtime.settings.model_dump(exclude_none=True)
    return (
        os.environ | {name.upper(): str(value) for name, value in told.items()} | {"HEARTBEAT_SECONDS": "1"}
    )


def run(environment: dict[str, str], *names: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "jobs", *names]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def pids(runtime: Runtime) -> dict[str, int]:
    """Return the process id of each job, as its heartbeat tells it."""
    with runtime.writer() as session:
        return {beat.job: beat.pid for beat in session.scalars(select(JobHeartbeat))}


def test_an_unknown_job_is_one_clear_line(environment: dict[str, str]) -> None:
    ended = run(environment, "reader", "writer")
    assert ended.returncode == 2
    assert ended.stderr == (f"There is no job writer; there are: {', '.join(NAMES)}.\n")


def test_an_unknown_job_in_the_settings_is_one_clear_line_too(environment: dict[str, str]) -> None:
    ended = run(environment | {"JOBS": "reader, writer"})
    assert (ended.returncode, len(ended.stderr.splitlines())) == (2, 1)
    assert ended.stderr.startswith("There is no job writer;")


def test_settings_that_cannot_be_used_are_told_together(environment: dict[str, str]) -> None:
    ended = run(environment | {"SECRET_KEY": "short", "DATA_KEY": "", "LEASE_SECONDS": "20"}, "reader")
    assert ended.returncode == 2
    assert ended.stderr.splitlines()[0] == "The settings cannot be used:"
    assert {line.partition(":")[0] for line in ended.stderr.splitlines()[1:]} == {
        "SECRET_KEY",
        "DATA_KEY",
        "LEASE_SECONDS",
    }
    assert "more than twice CALL_DEADLINE_SECONDS, which is 10" in ended.stderr


def test_all_jobs_run_beat_and_stop_cleanly(
    environment: dict[str, str], runtime: Runtime, tmp_path: Path
) -> None:
    jobs = Child("The jobs", ["jobs"], environment, tmp_path / "jobs.log")
    try:
        wait_until(lambda: len(pids(runtime)) == len(NAMES), SECONDS, "all jobs beat")
    finally:
        code = jobs.stop()
    assert code == 0, jobs.log_tail()
    assert not any(map(processes.is_alive, pids(runtime).values()))
    assert jobs.log.read_text().count('"event": "job stopped"') == len(NAMES)


def test_one_job_runs_in_the_process_itself(
    environment: dict[str, str], runtime: Runtime, tmp_path: Path
) -> None:
    job = Child("The job", ["jobs", "reader"], environment, tmp_path / "job.log")
    try:
        wait_until(lambda: pids(runtime) == {"reader": job.pid}, SECONDS, "it beats")
    finally:
        code = job.stop()
    assert code == 0, job.log_tail()


def test_jobs_whose_supervisor_is_killed_stop_by_themselves(
    environment: dict[str, str], runtime: Runtime, tmp_path: Path
) -> None:
    jobs = Child("The jobs", ["jobs"], environment, tmp_path / "jobs.log")
    try:
        wait_until(lambda: len(pids(runtime)) == len(NAMES), SECONDS, "all jobs beat")
    finally:
        jobs.kill()
    left = pids(runtime).values()
    wait_until(lambda: not any(map(processes.is_alive, left)), SECONDS, "all jobs have ended")
    assert jobs.log.read_text().count('"event": "job stopped"') == len(NAMES)
