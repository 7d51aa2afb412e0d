"""Referrals expire at their instant, by the database's clock."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from sqlalchemy import select, update

from jobs import expiry
from jobs.job import Job
from portal.db import database_now
from portal.referrals.progress.models import ReferralProgress
from portal.runtime import Runtime
from tests.jobs.conftest import running
from tests.referrals.scenes import Scene, scheme
from tests.servers.urls import Urls
from tests.servers.waiting import wait_until

SECONDS = 30


@pytest.fixture
def writer_url(migrated_urls: Urls) -> str:
    return migrated_urls.writer


@pytest.fixture
def scene(runtime: Runtime) -> Scene:
    scheme_id = runtime.transact(scheme)
    made = Scene(runtime.database, scheme_id, runtime.cipher)
    for user in (1, 2, 3):
        made.sign_up(user, f"u{user}@example.com", token=made.invite(f"u{user}@example.com"))
    return made


def end(runtime: Runtime, user_id: int, ago: timedelta) -> datetime:
    """Let a user's referral have ended some time ago, by the database's clock."""
    with runtime.writer() as session:
        at = database_now(session) - ago
        session.execute(
            update(ReferralProgress).where(ReferralProgress.user_id == user_id).values(expires_at=at)
        )
    return at


def statuses(runtime: Runtime) -> list[str]:
    with runtime.writer() as session:
        return list(session.scalars(select(ReferralProgress.status).order_by(ReferralProgress.user_id)))


def test_what_is_over_expires_and_nothing_else(runtime: Runtime, scene: Scene) -> None:
    over = end(runtime, 1, timedelta(microseconds=1))
    end(runtime, 2, timedelta(hours=-1))
    job = Job("expiry", runtime)
    with running(job, partial(expiry.run, job)):
        wait_until(lambda: job.counters["done"], SECONDS, "one expires")
    assert statuses(runtime) == ["expired", "started", "started"]
    assert scene.progress(1).ended_at == over


def test_a_machine_whose_clock_is_off_by_a_day_expires_nothing_too_early(
    runtime: Runtime, scene: Scene
) -> None:
    end(runtime, 1, timedelta(hours=-1))
    runtime.clock = lambda: datetime.now(UTC) + timedelta(days=1)
    assert expiry.expire_due(Job("expiry", runtime)) == 0
    assert statuses(runtime) == ["started"] * 3


def test_all_that_is_over_expires_batch_by_batch(runtime: Runtime, scene: Scene) -> None:
    for user in (1, 2, 3):
        end(runtime, user, timedelta(days=1))
    job = Job("expiry", runtime)
    assert [expiry.expire_due(job), expiry.expire_due(job)] == [3, 0]
    assert statuses(runtime) == ["expired"] * 3
