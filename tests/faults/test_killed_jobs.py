"""A job that is killed at any named point loses nothing and does nothing twice."""

from __future__ import annotations

import signal

import pytest

from portal.runtime import Runtime
from sandbox.backbone import Backbone
from tests.faults.conftest import StartJobs
from tests.faults.orders import assert_every_effect_once, numbered, put_orders, wait_for_completion

POINTS = {
    "runner": (
        "before-claim",
        "after-claim",
        "before-call:1",
        "before-call:7",
        "after-call:1",
        "after-call:9",
        "before-commit:2",
        "after-commit:2",
    ),
    "reader": ("before-handling", "before-commit", "after-commit", "before-acknowledge", "after-acknowledge"),
    "transformer": (
        "before-handling",
        "before-send",
        "after-send",
        "before-acknowledge",
        "after-acknowledge",
    ),
    "mail-events": ("before-handling", "before-acknowledge"),
}
ALL = ("transformer", "reader", "runner", "mail-events")


@pytest.mark.parametrize(
    ("job", "database"),
    [
        ("runner", "sqlite"),
        pytest.param("runner", "mariadb", marks=pytest.mark.mariadb),
        ("reader", "sqlite"),
        pytest.param("reader", "mariadb", marks=pytest.mark.mariadb),
        ("transformer", "sqlite"),
        ("mail-events", "sqlite"),
    ],
)
def test_a_job_killed_at_each_named_point_completes_every_order_with_every_effect_once(
    runtime: Runtime, backbone: Backbone, start_jobs: StartJobs, job: str, database: str
) -> None:
    """One after the other die at their points, each with work in hand; the next takes up what they left."""
    numbers = numbered("K", 8 * len(POINTS[job]))
    start_jobs(*(name for name in ALL if name != job))
    for at, point in enumerate(POINTS[job]):
        put_orders_from(runtime, numbers, at)
        victim = start_jobs(job, KILL_AT=f"{job}.{point}", CALLS_IN_FLIGHT="6")
        assert victim.wait(60) == -signal.SIGKILL, f"{point}: {victim.log_tail()}"
    start_jobs(job)
    wait_for_completion(runtime, len(numbers))
    assert_every_effect_once(backbone.client, numbers)


def put_orders_from(runtime: Runtime, numbers: list[str], part: int) -> None:
    """Put the next eight orders into the bucket."""
    put_orders(runtime, numbers[part * 8 : part * 8 + 8], first_seed=part * 8)
