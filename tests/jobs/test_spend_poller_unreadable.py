"""Of users whose amounts cannot be read the poller keeps that, and asks for the others as ever."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from jobs.job import Job
from jobs.spend_poller import Poller
from portal.referrals.progress.models import FailedBatch, PollRun
from portal.referrals.spends.batches import MOST_UNREADABLE
from portal.runtime import Runtime
from portal.work import Work
from tests.jobs.test_spend_poller import (
    BATCH,
    due_now,
    more_settings,
    poll,
    pool,
    refer,
    rows,
    statuses,
    users,
    writer_url,
)
from tests.sandbox.running import RunningSandbox

__all__ = ["more_settings", "pool", "users", "writer_url"]


def test_an_amount_that_cannot_be_read_fails_alone_and_mends_itself(
    runtime: Runtime, sandbox: RunningSandbox, pool: ThreadPoolExecutor, users: list[int]
) -> None:
    ids = refer(runtime, users)
    bad, neighbour, *_ = users
    sandbox.client.spend(bad, "100.005")
    sandbox.client.spend(neighbour, "100.00")
    poll(runtime, pool)
    assert statuses(runtime)[neighbour] == "converted"
    (failed,) = rows(runtime, FailedBatch)
    assert (failed.first_referral_id, failed.last_referral_id) == (ids[0], ids[0])
    assert failed.reason == (f"The spend service says of user {bad} what is no amount: '100.005', 'USD'.")
    assert [(run.users, run.batches, run.failed_batches) for run in rows(runtime, PollRun)] == [(8, 3, 1)]
    due_now(runtime)
    poll(runtime, pool)
    (failed,) = rows(runtime, FailedBatch)
    assert failed.attempts == 2
    sandbox.client.spend(bad, "100.00")
    due_now(runtime)
    poll(runtime, pool)
    assert statuses(runtime)[bad] == "converted"
    assert not rows(runtime, FailedBatch)
    assert not rows(runtime, Work, Work.kind == "spend-batch")


def test_amounts_that_cannot_be_read_leave_a_service_that_answers_in_use(
    runtime: Runtime, sandbox: RunningSandbox, pool: ThreadPoolExecutor, users: list[int]
) -> None:
    runtime.settings = runtime.settings.model_copy(update={"breaker_failures": 2, "breaker_seconds": 0.1})
    bad = users[: 2 * BATCH]
    refer(runtime, bad)
    for user_id in bad:
        sandbox.client.spend(user_id, "100.005")
    poller = Poller(Job("spend-poller", runtime))
    assert poller.poll_if_due(pool)
    failed = rows(runtime, FailedBatch)
    assert [(one.code, one.last_referral_id - one.first_referral_id) for one in failed] == [
        ("spend-unreadable", BATCH - 1)
    ] * 2
    assert failed[0].reason.endswith("what is no amount: '100.005', 'USD', and so of 2 others.")
    assert poller._breakers.state("spend") == "closed"


def test_of_a_batch_with_too_many_unreadable_amounts_one_row_is_kept_and_the_readable_count(
    runtime: Runtime, sandbox: RunningSandbox, pool: ThreadPoolExecutor, users: list[int]
) -> None:
    many = list(range(users[0], users[0] + MOST_UNREADABLE + 2))
    runtime.settings = runtime.settings.model_copy(update={"spend_batch_users": len(many)})
    ids = refer(runtime, many)
    good, *bad = many
    sandbox.client.spend(good, "100.00")
    for user_id in bad:
        sandbox.client.spend(user_id, "100.005")
    poll(runtime, pool)
    (failed,) = rows(runtime, FailedBatch)
    assert (failed.first_referral_id, failed.last_referral_id) == (ids[0], ids[-1])
    assert statuses(runtime)[good] == "converted"
    sandbox.client.spend(bad[0], "1.00")
    due_now(runtime)
    poll(runtime, pool)
    alone = {(one.first_referral_id, one.last_referral_id) for one in rows(runtime, FailedBatch)}
    assert alone == {(one, one) for one in ids[2:]}
