"""Sign-ups that the user service publishes become referrals, where somebody had invited the user."""

from collections.abc import Sequence
from functools import partial

from sqlalchemy.orm import Session

from jobs.consumer import Handled, Source, consume
from jobs.job import Job
from jobs.user_messages import record_messages, unwrap
from portal.clients.aws import Message
from portal.referrals.progress.messages import SignUp, read_message
from portal.referrals.progress.sign_ups import Recorded, SignedUp, record_sign_ups
from portal.referrals.recorder import Recorder


def run(job: Job) -> None:
    """Run until the job stops."""
    settings = job.runtime.settings
    source = Source(
        settings.user_sign_ups_queue, settings.user_sign_ups_waiting_queue, partial(_subject, job)
    )
    consume(job, source, partial(handle, job))


def handle(job: Job, messages: Sequence[Message]) -> list[Handled]:
    """Record the sign-ups of a batch in one transaction."""

    def record(session: Session, sign_ups: Sequence[SignedUp], recorder: Recorder) -> list[Recorded]:
        return record_sign_ups(session, sign_ups, cipher=job.runtime.cipher, recorder=recorder)

    return record_messages(job, messages, partial(_read, job), record)


def _read(job: Job, message: Message) -> SignedUp:
    published = unwrap(message, job.runtime.settings.user_sign_ups_topic_arn)
    return SignedUp(read_message(SignUp, published.content), published.id)


def _subject(job: Job, message: Message) -> str:
    return f"user {_read(job, message).message.user_id}"
