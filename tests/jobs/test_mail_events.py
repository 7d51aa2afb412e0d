"""Delivery notices become evidence that a mail went out; what is none harms nothing."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import select

from jobs.job import Job
from jobs.mail_events import handle
from portal.clients.aws import Message
from portal.errors import InvalidInput
from portal.orders.models import MailDelivery
from portal.runtime import Runtime
from tests.servers.urls import Urls


@pytest.fixture
def writer_url(migrated_urls: Urls) -> str:
    return migrated_urls.writer


@pytest.fixture
def job(runtime: Runtime) -> Job:
    return Job("mail-events", runtime)


def notice(key: str, **more: Any) -> dict[str, Any]:
    return {
        "notificationType": "Delivery",
        "mail": {"source": f"bounce+{key}@mail.waybill.example", "messageId": f"id-{key}"},
        "delivery": {"timestamp": "2026-11-20T12:00:00.000Z"},
        **more,
    }


def message(body: Any) -> Message:
    return Message("m", "r", body if isinstance(body, str) else json.dumps(body), 1)


def deliveries(job: Job) -> dict[str, MailDelivery]:
    with job.runtime.writer() as session:
        return {row.effect_key: row for row in session.scalars(select(MailDelivery))}


def test_a_notice_is_kept_whether_sns_wrapped_it_or_not(job: Job) -> None:
    wrapped = {"Type": "Notification", "Message": json.dumps(notice("b"))}
    assert handle(job, [message(notice("a")), message(wrapped)]) == [None, None]
    kept = deliveries(job)
    assert {key: row.message_id for key, row in kept.items()} == {"a": "id-a", "b": "id-b"}
    assert kept["a"].at == datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


def test_a_notice_that_comes_again_is_counted_and_changes_nothing(job: Job) -> None:
    for _ in range(2):
        assert handle(job, [message(notice("a")), message(notice("a"))]) == [None, None]
    assert list(deliveries(job)) == ["a"]
    assert job.counters["duplicate"] == 3


@pytest.mark.parametrize(
    "body",
    [
        "{}",
        {"Type": "SubscriptionConfirmation", "Token": "t"},
        notice("b", notificationType="Send"),
        notice("b", mail={"source": "orders@mail.waybill.example", "messageId": "m"}),
        notice("k" * 500),
    ],
)
def test_what_is_no_delivery_of_ours_is_dropped_and_the_others_are_kept(job: Job, body: Any) -> None:
    assert handle(job, [message(body), message(notice("a"))]) == [None, None]
    assert list(deliveries(job)) == ["a"]
    assert job.counters["other_notice"] == 1


@pytest.mark.parametrize(
    "body",
    [
        "",
        "[]",
        '{"a":' * 100_000,
        {"Type": "Notification", "Message": 5},
        notice("b", notificationType="Bounce"),
        notice("b", mail="text"),
        notice("b", delivery={"timestamp": 5}),
        notice("b", delivery={"timestamp": "ana@example.com"}),
    ],
)
def test_what_is_no_notice_waits_with_its_reason_and_the_others_are_kept(job: Job, body: Any) -> None:
    refused, kept = handle(job, [message(body), message(notice("a"))])
    assert isinstance(refused, InvalidInput)
    assert (refused.code, kept) == ("notice-invalid", None)
    assert "ana@" not in refused.reason
    assert list(deliveries(job)) == ["a"]


@pytest.mark.parametrize("at", ["2026-11-20T12:00:00", "2026-11-20T13:00:00+01:00"])
def test_a_time_in_another_zone_or_in_none_holds_up_no_other_notice(job: Job, at: str) -> None:
    assert handle(job, [message(notice("a", delivery={"timestamp": at}))]) == [None]
    assert list(deliveries(job)) == ["a"]


def test_an_id_of_any_length_holds_up_no_other_notice(job: Job) -> None:
    endless = {"source": "bounce+b@mail.waybill.example", "messageId": "m" * 1_000}
    assert handle(job, [message(notice("b", mail=endless)), message(notice("a"))]) == [None, None]
    assert set(deliveries(job)) == {"a", "b"}
