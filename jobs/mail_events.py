"""Delivery notices of SES, by SNS and SQS, become evidence that a mail went out."""

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any

from jobs.consumer import Handled, Source, consume
from jobs.job import Job
from portal.clients.aws import Message, loads
from portal.clients.mail import effect_key_of
from portal.orders.mail_deliveries import Delivered, record_deliveries


def run(job: Job) -> None:
    """Run until the job stops."""
    settings = job.runtime.settings
    source = Source(
        settings.mail_events_queue, settings.mail_events_waiting_queue, lambda message: message.id
    )
    consume(job, source, partial(handle, job))


def handle(job: Job, messages: Sequence[Message]) -> list[Handled]:
    """Record the deliveries among the notices; what is no delivery of ours is counted and dropped."""
    deliveries = [found for message in messages if (found := _delivery(job, message))]
    job.count(
        "duplicate", len(deliveries) - job.runtime.transact(partial(record_deliveries, deliveries=deliveries))
    )
    return [None] * len(messages)


def _delivery(job: Job, message: Message) -> Delivered | None:
    try:
        notice = _notice(loads(message.body))
        if notice.get("notificationType", notice.get("eventType")) != "Delivery":
            job.count("other_notice")
            return None
        mail = notice["mail"]
        key = effect_key_of(str(mail["source"]))
        at = datetime.fromisoformat(notice["delivery"]["timestamp"]).astimezone(UTC)
        return Delivered(key, str(mail["messageId"])[:128], at) if key else None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        job.count("malformed")
        job.log.warning("not a notice of SES", message_id=message.id, error=str(error))
        return None


def _notice(body: dict[str, Any]) -> dict[str, Any]:
    """Return the notice itself: SNS wraps it in an envelope unless raw delivery is on."""
    return loads(body["Message"]) if body.get("Type") == "Notification" else body
