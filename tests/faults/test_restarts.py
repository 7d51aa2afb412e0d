"""Jobs may be stopped or killed at any time, under load: nothing is lost, and nothing done twice."""

from __future__ import annotations

import os
import secrets
import signal
from random import Random

import pytest
from sqlalchemy import select

from portal.metrics.models import JobHeartbeat
from portal.runtime import Runtime
from sandbox.backbone import Backbone
from tests.faults.conftest import StartJobs
from tests.faults.orders import (
    assert_every_effect_once,
    numbered,
    put_orders,
    wait_for_completion,
    wait_until_completed,
)
from tests.servers import processes
from tests.servers.waiting import wait_until

ALL = ("transformer", "reader", "runner", "mail-events")
SECONDS = 90
DATABASES = ["sqlite", pytest.param("mariadb", marks=pytest.mark.mariadb)]


@pytest.mark.parametrize("database", DATABASES)
def test_all_jobs_are_stopped_under_load_and_go_on_when_they_start_again(
    runtime: Runtime, backbone: Backbone, start_jobs: StartJobs, database: str
) -> None:
    numbers = numbered("R", 60)
    put_orders(runtime, numbers)
    for completed in (1, 15, 30):
        jobs = start_jobs(*ALL, CALLS_IN_FLIGHT="4")
        wait_until_completed(runtime, completed)
        assert jobs.stop() == 0, jobs.log_tail()
    start_jobs(*ALL)
    wait_for_completion(runtime, len(numbers))
    assert_every_effect_once(backbone.client, numbers)


def running_jobs(runtime: Runtime) -> list[int]:
    """Return the process ids of the jobs that live, as their heartbeats tell them."""
    with runtime.writer() as session:
        pids = list(session.scalars(select(JobHeartbeat.pid).order_by(JobHeartbeat.pid)))
    return [pid for pid in pids if processes.is_alive(pid)]


def test_jobs_that_are_killed_at_random_lose_nothing(
    runtime: Runtime, backbone: Backbone, start_jobs: StartJobs
) -> None:
    seed = secrets.randbits(32)
    print(f"seed {seed}")
    random, numbers = Random(seed), numbered("R", 60)
    put_orders(runtime, numbers)
    start_jobs(*ALL, CALLS_IN_FLIGHT="4")
    for step in range(6):
        wait_until_completed(runtime, 1 + step * 8)
        victims = wait_until(lambda: running_jobs(runtime), SECONDS, "there is a job to kill")
        os.kill(random.choice(victims), signal.SIGKILL)
    wait_for_completion(runtime, len(numbers))
    assert_every_effect_once(backbone.client, numbers)
