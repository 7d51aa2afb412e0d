"""The order runner: claims due steps, calls the systems behind them, commits what came of it."""

import queue
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from functools import partial

from sqlalchemy.orm import Session

from jobs.job import Job
from portal import work
from portal.clients.breaker import Breakers
from portal.db import database_now
from portal.errors import Upstream
from portal.orders import mail_deliveries
from portal.orders.connectors import CONNECTORS, Outside, Passed, Skipped, Task
from portal.orders.open_orders import Turn, load_turns, note_interruptions, set_aside
from portal.orders.progress import Failed, Outcome, Progress, Result
from portal.orders.service import WORK_KIND
from portal.work import Claimed, Moved

_BATCH = 50
_IDLE_SECONDS = 0.1
# How long a result waits for those still in flight, so that they share one commit: under load that takes a
# third of the runner's CPU time for an order away; with nothing else in flight there is no wait.
_GATHER_SECONDS = 0.04
# Claims beyond the attempts of a step that its worker may cost before it is held to be the cause.
_CRASHES_ALLOWED = 3
_NOT_STORED = Upstream(
    "What the system answered could not be stored, so the step stopped; its effect may be there.",
    code="answer-not-stored",
    retryable=False,
    outcome_unknown=True,
)


def run(job: Job) -> None:
    """Run until the job stops, and the calls in flight are answered and committed."""
    runner = Runner(job)
    with ThreadPoolExecutor(job.runtime.settings.calls_in_flight, "call") as pool:
        while job.turn() or runner.in_flight:
            if not job.stopping.is_set():
                runner.claim(pool)
            runner.commit(pool)


class Runner:
    """One process's share of the work: what it has claimed, what is in flight, what is to be committed."""

    def __init__(self, job: Job) -> None:
        settings = job.runtime.settings
        self._job = job
        self._runtime = job.runtime
        self._capacity = settings.calls_in_flight
        # Many small claims cost the database, and this process, more than a little room that stays free.
        self._least_claim = max(1, self._capacity // 4)
        self._lease = timedelta(seconds=settings.lease_seconds)
        self._results: queue.SimpleQueue[Result] = queue.SimpleQueue()
        self._next_claim_at = 0.0
        self.in_flight = 0
        self._breakers = Breakers(settings.breaker_failures, settings.breaker_seconds, job.runtime.monotonic)
        self._progress = Progress(
            actor=job.actor, lease=self._lease, new_token=job.runtime.new_id, keep=self._is_closed
        )
        self._outside = Outside(
            job.runtime.systems, job.runtime.mail, job.runtime.order_mails, self._delivered
        )

    def claim(self, pool: ThreadPoolExecutor) -> None:
        """Claim as many due steps as there is room for, and set out their calls."""
        room = min(self._capacity - self.in_flight, _BATCH)
        if room < self._least_claim or self._runtime.monotonic() < self._next_claim_at:
            return
        self._runtime.reached("runner.before-claim")
        turns = self._claim_trials(room)
        turns += self._try_to_claim(partial(self._due, limit=room - len(turns)))
        self._give_up(room)
        self._runtime.reached("runner.after-claim")
        self._job.count("received", len(turns))
        if len(turns) < room:
            self._next_claim_at = self._runtime.monotonic() + _IDLE_SECONDS
        self._set_out(pool, turns)

    def commit(self, pool: ThreadPoolExecutor) -> None:
        """Wait a moment for results, and commit all that there are together."""
        results = self._take_results()
        if not results:
            return
        self.in_flight -= len(results)
        self._runtime.reached("runner.before-commit")
        with self._runtime.metrics.timed("runner.commit_seconds"):
            turns = self._commit(results)
        self._runtime.reached("runner.after-commit")
        self._set_out(pool, turns)

    def _claim_trials(self, room: int) -> list[Turn]:
        """Claim one step for each system whose breaker lets a trial through now."""
        turns: list[Turn] = []
        for system, trial_is_due in self._breakers.not_closed().items():
            if not trial_is_due or len(turns) == room:
                continue
            if trial := self._try_to_claim(partial(self._due, limit=1, lane=system)):
                self._breakers.begin_trial(system)
                turns += trial
        return turns

    def _give_up(self, room: int) -> None:
        """Fail, without a call, the steps that have waited long enough for a system that is left alone."""
        for system in self._breakers.not_closed():
            turns = self._try_to_claim(partial(self._impatient, system=system, limit=room))
            self.in_flight += len(turns)
            for turn in turns:
                now = self._runtime.clock()
                self._results.put(
                    Result(replace(turn, attempt=turn.attempt - 1), self._gave_up(system), now, now)
                )

    def _gave_up(self, system: str) -> Failed:
        known = self._runtime.systems.get(system)
        title = known.title if known else "The mail provider"
        reason = f"{title} does not answer at present. The step waited for as long as it may."
        return Failed(Upstream(reason, code=f"{system}-unavailable", retryable=False))

    def _try_to_claim(self, claim: Callable[[Session], list[Claimed]]) -> list[Turn]:
        try:
            return self._runtime.transact(partial(self._claim, claim=claim))
        except Exception as error:  # noqa: BLE001 - an edge: the database is away, and comes back
            self._job.log.warning("cannot claim", error=str(error))
            return []

    def _due(self, session: Session, limit: int, lane: str | None = None) -> list[Claimed]:
        return work.claim(
            session,
            WORK_KIND,
            limit=limit,
            lease=self._lease,
            token=self._runtime.new_id(),
            lane=lane,
            without_lanes=() if lane else self._breakers.not_closed(),
        )

    def _impatient(self, session: Session, system: str, limit: int) -> list[Claimed]:
        token = self._runtime.new_id()
        return work.claim_impatient(session, WORK_KIND, system, limit=limit, lease=self._lease, token=token)

    def _claim(self, session: Session, claim: Callable[[Session], list[Claimed]]) -> list[Turn]:
        claims = claim(session)
        loaded = load_turns(
            session, claims, plans=self._runtime.definitions.plans, cipher=self._runtime.cipher
        )
        now = self._runtime.clock()
        set_aside(session, loaded, actor=self._job.actor, now=now)
        if aside := [*loaded.idle, *(one.claimed for one in loaded.unreadable)]:
            self._job.log.error("work without a turn", order_ids=[claimed.reference for claimed in aside])
        return note_interruptions(session, loaded.turns, actor=self._job.actor, now=now)

    def _set_out(self, pool: ThreadPoolExecutor, turns: Sequence[Turn]) -> None:
        self.in_flight += len(turns)
        for turn in turns:
            pool.submit(self._call, turn)

    def _call(self, turn: Turn) -> None:
        began = self._runtime.clock()
        with self._runtime.metrics.timed("orders.call_seconds", turn.node.effect):
            outcome = self._outcome(turn)
        if isinstance(outcome, Failed):
            self._log_failure(turn, outcome.error)
        self._results.put(Result(turn, outcome, began, self._runtime.clock()))

    def _log_failure(self, turn: Turn, error: Upstream) -> None:
        self._job.log.warning(
            "attempt failed",
            order=turn.order.order.number,
            step=turn.node.id,
            attempt=turn.attempt,
            system=turn.node.system,
            code=error.code,
        )

    def _outcome(self, turn: Turn) -> Outcome:
        if turn.claimed.attempt > len(turn.node.retry) + 1 + _CRASHES_ALLOWED:
            reason = (
                "Every attempt ended with its worker stopping, so this step is no longer tried by itself."
            )
            return Failed(Upstream(reason, code="worker-stopped", retryable=False))
        task = Task(
            turn.order.order, turn.order.effect_key(turn.node.effect), turn.repeated, turn.order.results
        )
        system = turn.node.system
        try:
            self._runtime.reached("runner.before-call")
            outcome: Passed | Skipped = CONNECTORS[turn.node.connector](self._outside, task)
            self._runtime.reached("runner.after-call")
        except Upstream as error:
            if system and error.retryable:
                self._breakers.failed(system)
            elif system:
                self._breakers.passed(system)
            return Failed(error)
        except Exception as error:  # an edge: a defect in a connector must leave its reason with the order
            self._job.log.exception("connector failed", order=turn.order.order.number, step=turn.node.id)
            reason = f"The step failed by a defect of ours: {type(error).__name__}: {error}"
            return Failed(Upstream(reason, code="defect", retryable=True, outcome_unknown=True))
        if system and isinstance(outcome, Passed):
            self._breakers.passed(system)
        return outcome

    def _take_results(self) -> list[Result]:
        results = []
        try:
            results.append(self._results.get(timeout=_IDLE_SECONDS / 2))
            ends_at = self._runtime.monotonic() + _GATHER_SECONDS
            while len(results) < min(_BATCH, self.in_flight):
                results.append(self._results.get(timeout=max(0.0, ends_at - self._runtime.monotonic())))
        except queue.Empty:
            pass
        return results

    def _commit(self, results: Sequence[Result]) -> list[Turn]:
        try:
            turns = self._runtime.transact(partial(self._progress.apply, results=results))
        except Exception as error:  # noqa: BLE001 - an edge: one result must not hold up the others
            return self._commit_apart(results, error)
        self._job.count("done", sum(not isinstance(result.outcome, Failed) for result in results))
        self._job.count("failed", sum(isinstance(result.outcome, Failed) for result in results))
        self._job.details["breakers"] = dict.fromkeys(self._breakers.not_closed(), "open")
        return turns if not self._job.stopping.is_set() else self._give_back(turns)

    def _commit_apart(self, results: Sequence[Result], error: Exception) -> list[Turn]:
        """Commit each alone what could not be committed together; what cannot be at all fails as a defect."""
        if not self._job.database_answers():
            # The leases run out, and what became of the calls is asked for.
            self._job.log.warning("cannot commit", results=len(results), error=str(error))
            self._job.count("dropped", len(results))
            return []
        if len(results) > 1:
            return [turn for result in results for turn in self._commit([result])]
        (result,) = results
        number = result.turn.order.order.number
        self._job.log.error("a result cannot be stored", order=number, error=str(error))
        if isinstance(result.outcome, Failed) and result.outcome.error.code == _NOT_STORED.code:
            self._job.count("dropped")
            return []
        return self._commit([replace(result, outcome=Failed(_NOT_STORED))])

    def _give_back(self, turns: Sequence[Turn]) -> list[Turn]:
        """Let others take at once what this process, about to stop, would only hold until its lease ends."""
        try:
            self._runtime.transact(partial(self._release, turns))
        except Exception as error:  # noqa: BLE001 - an edge: then their leases run out
            self._job.log.warning("cannot give back", turns=len(turns), error=str(error))
        return []

    @staticmethod
    def _release(turns: Sequence[Turn], session: Session) -> None:
        owned = work.still_owned(session, [turn.claimed for turn in turns])
        now = database_now(session)
        mine = [turn.claimed for turn in turns if turn.claimed.id in owned]
        back = [Moved(one.id, one.lane, 0, now, gives_up_at=one.gives_up_at) for one in mine]
        work.move_on(session, back)

    def _is_closed(self, lane: str) -> bool:
        return self._breakers.state(lane) == "closed"

    def _delivered(self, effect_key: str) -> str | None:
        with self._runtime.writer() as session:
            return mail_deliveries.message_id_of(session, effect_key)
