"""Verifications that the verification service publishes meet the condition of the users' referrals."""

from collections.abc import Sequence
from functools import partial

from sqlalchemy.orm import Session

from jobs.consumer import Handled, Source, consume
from jobs.job import Job
from jobs.user_messages import record_messages, unwrap
from portal.clients.aws import Message
from portal.referrals.progress.messages import Verification, read_message
from portal.referrals.progress.sign_ups import Recorded, Verified, record_verifications
from portal.referrals.recorder import Recorder


def run(job: Job) -> None:
    """Run until the job stops."""
    settings = job.runtime.settings
    source = Source(
        settings.user_verifications_queue, settings.user_verifications_waiting_queue, partial(_subject, job)
    )
    consume(job, source, partial(handle, job))


def handle(job: Job, messages: Sequence[Message]) -> list[Handled]:
    """Record the verifications of a batch in one transaction."""

    def record(session: Session, verified: Sequence[Verified], recorder: Recorder) -> list[Recorded]:
        return record_verifications(session, verified, recorder=recorder)

    return record_messages(job, messages, partial(_read, job), record)


def _read(job: Job, message: Message) -> Verified:
    published = unwrap(message, job.runtime.settings.user_verifications_topic_arn)
    return Verified(read_message(Verification, published.content), published.id)


def _subject(job: Job, message: Message) -> str:
    return f"user {_read(job, message).message.user_id}"
