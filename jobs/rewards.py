"""Delivers rewards that are earned, keeps what came of it, and finds room for those that wait for it."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial

from sqlalchemy.orm import Session

from jobs.job import Job
from jobs.user_messages import recorder_of
from portal import work
from portal.clients import rewards as client
from portal.clients.breaker import Breakers
from portal.errors import Upstream
from portal.referrals.rewards import room as reward_room
from portal.referrals.rewards.deliveries import (
    Delivered,
    Delivery,
    NotThere,
    Outcome,
    record_outcomes,
    take_deliveries,
)
from portal.referrals.rewards.earnings import LANE, WORK_KIND

_AT_ONCE = 8
_IDLE_SECONDS = 0.2
_GIVEN_UP = Upstream(
    "Every attempt ended with its worker stopping, so this reward is no longer tried by itself.",
    code="worker-stopped",
    retryable=False,
    outcome_unknown=True,
)
_NO_ID = Upstream(
    "The reward system answered without the id of the reward.",
    code="rewards-garbage",
    retryable=True,
    outcome_unknown=True,
)


def run(job: Job) -> None:
    """Run until the job stops."""
    courier = Courier(job)
    with ThreadPoolExecutor(_AT_ONCE, "reward") as pool:
        while job.turn():
            if not courier.deliver_due(pool) + find_room(job):
                job.stopping.wait(_IDLE_SECONDS)


def find_room(job: Job) -> int:
    """Let rewards of schemes in which there may be room be earned; return how many schemes those were."""
    runtime, lease = job.runtime, timedelta(seconds=job.runtime.settings.lease_seconds)
    try:
        claims = runtime.transact(
            lambda session: work.claim(
                session, reward_room.WORK_KIND, limit=1, lease=lease, token=runtime.new_id()
            )
        )
        for claimed in claims:
            recorder = recorder_of(job)
            runtime.transact(partial(reward_room.find_room, claimed=claimed, recorder=recorder))
    except Exception as error:  # noqa: BLE001 - an edge: the leases run out, and it is tried again
        job.log.warning("cannot find room", error=str(error))
        return 0
    return len(claims)


class Courier:
    """Delivers the rewards that are due, some at a time; while the system is down, one now and then."""

    def __init__(self, job: Job) -> None:
        settings = job.runtime.settings
        self._job = job
        self._runtime = job.runtime
        self._lease = timedelta(seconds=settings.lease_seconds)
        self._breakers = Breakers(settings.breaker_failures, settings.breaker_seconds, job.runtime.monotonic)

    def deliver_due(self, pool: ThreadPoolExecutor) -> int:
        """Deliver what is due; return how much that was."""
        trial_is_due = self._breakers.not_closed().get(LANE)
        if trial_is_due is False:
            return 0
        if trial_is_due:
            self._breakers.begin_trial(LANE)
        try:
            deliveries = self._runtime.transact(partial(self._claim, limit=1 if trial_is_due else _AT_ONCE))
            self._runtime.reached("rewards.before-call")
            outcomes = list(pool.map(self._deliver, deliveries))
            self._runtime.reached("rewards.after-call")
            self._keep(outcomes)
        except Exception as error:  # noqa: BLE001 - an edge: the leases run out, and it is tried again
            self._job.log.warning("cannot deliver", error=str(error))
            return 0
        return len(outcomes)

    def _claim(self, session: Session, limit: int) -> list[Delivery]:
        claims = work.claim(
            session, WORK_KIND, limit=limit, lease=self._lease, token=self._runtime.new_id(), lane=LANE
        )
        return take_deliveries(session, claims)

    def _deliver(self, delivery: Delivery) -> Outcome:
        if delivery.is_given_up:
            return Outcome(delivery, _GIVEN_UP)
        try:
            delivered = self._call(delivery)
        except Upstream as error:
            (self._breakers.failed if error.retryable else self._breakers.passed)(LANE)
            return Outcome(delivery, error)
        self._breakers.passed(LANE)
        return Outcome(delivery, delivered)

    def _call(self, delivery: Delivery) -> Delivered | NotThere:
        """Deliver a reward, unless an earlier attempt turns out to have done so."""
        system = self._runtime.systems["rewards"]
        asks = delivery.is_repeated or delivery.only_asks
        answer = system.outcome(delivery.key) if asks else None
        asked = answer is not None
        if answer is None and delivery.only_asks:
            return NotThere()
        if answer is None:
            answer = client.grant(
                system,
                delivery.key,
                user_id=delivery.user_id,
                amount=delivery.amount,
                currency=delivery.currency,
                referral_id=delivery.referral_id,
                side=delivery.side,
            )
        grant_id = answer.body.get("grant_id")
        if not isinstance(grant_id, str) or not 0 < len(grant_id) <= 128:
            raise _NO_ID
        return Delivered(grant_id, asked)

    def _keep(self, outcomes: Sequence[Outcome]) -> None:
        if not outcomes:
            return
        recorder = recorder_of(self._job)
        self._runtime.transact(partial(record_outcomes, outcomes=outcomes, recorder=recorder))
        self._runtime.reached("rewards.after-commit")
        failed = sum(isinstance(outcome.came_of_it, Upstream) for outcome in outcomes)
        self._job.count("failed", failed)
        self._job.count("done", len(outcomes) - failed)
