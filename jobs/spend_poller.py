"""Asks what referred users have spent: one poller at a time, batch by batch, each batch committed."""

from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from sqlalchemy.orm import Session

from jobs.job import Job
from jobs.user_messages import count_met, recorder_of
from portal import work
from portal.clients import spend as client
from portal.clients.breaker import Breakers
from portal.clients.spend import Amounts
from portal.db import database_now
from portal.errors import Upstream, WaybillError
from portal.referrals.progress.models import FailedBatch
from portal.referrals.progress.service import SPEND
from portal.referrals.recorder import Recorder
from portal.referrals.spends import batches as spend_batches
from portal.referrals.spends import polls
from portal.referrals.spends.batches import LANE, WORK_KIND, Found, Walk, keep_unreadable
from portal.referrals.spends.polls import Fenced, Ownership
from portal.referrals.spends.service import Batch, Met, judge, keep_seen, meet, spend_condition
from portal.work import Claimed

_IDLE_SECONDS = 0.5
# How often a poll that waits says that it is alive, at the least: a job is taken for stuck after a minute.
_KEEP_SECONDS = 10.0
# How long a poll goes on before it looks for retries that are due, which have their turn in its pace.
_BETWEEN_RETRIES_SECONDS = 1.0
# Conversions in one transaction, which holds the budget's row: others wait for it.
_MEETS_AT_ONCE = 50

Guard = Callable[[Session], object]


@dataclass(frozen=True, slots=True)
class Answered:
    """What users had spent by `at`."""

    amounts: Amounts
    at: datetime


@dataclass(frozen=True, slots=True)
class Asked:
    """A batch whose amounts are being asked for."""

    found: Found
    answer: Future[Answered]


def run(job: Job) -> None:
    """Run until the job stops."""
    poller = Poller(job)
    with ThreadPoolExecutor(1, "ask") as pool:
        while job.turn():
            if not poller.poll_if_due(pool):
                job.stopping.wait(_IDLE_SECONDS)


class Poller:
    """Polls when it is due and nobody else does; and tries failed batches again, whoever polls."""

    def __init__(self, job: Job) -> None:
        settings = job.runtime.settings
        self._job = job
        self._runtime = job.runtime
        self._settings = settings
        self._lease = timedelta(seconds=settings.lease_seconds)
        self._breakers = Breakers(settings.breaker_failures, settings.breaker_seconds, job.runtime.monotonic)
        self._keep_every = min(settings.lease_seconds / 3, _KEEP_SECONDS)
        self._next_call_at = self._next_retry_at = self._keep_at = job.runtime.monotonic()

    def poll_if_due(self, pool: ThreadPoolExecutor) -> bool:
        """Retry what is due, and poll if a poll is due; return whether it was."""
        try:
            self._retry_due()
            ownership = self._runtime.transact(
                partial(
                    polls.take,
                    owner=self._job.instance[:100],
                    token=self._runtime.new_id(),
                    every=timedelta(seconds=self._settings.spend_poll_seconds),
                    lease=self._lease,
                )
            )
            if ownership is not None:
                self._poll(ownership, pool)
        except Fenced:
            self._job.count("fenced")
            self._job.log.warning("another poller has taken over")
            return False
        except Exception as error:  # noqa: BLE001 - an edge: the lease runs out, and the poll begins anew
            self._job.log.warning("cannot poll", error=str(error))
            return False
        return ownership is not None

    def _poll(self, ownership: Ownership, pool: ThreadPoolExecutor) -> None:
        self._job.log.info("poll begins", poll_run_id=ownership.poll_run_id)
        self._keep_at = self._runtime.monotonic() + self._keep_every
        walk = self._runtime.transact(self._begin_walk)
        asked: Asked | None = None
        while walk is not None:
            # The next call is under way while what came of this one is written, unless that would wait long.
            may_ask = asked is None or self._wait_seconds() < _IDLE_SECONDS
            ahead = self._ask_next(walk, ownership, pool) if may_ask else None
            if asked is not None:
                self._settle(asked, ownership)
            elif ahead is None:
                break
            asked = ahead
        complete = not self._job.stopping.is_set()
        self._runtime.transact(partial(polls.give_up, ownership=ownership, complete=complete))
        self._job.log.info("poll ends", poll_run_id=ownership.poll_run_id, complete=complete)

    def _begin_walk(self, session: Session) -> Walk | None:
        condition_id = spend_condition(session)
        if condition_id is None:
            return None
        failed = spend_batches.failed_ranges(session)
        return Walk(condition_id, self._settings.spend_batch_users, failed)

    def _ask_next(self, walk: Walk, ownership: Ownership, pool: ThreadPoolExecutor) -> Asked | None:
        """Ask for the next batch as soon as one may; None at the end, or when the job is to stop."""
        # Waits first and reads then: what is read must still be so when it is asked for.
        while self._wait_to_ask(ownership):
            since = self._runtime.monotonic()
            with self._runtime.writer() as session:
                found = walk.next(session)
            if found is None:
                return None
            if not found.is_nothing:
                self._note_call(len(found.batch.referrals))
                return Asked(found, pool.submit(self._ask, found.batch, since))
        return None

    def _wait_to_ask(self, ownership: Ownership) -> bool:
        """Wait for the pace, and while the service is down; the poll stays ours. Return whether to go on."""
        while self._job.turn():
            if self._runtime.monotonic() >= self._keep_at:
                self._runtime.transact(partial(polls.hold, ownership=ownership))
                self._keep_at = self._runtime.monotonic() + self._keep_every
            wait = self._wait_seconds()
            if wait > 0:
                self._job.stopping.wait(min(wait, self._keep_every))
            elif self._runtime.monotonic() < self._next_retry_at or not self._retry_due():
                return True
        return False

    def _wait_seconds(self) -> float:
        # While the service is down there is but a trial now and then, which a retry may be as well.
        if self._breakers.state(LANE) == "open":
            return _IDLE_SECONDS
        return self._next_call_at - self._runtime.monotonic()

    def _note_call(self, users: int) -> None:
        now = self._runtime.monotonic()
        self._next_call_at = max(now, self._next_call_at) + users / self._settings.spend_users_per_second
        self._breakers.begin_trial(LANE)

    def _ask(self, batch: Batch, since: float) -> Answered:
        """Ask for a batch that was read `since` then by our own clock, or a little later."""
        self._runtime.reached("spend-poller.before-call")
        user_ids = batch.user_ids
        amounts = client.amounts(self._runtime.systems["spend"], user_ids) if user_ids else Amounts({}, {})
        self._runtime.reached("spend-poller.after-call")
        # By when it was all spent, by the database's clock; never too early, lest a late spend should count.
        return Answered(amounts, batch.at + timedelta(seconds=self._runtime.monotonic() - since))

    def _settle(self, asked: Asked, ownership: Ownership) -> None:
        batch, failed_id = asked.found
        guard = partial(polls.hold, ownership=ownership)
        recorder = recorder_of(self._job)

        def passed(session: Session) -> None:
            polls.count(session, ownership.poll_run_id, users=len(batch.referrals), batches=1)
            if failed_id is not None:
                spend_batches.keep_passed(session, failed_id, recorder)

        error = self._tried(
            lambda: self._write(batch, asked.answer.result(), ownership.poll_run_id, guard, passed)
        )
        if error is None:
            return

        def keep(session: Session) -> None:
            guard(session)
            polls.count(session, ownership.poll_run_id, batches=1, failed_batches=1)
            if failed_id is not None:
                spend_batches.keep_failure_of_exception(session, failed_id, error)
            else:
                spend_batches.keep_failure(session, ownership.poll_run_id, batch, error, recorder)

        self._runtime.transact(keep)

    def _retry_due(self) -> bool:
        """Try one failed batch again, if one is due and a call may be made; return whether one was tried."""
        if self._wait_seconds() > 0:
            return False
        self._next_retry_at = self._runtime.monotonic() + _BETWEEN_RETRIES_SECONDS
        token = self._runtime.new_id()
        claim = partial(work.claim, kind=WORK_KIND, limit=1, lease=self._lease, token=token)
        claims = self._runtime.transact(claim)
        for claimed in claims:
            self._retry(claimed)
        return bool(claims)

    def _retry(self, claimed: Claimed) -> None:
        recorder = recorder_of(self._job)
        guard = partial(_require_lease, claimed=claimed)

        def passed(session: Session) -> None:
            work.finish(session, [claimed.id])
            spend_batches.keep_passed(session, claimed.reference, recorder)

        def attempt() -> None:
            since = self._runtime.monotonic()
            poll_run_id, batch = self._runtime.transact(partial(_read_failed, failed_id=claimed.reference))
            self._note_call(len(batch.referrals))
            self._write(batch, self._ask(batch, since), poll_run_id, guard, passed)

        try:
            error = self._tried(attempt)
            if error is not None:
                self._runtime.transact(partial(_keep_failed_retry, claimed, error, recorder))
        except Fenced:
            self._job.count("dropped")

    def _tried(self, attempt: Callable[[], None]) -> WaybillError | None:
        """Return what an attempt failed with, if it did, unless it is the database that is away."""
        try:
            attempt()
        except Fenced:
            raise
        except Upstream as error:
            (self._breakers.failed if error.retryable else self._breakers.passed)(LANE)
            self._job.count("failed")
            return error
        except Exception as error:  # an edge: a batch that cannot be handled must not stop the rest
            if not self._job.database_answers():
                raise
            self._job.log.exception("a batch failed by a defect")
            self._job.count("failed")
            return WaybillError(
                f"The batch failed by a defect of ours: {type(error).__name__}: {error}", code="defect"
            )
        self._breakers.passed(LANE)
        return None

    def _write(
        self,
        batch: Batch,
        answered: Answered,
        poll_run_id: int,
        guard: Guard,
        passed: Callable[[Session], None],
    ) -> None:
        """Write what the answer for a batch comes to, in one transaction unless very many meet theirs.

        Of a batch that fails as a whole, what can be read of it is written before that is raised.
        """
        recorder = recorder_of(self._job)
        judged = judge(batch, answered.amounts.spends, at=answered.at, poll_run_id=poll_run_id)
        first, *more = [
            judged.met[at : at + _MEETS_AT_ONCE] for at in range(0, len(judged.met), _MEETS_AT_ONCE)
        ] or [judged.met]
        for some in more:
            count_met(self._job, self._runtime.transact(partial(self._meet, some, poll_run_id, guard)))
        unreadable = answered.amounts.unreadable
        error = spend_batches.fails_as_a_whole(batch, unreadable)
        self._runtime.reached("spend-poller.before-commit")

        def write(session: Session) -> Counter[str]:
            met = self._meet(first, poll_run_id, guard, session)
            keep_seen(session, judged, recorder)
            if error is not None:
                return met
            passed(session)
            alone = keep_unreadable(session, poll_run_id, batch, unreadable, recorder)
            if alone:
                polls.count(session, poll_run_id, failed_batches=alone)
            return met

        met = self._runtime.transact(write)
        self._runtime.reached("spend-poller.after-commit")
        count_met(self._job, met)
        if error is not None:
            raise error
        self._job.count("done", len(batch.referrals))

    def _meet(self, some: Sequence[Met], poll_run_id: int, guard: Guard, session: Session) -> Counter[str]:
        guard(session)
        if not some:
            return Counter()
        met = meet(session, some, recorder_of(self._job))
        polls.count(session, poll_run_id, met=met[SPEND])
        return met


def _require_lease(session: Session, claimed: Claimed) -> None:
    if not work.still_owned(session, [claimed]):
        raise Fenced("Another worker has taken the batch over.")


def _read_failed(session: Session, failed_id: int) -> tuple[int, Batch]:
    failed, condition_id = session.get(FailedBatch, failed_id), spend_condition(session)
    if failed is None or condition_id is None:
        return 0, Batch([], database_now(session), None)
    batch = spend_batches.read_range(session, condition_id, failed.first_referral_id, failed.last_referral_id)
    return failed.poll_run_id, batch


def _keep_failed_retry(claimed: Claimed, error: WaybillError, recorder: Recorder, session: Session) -> None:
    _require_lease(session, claimed)
    spend_batches.keep_failed_retry(session, claimed, error, recorder)
