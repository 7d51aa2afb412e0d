"""The listener of verifications works beside the one of sign-ups, in whatever order messages come."""

from __future__ import annotations

import json
from functools import partial

import pytest
from sqlalchemy import select

from jobs import verifications
from jobs.job import Job
from portal.clients.aws import Outgoing, make_client
from portal.referrals.progress.models import ConditionEvidence, ReferralProgress
from portal.runtime import Runtime
from tests.jobs import test_sign_ups
from tests.jobs.conftest import running
from tests.jobs.test_consumer import empty
from tests.jobs.test_sign_ups import rows, token
from tests.servers.urls import Urls
from tests.servers.waiting import wait_until

__all__ = ["token"]

SECONDS = 30
QUEUE, WAITING = "user-verifications", "user-verifications-waiting"


@pytest.fixture
def writer_url(migrated_urls: Urls) -> str:
    return migrated_urls.writer


def publish(runtime: Runtime, user_id: int = 7) -> str:
    sns = make_client("sns", runtime.settings)
    topic = sns.create_topic(Name="user-verifications")["TopicArn"]
    text = json.dumps({"type": "user.verified", "user_id": user_id, "at": "2026-11-20T12:00:01Z"})
    return str(sns.publish(TopicArn=topic, Message=text)["MessageId"])


def sign_up(runtime: Runtime, link: str) -> None:
    test_sign_ups.publish(runtime, test_sign_ups.told(token=link))
    test_sign_ups.work_off(runtime)


def work_off(runtime: Runtime) -> Job:
    job = Job("verifications", runtime)
    with running(job, partial(verifications.run, job)):
        wait_until(lambda: empty(runtime, QUEUE), SECONDS, "all are taken")
    return job


@pytest.mark.parametrize("first", ["sign-up", "verification"])
def test_a_published_verification_counts_before_and_after_the_sign_up(
    runtime: Runtime, token: str, first: str
) -> None:
    if first == "sign-up":
        sign_up(runtime, token)
    message_id = publish(runtime)
    work_off(runtime)
    if first == "verification":
        sign_up(runtime, token)
    assert [row.status for row in rows(runtime, ReferralProgress)] == ["converted"]
    with runtime.writer() as session:
        evidence = select(ConditionEvidence.source_id).where(ConditionEvidence.source_id == message_id)
        assert session.scalar(evidence) == message_id


def test_a_copy_is_counted_as_a_duplicate(runtime: Runtime, token: str) -> None:
    sign_up(runtime, token)
    publish(runtime)
    publish(runtime)
    assert work_off(runtime).counters["duplicate"] == 1


def test_poison_waits_with_the_field_that_is_wrong(runtime: Runtime) -> None:
    runtime.queues.send(QUEUE, [Outgoing('{"type": "user.verified", "user_id": 7}')])
    work_off(runtime)
    (kept,) = wait_until(lambda: runtime.queues.receive(WAITING), SECONDS, "it waits")
    assert kept.attributes["reason"].endswith("(field at)")
