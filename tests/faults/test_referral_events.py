"""Sign-ups and verifications twice, out of order, late, and listeners killed at random: all comes right."""

from __future__ import annotations

import os
import secrets
import signal
from collections.abc import Iterator, Sequence
from random import Random

import pytest
from sqlalchemy import func, select

from portal.clients.aws import make_client
from portal.referrals.rewards.models import RewardGrant
from portal.referrals.schemes.models import SchemeBudget
from portal.runtime import Runtime
from portal.work import Work
from sandbox.backbone import Backbone
from sandbox.child import Child
from tests.faults.referral_events import (
    Story,
    assert_rewards_as_submitted,
    assert_rows_as_submitted,
    publish,
)
from tests.servers.waiting import wait_until

# How many users sign up; most of them are verified too.
USERS = int(os.environ.get("REFERRAL_USERS", "300"))
SECONDS = 60 + USERS / 5
# One for every 50 users, and no fewer than eight: at any volume jobs die all the way through.
KILLS = max(8, USERS // 50)
JOBS = ("sign-ups", "sign-ups", "verifications", "verifications", "rewards", "rewards")
QUEUES = ("user-sign-ups", "user-verifications")
WAITING = tuple(f"{queue}-waiting" for queue in QUEUES)
SEED = "REFERRAL_SEED"
DATABASES = ["sqlite", pytest.param("mariadb", marks=pytest.mark.mariadb)]


class Herd:
    """Jobs that are killed, and each time started again."""

    def __init__(self, backbone: Backbone) -> None:
        self._backbone = backbone
        self.jobs = [(name, self._start(name)) for name in JOBS]

    def kill_one(self, random: Random) -> None:
        """End one as a power failure would, and start another in its place."""
        number = random.randrange(len(self.jobs))
        name, job = self.jobs[number]
        job.kill()
        self.jobs[number] = (name, self._start(name))

    def _start(self, name: str) -> Child:
        return self._backbone.start_jobs(name)

    def stop(self) -> None:
        for _, job in self.jobs:
            os.kill(job.pid, signal.SIGTERM)
        for _, job in self.jobs:
            job.stop()


@pytest.fixture
def herd(backbone: Backbone) -> Iterator[Herd]:
    started = Herd(backbone)
    yield started
    started.stop()


def left(runtime: Runtime, queues: Sequence[str] = QUEUES) -> int:
    """Return how many messages are on queues, those included that somebody holds."""
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    number = 0
    for queue in queues:
        url = runtime.queues._url(queue)
        told = runtime.queues._sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)
        number += sum(int(part) for part in told["Attributes"].values())
    return number


def undelivered(runtime: Runtime) -> int:
    with runtime.writer() as session:
        return session.scalar(select(func.count()).select_from(Work).where(Work.kind == "reward")) or 0


def kill_while_working_off(runtime: Runtime, herd: Herd, random: Random, kills: int) -> None:
    """Kill a job each time that a share of the messages was taken, and wait until none is left."""
    total = left(runtime)
    for step in range(kills):
        level = total - total * (step + 1) // (kills + 1)
        wait_until(lambda level=level: left(runtime) <= level, SECONDS, "messages are taken")  # type: ignore[misc]
        herd.kill_one(random)
    wait_until(lambda: left(runtime) == 0, SECONDS, "all messages are taken")


@pytest.mark.parametrize("database", DATABASES)
def test_rows_and_rewards_are_exactly_as_submitted(
    backbone: Backbone, runtime: Runtime, herd: Herd, database: str
) -> None:
    seed = int(os.environ.get(SEED) or secrets.randbits(32))
    print(f"seed {seed}: set {SEED} to it to see the same again")
    random = Random(seed)
    story = Story.tell(random, USERS, runtime.clock())
    story.prepare(runtime)
    prompt, late = story.messages(random)
    sns = make_client("sns", runtime.settings)
    topics = {queue: sns.create_topic(Name=queue)["TopicArn"] for queue in QUEUES}
    backbone.client.put_fault("rewards", "lost-answer", probability=0.1)

    publish(runtime, sns, topics, prompt)
    kill_while_working_off(runtime, herd, random, KILLS)
    publish(runtime, sns, topics, late)
    kill_while_working_off(runtime, herd, random, kills=KILLS // 4)
    backbone.client.clear_fault("rewards")
    wait_until(lambda: undelivered(runtime) == 0, SECONDS, "all rewards are delivered")

    assert_rows_as_submitted(runtime, story)
    assert_rewards_as_submitted(runtime, backbone.client, story)
    assert left(runtime, WAITING) == 0
    with runtime.writer() as session:
        budget = session.scalars(select(SchemeBudget)).one()
        grants = session.scalars(select(RewardGrant)).all()
    assert budget.spent == sum(grant.amount for grant in grants if grant.status == "sent")
    assert budget.committed == sum(grant.amount for grant in grants if grant.status == "failed")
    assert budget.reserved == sum(grant.amount for grant in grants if grant.code == "in-review")
