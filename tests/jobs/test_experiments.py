"""Experiments are counted beside the portal, and for good when they are over."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import select

from jobs import experiments
from jobs.job import Job
from portal.db import Database, database_now, migrate
from portal.referrals.rewards.models import Experiment, Exposure
from portal.runtime import Runtime
from tests.jobs.conftest import running
from tests.referrals.inviting import PRODUCT
from tests.servers.waiting import wait_until

SECONDS = 30
AT_END = {"offered": {"referrers": 1}, "withheld": {"referrers": 1}}


@pytest.fixture(autouse=True)
def _experiments(runtime: Runtime) -> None:
    """Make one experiment that is over and one that runs; two users came into the first."""
    with runtime.writer() as session:
        now = database_now(session)
        for name, days in (("over", -1), ("running", 1)):
            experiment = Experiment(name=name, product=PRODUCT, percentage=Decimal(50))
            experiment.started_at, experiment.horizon_at = (
                now - timedelta(days=9),
                now + timedelta(days=days),
            )
            session.add(experiment)
        session.flush()
        for user in (1, 2):
            at = now - timedelta(days=8)
            session.add(Exposure(experiment_id=1, user_id=user, offered=user == 1, at=at))


def rows(runtime: Runtime) -> list[Experiment]:
    with runtime.writer() as session:
        return list(session.scalars(select(Experiment).order_by(Experiment.id)))


def test_the_job_counts_each_and_what_is_over_for_good(runtime: Runtime) -> None:
    job = Job("experiments", runtime)
    with running(job, partial(experiments.run, job)):
        wait_until(lambda: job.counters["done"] == 2, SECONDS, "both are counted")
    over, going_on = rows(runtime)
    assert (over.figures, over.figures_are_final) == (AT_END, True)
    assert (going_on.figures, going_on.figures_are_final) == ({"offered": {}, "withheld": {}}, False)


def test_the_last_count_is_of_what_the_writer_knows(runtime: Runtime, tmp_path: Path) -> None:
    behind = f"sqlite:///{tmp_path / 'behind.db'}"
    migrate(behind)
    lagging = replace(runtime, database=Database(runtime.settings.database_writer_url, behind))
    job = Job("experiments", lagging)
    with running(job, partial(experiments.run, job)):
        wait_until(lambda: job.counters["done"] == 2, SECONDS, "both are counted")
    lagging.database.dispose()
    assert rows(runtime)[0].figures == AT_END


def test_a_job_that_is_to_stop_leaves_the_count_to_another(runtime: Runtime) -> None:
    job = Job("experiments", runtime)
    job.stopping.set()
    experiments.count_due(job)
    assert rows(runtime)[0].counted_at is None
