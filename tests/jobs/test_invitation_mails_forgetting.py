"""The job that mails invitations also forgets what nobody asks for again."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from functools import partial

from jobs.invitation_mails import Forgetting, run
from jobs.job import Job
from portal.referrals.invitations.answered_requests import keep_answer
from portal.runtime import Runtime
from tests.jobs.conftest import running
from tests.referrals.inviting import NOW
from tests.servers.waiting import wait_until

SECONDS = 30
MONTH = timedelta(days=31)


def test_old_answers_to_requests_are_forgotten_hourly_and_until_none_is_left(runtime: Runtime) -> None:
    seconds = [1_000.0]
    own = replace(runtime, clock=lambda: NOW, monotonic=lambda: seconds[0])
    forgetting = Forgetting(Job("invitation-mails", own))

    def keep(keys: int) -> None:
        with own.writer() as session:
            for key in range(keys):
                keep_answer(session, 1, str(key), "hash", {}, NOW - MONTH)

    keep(501)
    assert [forgetting.forget_due() for _ in range(3)] == [500, 1, 0]
    keep(1)
    assert forgetting.forget_due() == 0
    seconds[0] += 3600
    assert forgetting.forget_due() == 1


def test_the_job_forgets_beside_sending(runtime: Runtime) -> None:
    with runtime.writer() as session:
        keep_answer(session, 1, "old", "hash", {}, runtime.clock() - MONTH)
    job = Job("invitation-mails", runtime)
    with running(job, partial(run, job)):
        wait_until(lambda: job.counters["answers_forgotten"] == 1, SECONDS, "it is forgotten")
