"""Sends the mails of invitations: claims them, calls the mail provider, keeps what came of it.

Beside that it forgets the answers to requests with an idempotency key once they are old.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from jobs.job import Job
from portal import work
from portal.clients.breaker import Breakers
from portal.errors import InvalidInput, Upstream
from portal.referrals.invitations.answered_requests import forget_answers
from portal.referrals.invitations.links import link_to
from portal.referrals.invitations.mails import Letter, Posted, keep_posted, take_letters
from portal.referrals.invitations.service import MAIL_LANE, MAIL_WORK

_AT_ONCE = 8
_IDLE_SECONDS = 0.5
# Nobody repeats a request as late as that.
_ANSWERS_ARE_KEPT = timedelta(days=30)
_ANSWERS_AT_ONCE = 500
_FORGETTING_SECONDS = 3600.0
_GIVEN_UP = Upstream(
    "Every attempt ended with its worker stopping, so this mail is no longer tried by itself.",
    code="worker-stopped",
    retryable=False,
    outcome_unknown=True,
)


def run(job: Job) -> None:
    """Run until the job stops."""
    sender, forgetting = Sender(job), Forgetting(job)
    with ThreadPoolExecutor(_AT_ONCE, "mail") as pool:
        while job.turn():
            done = sender.send_due(pool) + forgetting.forget_due()
            if not done:
                job.stopping.wait(_IDLE_SECONDS)


class Sender:
    """Sends the mails that are due, some at a time; while the provider is down, one now and then."""

    def __init__(self, job: Job) -> None:
        settings = job.runtime.settings
        self._job = job
        self._runtime = job.runtime
        self._lease = timedelta(seconds=settings.lease_seconds)
        self._breakers = Breakers(settings.breaker_failures, settings.breaker_seconds, job.runtime.monotonic)

    def send_due(self, pool: ThreadPoolExecutor) -> int:
        """Send what is due; return how much that was."""
        trial_is_due = self._breakers.not_closed().get(MAIL_LANE)
        if trial_is_due is False:
            return 0
        if trial_is_due:
            self._breakers.begin_trial(MAIL_LANE)
        try:
            letters = self._runtime.transact(partial(self._claim, limit=1 if trial_is_due else _AT_ONCE))
            self._runtime.reached("invitation-mails.before-send")
            posted = list(pool.map(self._send, letters))
            self._runtime.reached("invitation-mails.after-send")
            self._keep(posted)
        except Exception as error:  # noqa: BLE001 - an edge: the database is away, and the leases run out
            self._job.log.warning("database away", error=str(error))
            return 0
        return len(posted)

    def _claim(self, session: Session, limit: int) -> list[Letter]:
        claims = work.claim(
            session, MAIL_WORK, limit=limit, lease=self._lease, token=self._runtime.new_id(), lane=MAIL_LANE
        )
        return take_letters(
            session, claims, self._runtime.cipher, actor=self._job.actor, now=self._runtime.clock()
        )

    def _send(self, letter: Letter) -> Posted:
        if letter.is_given_up:
            return Posted(letter, _GIVEN_UP)
        link = link_to(self._runtime.settings.public_url, letter.token)
        words = self._runtime.mail_texts.write("invitation", {"link": link})
        try:
            message_id = self._runtime.mail.send(
                letter.key, to=letter.to, subject=words.subject, text=words.text, html=words.html
            )
        except InvalidInput as refused:
            return Posted(letter, Upstream(refused.reason, code="mail-address-invalid", retryable=False))
        except Upstream as error:
            (self._breakers.failed if error.retryable else self._breakers.passed)(MAIL_LANE)
            return Posted(letter, error)
        self._breakers.passed(MAIL_LANE)
        return Posted(letter, message_id)

    def _keep(self, posted: Sequence[Posted]) -> None:
        if not posted:
            return
        keep = partial(keep_posted, posted=posted, actor=self._job.actor, now=self._runtime.clock())
        self._runtime.transact(keep)
        failed = sum(isinstance(one.came_of_it, Upstream) for one in posted)
        self._job.count("failed", failed)
        self._job.count("done", len(posted) - failed)


class Forgetting:
    """Forgets old answers about once an hour, some at a time, so that no mail waits for it."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._due = job.runtime.monotonic()

    def forget_due(self) -> int:
        """Forget some, if it is time; return how many."""
        if self._job.runtime.monotonic() < self._due:
            return 0
        before = self._job.runtime.clock() - _ANSWERS_ARE_KEPT
        forgotten = 0
        try:
            forgotten = self._job.runtime.transact(
                partial(forget_answers, before=before, limit=_ANSWERS_AT_ONCE)
            )
        except SQLAlchemyError as error:
            self._job.log.warning("database away", error=str(error))
        if forgotten < _ANSWERS_AT_ONCE:
            self._due = self._job.runtime.monotonic() + _FORGETTING_SECONDS
        self._job.count("answers_forgotten", forgotten)
        return forgotten
