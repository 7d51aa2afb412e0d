"""However many runners there are, each step has one owner, and who comes too late is fenced off."""

from __future__ import annotations

import os
import signal
from collections import Counter

import pytest
from sqlalchemy import func, select

from portal.metrics.models import JobHeartbeat
from portal.orders.models import OrderStep
from portal.orders.states import StepState
from portal.runtime import Runtime
from portal.work import Work
from sandbox.backbone import Backbone
from tests.faults.conftest import StartJobs
from tests.faults.orders import (
    assert_every_effect_once,
    events_of,
    numbered,
    put_orders,
    wait_for_completion,
)
from tests.servers.waiting import wait_until

SECONDS = 60
DATABASES = ["sqlite", pytest.param("mariadb", marks=pytest.mark.mariadb)]


def assert_each_step_passed_once(runtime: Runtime) -> None:
    """Hold the timeline against the steps: nothing was recorded by two."""
    told = Counter(
        (event.subject_id, event.data["element_id"]) for event in events_of(runtime, "step.passed")
    )
    with runtime.writer() as session:
        steps = session.scalars(select(OrderStep).where(OrderStep.state == StepState.PASSED))
        assert told == Counter((step.order_id, step.element_id) for step in steps)


def leased(runtime: Runtime) -> int:
    with runtime.writer() as session:
        held = select(func.count()).select_from(Work).where(Work.lease_token.is_not(None))
        return session.scalars(held).one()


def beat(runtime: Runtime, pid: int) -> JobHeartbeat | None:
    with runtime.writer() as session:
        return session.scalars(select(JobHeartbeat).where(JobHeartbeat.pid == pid)).one_or_none()


# One that sleeps in the middle of a write to SQLite keeps everybody from writing.
@pytest.mark.parametrize("database", DATABASES[1:])
def test_a_runner_that_sleeps_past_its_leases_is_fenced_off_when_it_wakes(
    runtime: Runtime, backbone: Backbone, start_jobs: StartJobs, database: str
) -> None:
    numbers = numbered("O", 8)
    # Late enough for the runner to be found in the middle of its calls, and in time for their deadline.
    backbone.client.put_fault("eom", "slow", seconds=1)
    put_orders(runtime, numbers)
    start_jobs("transformer", "reader", "mail-events")
    sleeper = start_jobs("runner", CALLS_IN_FLIGHT="4")
    wait_until(lambda: leased(runtime) == 4, SECONDS, "it is in the middle of its calls")
    os.kill(sleeper.pid, signal.SIGSTOP)
    start_jobs("runner")
    wait_for_completion(runtime, len(numbers))
    slept_until = runtime.clock()
    os.kill(sleeper.pid, signal.SIGCONT)

    def awake() -> bool:
        found = beat(runtime, sleeper.pid)
        return found is not None and found.at > slept_until and found.counters.get("done", 0) >= 4

    wait_until(awake, SECONDS, "it has committed what it had in hand")
    wait_for_completion(runtime, len(numbers))
    assert_every_effect_once(backbone.client, numbers)
    assert_each_step_passed_once(runtime)


@pytest.mark.parametrize("database", DATABASES)
def test_two_runners_share_the_work_and_do_nothing_twice(
    runtime: Runtime, backbone: Backbone, start_jobs: StartJobs, database: str
) -> None:
    numbers = numbered("O", 40)
    put_orders(runtime, numbers)
    start_jobs("transformer", "reader", "mail-events")
    runners = [start_jobs("runner", CALLS_IN_FLIGHT="3") for _ in range(2)]
    wait_for_completion(runtime, len(numbers))
    shares = [found.counters.get("done", 0) for runner in runners if (found := beat(runtime, runner.pid))]
    assert_every_effect_once(backbone.client, numbers)
    assert_each_step_passed_once(runtime)
    assert len(shares) == 2
