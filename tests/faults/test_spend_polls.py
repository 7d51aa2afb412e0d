"""One poller polls at a time; one that died is replaced, and one that was only asleep writes nothing."""

from __future__ import annotations

import os
import signal
import sqlite3
from contextlib import closing
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, select

from portal.events import Event
from portal.referrals.models import PollTask, ReferralCondition
from portal.referrals.progress.models import ConditionEvidence, FailedBatch, PollRun, ReferralProgress
from portal.referrals.rewards.models import RewardGrant
from portal.runtime import Runtime
from sandbox.backbone import Backbone
from sandbox.child import Child
from tests.faults.conftest import StartJobs
from tests.referrals.spending import open_referrals, spend_scheme
from tests.servers.waiting import wait_until

SECONDS = 60
LEASE = timedelta(seconds=5)
DATABASES = ["sqlite", pytest.param("mariadb", marks=pytest.mark.mariadb)]
USERS = list(range(101, 141))
POINTS = ("before-call:3", "after-call:3", "before-commit:3", "after-commit:3")
SLOWLY = {"SPEND_USERS_PER_SECOND": "4"}


@pytest.fixture
def more_settings() -> dict[str, str]:
    return {"SPEND_BATCH_USERS": "2", "SPEND_POLL_SECONDS": "3600"}


def refer_spenders(runtime: Runtime, backbone: Backbone) -> None:
    """Make open referrals of users who have all spent enough."""
    runtime.transact(lambda session: open_referrals(session, spend_scheme(session), USERS))
    for user in USERS:
        backbone.client.spend(user, "100.00")


def rows(runtime: Runtime, model: Any, *conditions: Any) -> list[Any]:
    with runtime.writer() as session:
        return list(session.scalars(select(model).where(*conditions)))


def runs(runtime: Runtime) -> list[PollRun]:
    return rows(runtime, PollRun)


def wait_for_batches(runtime: Runtime, run: int, number: int) -> None:
    wait_until(
        lambda: len(runs(runtime)) >= run and runs(runtime)[run - 1].batches >= number,
        SECONDS,
        f"run {run} has done {number} batches",
    )


def wait_for_end(runtime: Runtime, run: int) -> None:
    wait_until(
        lambda: len(runs(runtime)) >= run and runs(runtime)[run - 1].ended_at is not None,
        SECONDS,
        f"run {run} has ended",
    )


def assert_one_effect_each(runtime: Runtime) -> None:
    """Hold what the pollers did against the users who spent enough."""
    with runtime.writer() as session:
        for model in (ReferralCondition, ConditionEvidence):
            assert session.scalar(select(func.count()).select_from(model)) == len(USERS)
    progress = rows(runtime, ReferralProgress)
    assert {row.user_id: row.status for row in progress} == dict.fromkeys(USERS, "converted")
    granted = sorted((row.referral_id, row.side) for row in rows(runtime, RewardGrant))
    assert granted == sorted((row.referral_id, side) for row in progress for side in ("recruit", "referrer"))
    for kind in ("referral.condition-met", "referral.converted"):
        told = sorted(event.subject_id for event in rows(runtime, Event, Event.kind == kind))
        assert told == sorted(row.referral_id for row in progress)


def is_free(runtime: Runtime) -> bool:
    """Tell whether nobody is in the middle of writing for a poll."""
    engine = runtime.database.writer_engine
    if engine.dialect.name == "sqlite":
        with closing(sqlite3.connect(engine.url.database or "", timeout=0, isolation_level=None)) as file:
            try:
                file.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError:
                return False
            return True
    with runtime.writer() as session:
        return session.scalar(select(PollTask.id).with_for_update(skip_locked=True)) is not None


def put_to_sleep(runtime: Runtime, poller: Child) -> None:
    """Stop a poller where it holds no lock: asleep with one, it would keep all others waiting."""

    def asleep() -> bool:
        os.kill(poller.pid, signal.SIGSTOP)
        if is_free(runtime):
            return True
        os.kill(poller.pid, signal.SIGCONT)
        return False

    wait_until(asleep, SECONDS, "it sleeps without a lock")


@pytest.mark.parametrize("database", DATABASES)
def test_a_poller_that_sleeps_past_its_lease_writes_nothing_when_it_wakes(
    runtime: Runtime, backbone: Backbone, start_jobs: StartJobs, database: str
) -> None:
    refer_spenders(runtime, backbone)
    sleeper = start_jobs("spend-poller", **SLOWLY)
    wait_for_batches(runtime, 1, 3)
    other = start_jobs("spend-poller")
    put_to_sleep(runtime, sleeper)
    (before,) = runs(runtime)
    assert before.batches < len(USERS) // 2, "it sleeps in the middle of its run"
    wait_for_end(runtime, 2)
    os.kill(sleeper.pid, signal.SIGCONT)

    def awake() -> bool:
        return "has taken over" in sleeper.log_tail() or runs(runtime)[0].batches > before.batches

    wait_until(awake, SECONDS, "it has come to its next batch")

    after, successor = runs(runtime)
    assert (after.users, after.batches, after.met, after.ended_at) == (
        before.users,
        before.batches,
        before.met,
        None,
    )
    assert successor.met == len(USERS) - before.met
    assert_one_effect_each(runtime)
    assert other.alive()


@pytest.mark.parametrize("database", DATABASES)
def test_of_two_pollers_one_polls(
    runtime: Runtime, backbone: Backbone, start_jobs: StartJobs, database: str
) -> None:
    refer_spenders(runtime, backbone)
    for _ in range(2):
        start_jobs("spend-poller", **SLOWLY)
    wait_for_end(runtime, 1)
    (run,) = runs(runtime)
    assert (run.users, run.met) == (len(USERS), len(USERS))
    assert_one_effect_each(runtime)


@pytest.mark.parametrize("database", DATABASES)
@pytest.mark.parametrize("point", POINTS)
def test_a_poller_that_was_killed_is_replaced_after_its_lease(
    runtime: Runtime, backbone: Backbone, start_jobs: StartJobs, database: str, point: str
) -> None:
    refer_spenders(runtime, backbone)
    victim = start_jobs("spend-poller", KILL_AT=f"spend-poller.{point}")
    assert victim.wait(SECONDS) == -signal.SIGKILL, victim.log_tail()
    (task,) = rows(runtime, PollTask)
    assert task.in_progress
    start_jobs("spend-poller")
    wait_for_end(runtime, 2)
    killed, successor = runs(runtime)
    assert killed.ended_at is None
    assert successor.started_at - task.updated_at >= LEASE
    assert killed.met + successor.met == len(USERS)
    assert_one_effect_each(runtime)


class TestASpendServiceThatIsAway:
    @pytest.fixture
    def more_settings(self) -> dict[str, str]:
        few = {"BREAKER_FAILURES": "2", "BREAKER_SECONDS": "2"}
        return {"SPEND_BATCH_USERS": "2", "SPEND_POLL_SECONDS": "3600"} | few

    def test_is_left_alone_while_the_poll_is_kept_and_asked_when_it_is_back(
        self, runtime: Runtime, backbone: Backbone, start_jobs: StartJobs
    ) -> None:
        refer_spenders(runtime, backbone)
        backbone.client.put_fault("spend", "down")
        start_jobs("spend-poller")
        # Two that open the breaker, one that was under way with them, and then a trial now and then.
        wait_until(lambda: failed_batches(runtime) >= 4, SECONDS, "a trial has failed")
        assert failed_batches(runtime) < 10, "no batches are burnt meanwhile"
        other = start_jobs("spend-poller")
        held_at = rows(runtime, PollTask)[0].updated_at
        wait_until(
            lambda: rows(runtime, PollTask)[0].updated_at > held_at + LEASE, SECONDS, "it outlasts its lease"
        )
        assert len(runs(runtime)) == 1, "the other has not taken it over"
        assert failed_batches(runtime) < len(USERS) // 2
        backbone.client.clear_fault("spend")
        wait_for_end(runtime, 1)
        wait_until(lambda: not rows(runtime, FailedBatch), SECONDS, "its retries pass")
        assert_one_effect_each(runtime)
        assert other.alive()


def test_a_spend_service_that_hangs_is_waited_for_until_the_deadline_only(
    runtime: Runtime, backbone: Backbone, start_jobs: StartJobs
) -> None:
    refer_spenders(runtime, backbone)
    backbone.client.put_fault("spend", "slow", times=2, seconds=30)
    start_jobs("spend-poller")
    wait_for_end(runtime, 1)
    (run,) = runs(runtime)
    assert (run.failed_batches, run.batches) == (2, len(USERS) // 2)
    assert run.ended_at is not None
    assert run.ended_at - run.started_at < timedelta(seconds=20)
    told = {event.data["code"] for event in rows(runtime, Event, Event.kind == "spend-batch.failed")}
    assert told == {"spend-no-answer"}
    wait_until(lambda: not rows(runtime, FailedBatch), SECONDS, "both pass at their retries")
    assert_one_effect_each(runtime)


def failed_batches(runtime: Runtime) -> int:
    """Return how many batches the first run has burnt so far."""
    return sum(run.failed_batches for run in runs(runtime))
