"""How messages about users are taken: out of their envelopes, read strictly, recorded together."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

from sqlalchemy.orm import Session

from jobs.consumer import Handled, as_error
from jobs.job import Job
from portal.clients.aws import Message
from portal.errors import InvalidInput
from portal.orders.documents.strict_json import parse_json
from portal.referrals.progress.sign_ups import Recorded
from portal.referrals.recorder import FraudRules, Recorder

Arrival = TypeVar("Arrival")


@dataclass(frozen=True, slots=True)
class Published:
    """What a service published, under the id that all copies of the message share."""

    id: str
    content: object


def unwrap(message: Message, topic_arn: str | None) -> Published:
    """Take a message out of the envelope of SNS; with raw delivery there is none.

    Raises InvalidInput for what is not strict JSON, and for another topic than `topic_arn`, when given.
    """
    body = parse_json(message.body.encode())
    if not isinstance(body, dict) or body.get("Type") != "Notification":
        return Published(message.id, body)
    topic, text = body.get("TopicArn"), body.get("Message")
    if topic_arn is not None and topic != topic_arn:
        raise InvalidInput("The message is of another topic.", code="topic-unknown", field="TopicArn")
    if not isinstance(text, str):
        raise InvalidInput("The envelope of SNS holds no message.", code="message-invalid", field="Message")
    return Published(str(body.get("MessageId") or message.id)[:128], parse_json(text.encode()))


def record_messages(
    job: Job,
    messages: Sequence[Message],
    read: Callable[[Message], Arrival],
    record: Callable[[Session, Sequence[Arrival], Recorder], list[Recorded]],
) -> list[Handled]:
    """Record in one transaction what can be read, and count what became of it; the rest fails alone."""
    outcomes: dict[str, Handled] = {}
    arrivals: dict[str, Arrival] = {}
    for message in messages:
        try:
            arrivals[message.id], outcomes[message.id] = read(message), None
        except Exception as error:  # noqa: BLE001 - an edge: one bad message must not hold up the others
            outcomes[message.id] = as_error(error)
    if arrivals:
        recorder = recorder_of(job)
        job.runtime.reached(f"{job.name}.before-commit")
        done = job.runtime.transact(lambda session: record(session, list(arrivals.values()), recorder))
        job.runtime.reached(f"{job.name}.after-commit")
        _count(job, done)
    return [outcomes[message.id] for message in messages]


def recorder_of(job: Job) -> Recorder:
    """Return what a job records about referrals with."""
    settings = job.runtime.settings
    rules = FraudRules(
        window=timedelta(seconds=settings.fraud_window_seconds),
        sign_ups_of_network=settings.fraud_sign_ups_of_network,
        sign_ups_of_device=settings.fraud_sign_ups_of_device,
        referrals_a_day=settings.fraud_referrals_a_day,
    )
    return Recorder(job.actor, job.runtime.clock(), job.runtime.new_id, rules)


def count_met(job: Job, met: Mapping[str, int]) -> None:
    """Count the conditions that were met by their event types, and conversions, once they are committed."""
    for event_type, number in met.items():
        job.runtime.metrics.count("referrals.met", number, event_type)


def _count(job: Job, done: Sequence[Recorded]) -> None:
    for recorded in done:
        if recorded.result == "known":
            job.count("duplicate")
        if recorded.result == "not-referred":
            job.count("not_referred")
        job.runtime.metrics.count(f"referrals.{job.name}", 1, recorded.result)
        count_met(job, recorded.met)
