"""Notices of SES, by SNS and SQS, become evidence of what became of mails."""

from collections import Counter
from collections.abc import Sequence
from functools import partial

from sqlalchemy.orm import Session

from jobs.consumer import Handled, Source, consume
from jobs.job import Job
from portal.clients.aws import Message
from portal.clients.mail_notices import MailNotice, read_notice
from portal.errors import InvalidInput
from portal.orders.mail_deliveries import Delivered, record_deliveries
from portal.referrals.invitations.mails import take_notices


def run(job: Job) -> None:
    """Run until the job stops."""
    settings = job.runtime.settings
    source = Source(
        settings.mail_events_queue, settings.mail_events_waiting_queue, lambda message: message.id
    )
    consume(job, source, partial(handle, job))


def handle(job: Job, messages: Sequence[Message]) -> list[Handled]:
    """Record what the notices say; one that is not about a mail of ours is counted and dropped."""
    outcomes: list[Handled] = []
    notices = []
    for message in messages:
        try:
            notices.append(read_notice(message.body))
            outcomes.append(None)
        except InvalidInput as refused:
            outcomes.append(refused)
    ours = [notice for notice in notices if notice is not None]
    job.count("other_notice", len(notices) - len(ours))
    for what, number in job.runtime.transact(partial(_record, job, ours)).items():
        job.count(what, number)
    return outcomes


def _record(job: Job, notices: Sequence[MailNotice], session: Session) -> Counter[str]:
    """Record notices, and return how many were duplicates, and how many nobody waits for."""
    taken = take_notices(session, notices, actor=job.actor)
    left = [notice for notice in notices if notice.effect_key not in taken.keys]
    deliveries = [
        Delivered(notice.effect_key, notice.message_id, notice.at)
        for notice in left
        if notice.kind == "delivery"
    ]
    new = taken.new + record_deliveries(session, deliveries)
    others = len(left) - len(deliveries)
    return Counter(duplicate=len(notices) - others - new, other_notice=others)
