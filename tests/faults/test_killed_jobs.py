"""A job that is killed at any named point loses nothing and does nothing twice."""

from __future__ import annotations

import signal

import pytest

from portal.runtime import Runtime
from sandbox.backbone import Backbone
from tests.faults.orders import (
    assert_every_effect_once,
    gift_cards_of,
    put_orders,
    wait_for_completion,
)

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
NUMBERS = [f"K-{n}" for n in range(12)]


@pytest.mark.parametrize(
    ("job", "point"), [(job, point) for job, points in POINTS.items() for point in points]
)
def test_a_job_killed_at_a_named_point_completes_every_order_with_every_effect_once(
    backbone: Backbone, runtime: Runtime, job: str, point: str
) -> None:
    put_orders(runtime, NUMBERS)
    others = [name for name in ("transformer", "reader", "runner", "mail-events") if name != job]
    started = [backbone.start_jobs(*others)]
    victim = backbone.start_jobs(job, KILL_AT=f"{job}.{point}")

    assert victim.wait(30) == -signal.SIGKILL, victim.log_tail()
    started.append(backbone.start_jobs(job))

    try:
        wait_for_completion(runtime, len(NUMBERS))
        assert_every_effect_once(backbone.client, NUMBERS, gift_cards_of(NUMBERS))
    finally:
        for child in started:
            child.stop()
