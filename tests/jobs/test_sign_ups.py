"""The listener of sign-ups takes messages in envelopes and without, and leaves the bad ones to people."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

import pytest
from sqlalchemy import select

from jobs import sign_ups, waiting
from jobs.job import Job
from portal.clients.aws import Outgoing, make_client
from portal.events import Actor
from portal.orders.models import WaitingMessage
from portal.orders.states import WaitingState
from portal.orders.waiting import push_waiting
from portal.referrals.progress.models import ConditionEvidence, KnownUser, ReferralProgress
from portal.runtime import Runtime
from tests.jobs.conftest import running
from tests.jobs.test_consumer import empty
from tests.referrals.inviting import invitations, invite_all, token_of
from tests.referrals.scenes import scheme
from tests.servers.urls import Urls
from tests.servers.waiting import wait_until

SECONDS = 30
QUEUE, WAITING = "user-sign-ups", "user-sign-ups-waiting"


@pytest.fixture
def writer_url(migrated_urls: Urls) -> str:
    return migrated_urls.writer


@pytest.fixture
def token(runtime: Runtime) -> str:
    """Give the token of an invitation under a scheme that asks for a sign-up and a verification."""
    runtime.transact(lambda session: scheme(session, "sign-up", "verification"))
    invite_all(runtime, "ana@example.com")
    return token_of(runtime, invitations(runtime)[0])


def told(user_id: int = 7, email: str = "ana@example.com", **more: Any) -> str:
    """Return the message of a sign-up."""
    content = {"type": "user.signed-up", "user_id": user_id, "email": email, "token": None, "ip": None}
    return json.dumps(content | {"device": None, "at": "2026-11-20T12:00:00Z"} | more)


def publish(runtime: Runtime, text: str) -> str:
    """Publish to the topic, and return the message's id."""
    sns = make_client("sns", runtime.settings)
    topic = sns.create_topic(Name="user-sign-ups")["TopicArn"]
    return str(sns.publish(TopicArn=topic, Message=text)["MessageId"])


def work_off(runtime: Runtime, queue: str = QUEUE) -> Job:
    """Let the listener take all that is on its queue."""
    job = Job("sign-ups", runtime)
    with running(job, partial(sign_ups.run, job)):
        wait_until(lambda: empty(runtime, queue), SECONDS, "all are taken")
    return job


def rows(runtime: Runtime, model: Any) -> list[Any]:
    with runtime.writer() as session:
        return list(session.scalars(select(model)))


def test_a_published_sign_up_becomes_a_referral_and_is_deleted(runtime: Runtime, token: str) -> None:
    message_id = publish(runtime, told(token=token))
    work_off(runtime)
    (evidence,) = rows(runtime, ConditionEvidence)
    assert (evidence.source, evidence.source_id) == ("message", message_id)
    assert [row.user_id for row in rows(runtime, ReferralProgress)] == [7]


def test_raw_delivery_is_understood_too(runtime: Runtime, token: str) -> None:
    runtime.queues.send(QUEUE, [Outgoing(told(token=token))])
    work_off(runtime)
    assert len(rows(runtime, ReferralProgress)) == 1


def test_what_is_no_referral_is_deleted_and_known_by_hashes_only(runtime: Runtime) -> None:
    publish(runtime, told(email="eva@example.com", ip="192.0.2.7", device="phone-1"))
    job = work_off(runtime)
    (user,) = rows(runtime, KnownUser)
    assert not rows(runtime, ReferralProgress)
    assert job.counters == {"received": 1, "done": 1, "not_referred": 1}
    assert all(len(hashed) == 64 for hashed in (user.address_index, user.network_index, user.device_index))


def test_a_copy_is_counted_as_a_duplicate(runtime: Runtime, token: str) -> None:
    for _ in range(2):
        publish(runtime, told(token=token))
    job = work_off(runtime)
    assert job.counters["duplicate"] == 1
    assert len(rows(runtime, ConditionEvidence)) == 1


@pytest.fixture
def with_topic(runtime: Runtime) -> Runtime:
    """Give a runtime that takes sign-ups of their topic only."""
    topic = make_client("sns", runtime.settings).create_topic(Name="user-sign-ups")["TopicArn"]
    runtime.settings = runtime.settings.model_copy(update={"user_sign_ups_topic_arn": topic})
    return runtime


def test_the_configured_topic_is_taken(with_topic: Runtime, token: str) -> None:
    publish(with_topic, told(token=token))
    work_off(with_topic)
    assert len(rows(with_topic, ReferralProgress)) == 1


def test_another_topic_is_refused(with_topic: Runtime, token: str) -> None:
    envelope = {"Type": "Notification", "MessageId": "m", "TopicArn": "arn:aws:sns:us-east-1:1:other"}
    with_topic.queues.send(QUEUE, [Outgoing(json.dumps(envelope | {"Message": told(token=token)}))])
    work_off(with_topic)
    (kept,) = with_topic.queues.receive(WAITING)
    assert kept.attributes["code"] == "topic-unknown"
    assert not rows(with_topic, ReferralProgress)


def test_poison_waits_with_its_reason_and_takes_no_neighbours_along(runtime: Runtime, token: str) -> None:
    bad = [told(user_id=0), told(at="yesterday"), '{"user_id": 1, "user_id": 2}', "[]"]
    runtime.queues.send(QUEUE, [Outgoing(body) for body in (bad[0], told(token=token), *bad[1:])])
    work_off(runtime)
    kept: dict[str, str] = {}

    def all_wait() -> bool:
        kept.update({one.body: one.attributes["reason"] for one in runtime.queues.receive(WAITING)})
        return len(kept) == len(bad)

    wait_until(all_wait, SECONDS, "all bad ones wait")
    assert "(field user_id)" in kept[bad[0]]
    assert "(field at)" in kept[bad[1]]
    assert "twice" in kept[bad[2]]
    assert len(rows(runtime, ReferralProgress)) == 1


def test_poison_that_is_pushed_after_the_cause_is_gone_passes(with_topic: Runtime, token: str) -> None:
    envelope = {"Type": "Notification", "MessageId": "m", "TopicArn": "arn:aws:sns:us-east-1:1:other"}
    with_topic.queues.send(QUEUE, [Outgoing(json.dumps(envelope | {"Message": told(token=token)}))])
    work_off(with_topic)
    keeper = Job("waiting", with_topic)
    with running(keeper, partial(waiting.run, keeper)):
        (row,) = wait_until(lambda: rows(with_topic, WaitingMessage), SECONDS, "it is kept")
        with_topic.settings = with_topic.settings.model_copy(update={"user_sign_ups_topic_arn": None})
        with with_topic.writer() as session:
            push_waiting(session, row.id, actor=Actor("person", "ana"), now=with_topic.clock())
        wait_until(lambda: keeper.counters["sent_back"], SECONDS, "it is sent back")
    work_off(with_topic)
    (passed,) = rows(with_topic, WaitingMessage)
    assert (passed.state, passed.body) == (WaitingState.PASSED, b"")
    assert len(rows(with_topic, ReferralProgress)) == 1
