"""A job of referrals that is killed at any named point loses nothing and does nothing twice."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from random import Random

import pytest
from sqlalchemy import select

from portal.clients.aws import make_client
from portal.events import Event
from portal.referrals.progress.models import ReferralProgress
from portal.runtime import Runtime
from sandbox.backbone import Backbone
from sandbox.child import Child
from tests.faults.referral_events import (
    Story,
    assert_rewards_as_submitted,
    assert_rows_as_submitted,
    publish,
)
from tests.faults.test_referral_events import QUEUES, left, undelivered
from tests.referrals.spending import LONG_AGO, open_referrals, spend_scheme
from tests.servers.waiting import wait_until

SECONDS = 60
JOBS = ("sign-ups", "verifications", "rewards")
POINTS = {
    "sign-ups": ("before-commit", "after-commit", "after-acknowledge"),
    "verifications": ("before-handling", "before-acknowledge"),
    "rewards": ("before-call", "after-call", "after-commit"),
}


@pytest.fixture
def started() -> Iterator[list[Child]]:
    """Give a list for jobs that are stopped at the end."""
    jobs: list[Child] = []
    yield jobs
    for job in jobs:
        os.kill(job.pid, signal.SIGTERM)
    for job in jobs:
        job.stop()


@pytest.mark.parametrize(
    ("job", "point"), [(job, point) for job, points in POINTS.items() for point in points]
)
def test_a_listener_or_courier_killed_at_a_named_point_leaves_all_as_submitted(
    backbone: Backbone, runtime: Runtime, started: list[Child], job: str, point: str
) -> None:
    random = Random(7)
    story = Story.tell(random, 12, runtime.clock())
    story.prepare(runtime)
    prompt, late = story.messages(random)
    sns = make_client("sns", runtime.settings)
    topics = {queue: sns.create_topic(Name=queue)["TopicArn"] for queue in QUEUES}
    publish(runtime, sns, topics, prompt + late)
    started.append(backbone.start_jobs(*(name for name in JOBS if name != job)))
    victim = backbone.start_jobs(job, KILL_AT=f"{job}.{point}")

    assert victim.wait(SECONDS) == -signal.SIGKILL, victim.log_tail()
    started.append(backbone.start_jobs(job))

    wait_until(lambda: left(runtime) == 0, SECONDS, "all messages are taken")
    wait_until(lambda: undelivered(runtime) == 0, SECONDS, "all rewards are delivered")
    assert_rows_as_submitted(runtime, story)
    assert_rewards_as_submitted(runtime, backbone.client, story)


def test_an_expiry_killed_before_and_after_its_commit_ends_each_referral_once(
    backbone: Backbone, runtime: Runtime, started: list[Child]
) -> None:
    ended: list[int] = []
    for point in ("before-commit", "after-commit"):
        users = range(len(ended) + 1, len(ended) + 6)
        ended += runtime.transact(
            lambda session, users=users: open_referrals(  # type: ignore[misc]
                session, spend_scheme(session), users, expires_at=LONG_AGO
            )
        )
        victim = backbone.start_jobs("expiry", KILL_AT=f"expiry.{point}")
        assert victim.wait(SECONDS) == -signal.SIGKILL, victim.log_tail()
    started.append(backbone.start_jobs("expiry"))
    wait_until(lambda: statuses(runtime) == ["expired"] * len(ended), SECONDS, "all have expired")
    with runtime.writer() as session:
        told = session.scalars(select(Event.subject_id).where(Event.kind == "referral.expired"))
        assert sorted(told) == sorted(ended)


def statuses(runtime: Runtime) -> list[str]:
    with runtime.writer() as session:
        return list(session.scalars(select(ReferralProgress.status)))
