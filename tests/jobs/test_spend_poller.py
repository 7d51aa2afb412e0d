"""The spend poller asks for every open referral's spend, and what meets its condition counts once."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from itertools import count
from typing import Any

import pytest
from sqlalchemy import delete, event, select, update

from jobs import spend_poller
from jobs.job import Job
from jobs.spend_poller import Poller
from portal.db import database_now
from portal.events import Event
from portal.metrics.models import MetricMinute
from portal.referrals.models import PollTask, ReferralCondition
from portal.referrals.progress.models import (
    ConditionEvidence,
    FailedBatch,
    PollRun,
    ReferralProgress,
    SpendSeen,
)
from portal.referrals.rewards.models import RewardGrant
from portal.referrals.spends.service import spend_condition
from portal.referrals.states import ReferralStatus
from portal.runtime import Runtime
from portal.work import Work
from tests.jobs.conftest import running
from tests.referrals.scenes import scheme
from tests.referrals.spending import LONG_AGO, open_referrals, spend_scheme
from tests.sandbox.running import RunningSandbox
from tests.servers.urls import Urls
from tests.servers.waiting import wait_until

BATCH = 3
SECONDS = 20


@pytest.fixture
def writer_url(migrated_urls: Urls) -> str:
    return migrated_urls.writer


@pytest.fixture
def more_settings(sandbox: RunningSandbox) -> dict[str, str]:
    return {
        "SPEND_URL": f"{sandbox.url}/spend",
        "SPEND_BATCH_USERS": str(BATCH),
        "SPEND_POLL_SECONDS": "0.001",
        "CALL_DEADLINE_SECONDS": "2",
        "LEASE_SECONDS": "5",
        "BREAKER_FAILURES": "100",
    }


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as started:
        yield started


@pytest.fixture
def users() -> list[int]:
    """Give ids of users of this test's own: all tests share the stand-in."""
    first = secrets.randbelow(10**11) + 1
    return list(range(first, first + 8))


def refer(runtime: Runtime, users: list[int], **more: Any) -> list[int]:
    """Make open referrals under a scheme that asks for a spend of 100.00 USD."""
    terms = {name: more.pop(name) for name in ("threshold", "currency", "data") if name in more}

    def make(session: Any) -> list[int]:
        return open_referrals(session, spend_scheme(session, **terms), users, **more)

    return runtime.transact(make)


def poll(runtime: Runtime, pool: ThreadPoolExecutor) -> Job:
    """Do one poll."""
    job = Job("spend-poller", runtime)
    assert Poller(job).poll_if_due(pool)
    return job


def rows(runtime: Runtime, model: Any, *conditions: Any) -> list[Any]:
    with runtime.writer() as session:
        return list(session.scalars(select(model).where(*conditions)))


def statuses(runtime: Runtime) -> dict[int, str]:
    return {row.user_id: row.status for row in rows(runtime, ReferralProgress)}


def kinds(runtime: Runtime) -> list[str]:
    return [event.kind for event in rows(runtime, Event)]


def due_now(runtime: Runtime) -> None:
    """Let work that waits for its retry be due."""
    with runtime.writer() as session:
        session.execute(update(Work).values(due_at=database_now(session) - timedelta(seconds=1)))


def test_a_spend_that_equals_the_threshold_meets_it_and_converts_once(
    runtime: Runtime, sandbox: RunningSandbox, pool: ThreadPoolExecutor, users: list[int]
) -> None:
    (exact, below, *_) = users
    ids = refer(runtime, users)
    sandbox.client.spend(exact, "100.00")
    sandbox.client.spend(below, "99.99")
    for _ in range(2):
        poll(runtime, pool)
    assert {user for user, status in statuses(runtime).items() if status == "converted"} == {exact}
    (evidence,) = rows(runtime, ConditionEvidence)
    run = rows(runtime, PollRun)[0]
    assert (evidence.referral_id, evidence.source, evidence.source_id) == (ids[0], "poll", str(run.id))
    assert (str(evidence.amount), str(evidence.threshold), evidence.currency) == ("100.00", "100.00", "USD")
    assert len(rows(runtime, RewardGrant)) == 2
    assert kinds(runtime).count("referral.converted") == 1


def test_a_run_says_how_many_it_asked_and_the_task_is_free_again(
    runtime: Runtime, sandbox: RunningSandbox, pool: ThreadPoolExecutor, users: list[int]
) -> None:
    refer(runtime, users)
    sandbox.client.spend(users[0], "100.00")
    before = rows(runtime, PollTask)[0].updated_at
    poll(runtime, pool)
    (run,) = rows(runtime, PollRun)
    assert (run.users, run.batches, run.failed_batches, run.met) == (8, 3, 0, 1)
    assert run.ended_at >= run.started_at
    (task,) = rows(runtime, PollTask)
    assert not task.in_progress
    assert task.updated_at >= before


def test_an_amount_is_kept_when_it_changed_and_only_then(
    runtime: Runtime, sandbox: RunningSandbox, pool: ThreadPoolExecutor, users: list[int]
) -> None:
    refer(runtime, users)
    sandbox.client.spend(users[0], "10.00")
    poll(runtime, pool)
    poll(runtime, pool)
    assert [(str(row.amount), row.poll_run_id) for row in rows(runtime, SpendSeen)] == [("10.00", 1)]
    sandbox.client.spend(users[0], "20.00")
    poll(runtime, pool)
    assert [(str(row.amount), row.poll_run_id) for row in rows(runtime, SpendSeen)] == [("20.00", 3)]


def test_another_currency_never_meets_it_and_that_is_said_once(
    runtime: Runtime, sandbox: RunningSandbox, pool: ThreadPoolExecutor, users: list[int]
) -> None:
    refer(runtime, users)
    for amount in ("5000.00", "6000.00"):
        sandbox.client.spend(users[0], amount, "CLP")
        poll(runtime, pool)
    assert set(statuses(runtime).values()) == {"started"}
    (said,) = rows(runtime, Event, Event.kind == "referral.spend-not-counted")
    assert said.data["code"] == "other-currency"
    assert (said.data["currency"], said.data["threshold_currency"]) == ("CLP", "USD")


def test_a_threshold_that_cannot_be_read_is_never_met(
    runtime: Runtime, sandbox: RunningSandbox, pool: ThreadPoolExecutor, users: list[int]
) -> None:
    refer(runtime, users, data='{"threshold": "a lot"}')
    sandbox.client.spend(users[0], "5000.00")
    poll(runtime, pool)
    assert set(statuses(runtime).values()) == {"started"}
    (said,) = rows(runtime, Event, Event.kind == "referral.spend-not-counted")
    assert said.data["code"] == "no-threshold"


def test_the_threshold_is_that_of_the_version_the_referral_started_under(
    runtime: Runtime, sandbox: RunningSandbox, pool: ThreadPoolExecutor, users: list[int]
) -> None:
    refer(runtime, users[:1], threshold="50.00")
    refer(runtime, users[1:2], threshold="80.00")
    for user in users[:2]:
        sandbox.client.spend(user, "60.00")
    poll(runtime, pool)
    assert statuses(runtime) == {users[0]: "converted", users[1]: "started"}


def test_who_has_expired_ended_or_met_it_is_not_asked(
    runtime: Runtime, sandbox: RunningSandbox, pool: ThreadPoolExecutor, users: list[int]
) -> None:
    expired, cancelled, met, still_open, *_ = users
    with runtime.writer() as session:
        made = spend_scheme(session)
        open_referrals(session, made, [expired], expires_at=LONG_AGO)
        open_referrals(session, made, [cancelled], status=ReferralStatus.CANCELLED)
        (met_id,) = open_referrals(session, made, [met], status=ReferralStatus.QUALIFYING)
        open_referrals(session, made, [still_open], status=ReferralStatus.QUALIFYING)
        condition_id = spend_condition(session)
        session.add(ReferralCondition(referral_id=met_id, condition_id=condition_id, created_at=LONG_AGO))
    for user in users:
        sandbox.client.spend(user, "500.00")
    poll(runtime, pool)
    (run,) = rows(runtime, PollRun)
    assert run.users == 1
    assert {user for user, status in statuses(runtime).items() if status == "converted"} == {still_open}


def test_a_failing_batch_does_not_stop_the_rest_and_is_retried_later(
    runtime: Runtime, sandbox: RunningSandbox, pool: ThreadPoolExecutor, users: list[int]
) -> None:
    ids = refer(runtime, users)
    for user in (users[0], users[7]):
        sandbox.client.spend(user, "100.00")
    sandbox.client.put_fault("spend", "500", times=1)
    poll(runtime, pool)
    (failed,) = rows(runtime, FailedBatch)
    assert (failed.first_referral_id, failed.last_referral_id) == (ids[0], ids[2])
    assert (failed.code, failed.reason) == ("spend-error", "The spend service answered 500.")
    assert (statuses(runtime)[users[0]], statuses(runtime)[users[7]]) == ("started", "converted")
    poll(runtime, pool)
    assert [(run.users, run.failed_batches) for run in rows(runtime, PollRun)] == [(5, 1), (4, 0)]
    due_now(runtime)
    poll(runtime, pool)
    assert statuses(runtime)[users[0]] == "converted"
    assert not rows(runtime, FailedBatch)
    assert not rows(runtime, Work, Work.kind == "spend-batch")
    assert [kind for kind in kinds(runtime) if "batch" in kind] == [
        "spend-batch.failed",
        "spend-batch.passed",
    ]


@pytest.mark.parametrize("fault", ["down", "garbage", "500"])
def test_a_retry_that_fails_waits_longer(
    runtime: Runtime, sandbox: RunningSandbox, pool: ThreadPoolExecutor, users: list[int], fault: str
) -> None:
    refer(runtime, users[:BATCH])
    sandbox.client.put_fault("spend", fault)
    poll(runtime, pool)
    due_now(runtime)
    poll(runtime, pool)
    (failed,) = rows(runtime, FailedBatch)
    assert failed.attempts == 2
    (waiting,) = rows(runtime, Work)
    assert waiting.due_at - failed.at > timedelta(seconds=29)


def test_an_exception_mends_itself_when_a_poll_can_ask_again(
    runtime: Runtime, sandbox: RunningSandbox, pool: ThreadPoolExecutor, users: list[int]
) -> None:
    refer(runtime, users)
    sandbox.client.spend(users[0], "100.00")
    sandbox.client.put_fault("spend", "500", times=1)
    poll(runtime, pool)
    with runtime.writer() as session:
        # Out of retries: nothing of the queue is left.
        session.execute(delete(Work))
    sandbox.client.put_fault("spend", "500", times=1)
    poll(runtime, pool)
    assert [failed.attempts for failed in rows(runtime, FailedBatch)] == [2]
    poll(runtime, pool)
    assert not rows(runtime, FailedBatch)
    assert statuses(runtime)[users[0]] == "converted"


def test_a_job_that_stops_leaves_the_rest_to_the_next_at_once(
    runtime: Runtime, sandbox: RunningSandbox, pool: ThreadPoolExecutor, users: list[int]
) -> None:
    refer(runtime, users)
    job = Job("spend-poller", runtime)

    class StopsAtFirst(ThreadPoolExecutor):
        def submit(self, *call: Any) -> Any:  # type: ignore[override]
            job.stopping.set()
            return super().submit(*call)

    with StopsAtFirst(1) as stopping:
        assert Poller(job).poll_if_due(stopping)
    (cut_short,) = rows(runtime, PollRun)
    assert (cut_short.batches, cut_short.ended_at) == (1, None)
    assert not rows(runtime, PollTask)[0].in_progress
    poll(runtime, pool)
    assert rows(runtime, PollRun)[1].users == 8


def test_a_poll_that_waits_for_its_pace_stays_its_own(runtime: Runtime, users: list[int]) -> None:
    refer(runtime, users)
    runtime.settings = runtime.settings.model_copy(update={"spend_users_per_second": 0.1})
    job = Job("spend-poller", runtime)
    with running(job, partial(spend_poller.run, job)):
        wait_until(lambda: [run.batches for run in rows(runtime, PollRun)] == [1], SECONDS, "one is done")
        for _ in range(2):
            with runtime.writer() as session:
                session.execute(update(PollTask).values(updated_at=LONG_AGO))
            wait_until(lambda: rows(runtime, PollTask)[0].updated_at > LONG_AGO, SECONDS, "it is kept")
    assert [run.batches for run in rows(runtime, PollRun)] == [1]


def test_a_retry_waits_for_the_pace_and_is_part_of_it(
    runtime: Runtime, sandbox: RunningSandbox, pool: ThreadPoolExecutor, users: list[int]
) -> None:
    refer(runtime, users[:BATCH])
    sandbox.client.put_fault("spend", "500", times=1)
    poll(runtime, pool)
    due_now(runtime)
    runtime.settings = runtime.settings.model_copy(update={"spend_users_per_second": 0.1})
    poller = Poller(Job("spend-poller", runtime))
    poller._note_call(BATCH)
    assert not poller._retry_due()
    assert rows(runtime, FailedBatch)
    poller = Poller(Job("spend-poller", runtime))
    assert poller._retry_due()
    assert not rows(runtime, FailedBatch)
    assert poller._wait_seconds() > BATCH / 0.1 / 2


def test_where_nobody_is_to_be_asked_the_poll_stays_its_own_as_well(
    runtime: Runtime, pool: ThreadPoolExecutor, users: list[int]
) -> None:
    with runtime.writer() as session:
        spend_scheme(session)
        open_referrals(session, scheme(session, "sign-up", "verification"), range(1, 61))
    times = count()
    runtime.monotonic = lambda: float(next(times))
    kept: list[object] = []
    event.listen(
        runtime.database.writer_engine,
        "before_cursor_execute",
        lambda *told: kept.append(told) if told[2].startswith("UPDATE task_manager") else None,
    )
    poll(runtime, pool)
    assert len(kept) > 5, "it is kept on the way, and not only at both ends"


def test_whoever_expires_while_the_service_is_down_is_not_asked_when_it_is_back(
    runtime: Runtime, sandbox: RunningSandbox, users: list[int]
) -> None:
    refer(runtime, users)
    less = {"breaker_failures": 1, "breaker_seconds": 2.0, "spend_poll_seconds": 3600.0}
    runtime.settings = runtime.settings.model_copy(update=less)
    sandbox.client.put_fault("spend", "down")
    job = Job("spend-poller", runtime)
    with running(job, partial(spend_poller.run, job)):
        wait_until(lambda: len(rows(runtime, FailedBatch)) == 2, SECONDS, "two batches have failed")
        with runtime.writer() as session:
            session.execute(update(ReferralProgress).values(expires_at=database_now(session)))
        sandbox.client.clear_fault("spend")
        wait_until(lambda: rows(runtime, PollRun)[0].ended_at is not None, SECONDS, "the poll ends")
    (run,) = rows(runtime, PollRun)
    assert (run.users, run.batches, run.failed_batches) == (0, 2, 2)


def test_an_answer_that_comes_when_the_time_is_over_does_not_count(
    runtime: Runtime, sandbox: RunningSandbox, pool: ThreadPoolExecutor, users: list[int]
) -> None:
    with runtime.writer() as session:
        soon = database_now(session) + timedelta(seconds=0.7)
    refer(runtime, users[:1], expires_at=soon)
    sandbox.client.spend(users[0], "100.00")
    sandbox.client.put_fault("spend", "slow", times=1, seconds=1)
    poll(runtime, pool)
    assert [run.users for run in rows(runtime, PollRun)] == [1]
    assert statuses(runtime) == {users[0]: "started"}


def test_more_conversions_than_fit_one_transaction_all_count(
    runtime: Runtime, sandbox: RunningSandbox, pool: ThreadPoolExecutor, users: list[int]
) -> None:
    many = list(range(users[0], users[0] + 120))
    refer(runtime, many)
    for user in many:
        sandbox.client.spend(user, "100.00")
    built = runtime.settings.model_copy(update={"spend_batch_users": 500})
    runtime.settings = built
    job = poll(runtime, pool)
    assert set(statuses(runtime).values()) == {"converted"}
    runtime.metrics.flush(runtime.transact, runtime.clock())
    counted = rows(runtime, MetricMinute, MetricMinute.name == "referrals.met")
    assert {row.label: row.total for row in counted} == {"spend": 120, "conversion": 120}
    assert job.counters["done"] == 120
    (run,) = rows(runtime, PollRun)
    assert (run.users, run.batches, run.met) == (120, 1, 120)
    assert len(rows(runtime, RewardGrant)) == 240
