"""Receivers, runners, people and readers at the same rows at once: nothing lost, nothing twice, no chaos."""

from __future__ import annotations

import secrets
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from random import Random

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from portal import work
from portal.errors import Conflict, Upstream
from portal.events import Actor, Event, first_broken_link
from portal.orders.connectors import Passed
from portal.orders.models import OrderStep, PurchaseOrder
from portal.orders.open_orders import Turn, load_turns, note_interruptions, set_aside
from portal.orders.progress import Failed, Outcome, Progress, Result
from portal.orders.service import (
    WORK_KIND,
    Arrival,
    DocumentPlace,
    Receipt,
    push_to_retry,
    receive_orders,
)
from portal.orders.states import OrderStatus, StepState
from portal.runtime import Runtime, build_runtime
from portal.work import Work
from tests.clients.settings import settings_for
from tests.orders.scenes import RUNNER, plain_order
from tests.servers.urls import Urls

SECONDS = 3.0
NUMBERS = [f"N-{number}" for number in range(150)]
REFUSED = Failed(Upstream("Refused.", code="refused", retryable=False))
LEASE = timedelta(milliseconds=300)


@pytest.fixture
def seed() -> int:
    """Give a seed that is told when the test fails, and can be put here to replay its choices."""
    chosen = secrets.randbelow(2**32)
    print(f"seed={chosen}")
    return chosen


@pytest.fixture
def busy(migrated_urls: Urls) -> Iterator[Runtime]:
    urls = {"DATABASE_WRITER_URL": migrated_urls.writer, "DATABASE_READER_URL": migrated_urls.reader}
    runtime = build_runtime(settings_for("http://127.0.0.1:9", "1", **urls))
    yield runtime
    runtime.database.dispose()


class Crowd:
    """All who work on the orders of one database, each in a thread, for some seconds."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        self.pushes_won = Counter[str]()
        self.taken_in = Counter[str]()
        self._ends_at = time.monotonic() + SECONDS

    def for_a_while(self, act: Callable[[Random], None], seed: int) -> None:
        random = Random(seed)
        while time.monotonic() < self._ends_at:
            act(random)

    def receive(self, random: Random) -> None:
        document = DocumentPlace("canonical-json", "originals", "in/order.json", None)
        orders = [plain_order(random.choice(NUMBERS)) for _ in range(5)]
        arrivals = [Arrival(order, document, "bucket", str(uuid.uuid4())) for order in orders]

        def take_in(session: Session) -> list[Receipt]:
            return receive_orders(
                session,
                arrivals,
                definition=self.runtime.definitions.get("retail-order"),
                cipher=self.runtime.cipher,
                actor=Actor("job", "reader"),
                now=self.runtime.clock(),
            )

        for receipt in self.runtime.transact(take_in):
            self.taken_in[receipt.outcome] += 1

    def run(self, random: Random) -> None:
        self.work_off(lambda: random.choices((Passed({"id": "1"}), REFUSED, None), (20, 3, 1))[0])

    def work_off(self, outcome: Callable[[], Outcome | None]) -> int:
        """Claim a batch and take its orders as far as they go; None is a worker never heard of again."""
        turns = self.runtime.transact(self._claim)
        claimed, progress = len(turns), self._progress()
        while turns:
            now = self.runtime.clock()
            told = [(turn, outcome()) for turn in turns]
            results = [Result(turn, result, now, now) for turn, result in told if result is not None]
            turns = self.runtime.transact(lambda session, results=results: progress.apply(session, results))  # type: ignore[misc]
        return claimed

    def _progress(self) -> Progress:
        return Progress(
            actor=RUNNER, lease=LEASE, new_token=self.runtime.new_id, keep=lambda lane: lane != "pos"
        )

    def _claim(self, session: Session) -> list[Turn]:
        claims = work.claim(session, WORK_KIND, limit=9, lease=LEASE, token=self.runtime.new_id())
        plans, cipher = self.runtime.definitions.plans, self.runtime.cipher
        loaded = load_turns(session, claims, plans=plans, cipher=cipher)
        now = self.runtime.clock()
        set_aside(session, loaded, actor=RUNNER, now=now)
        return note_interruptions(session, loaded.turns, actor=RUNNER, now=now)

    def push(self, random: Random) -> None:
        with self.runtime.reader() as session:
            stopped = session.execute(
                select(OrderStep.order_id, OrderStep.element_id).where(OrderStep.state == StepState.EXCEPTION)
            ).all()
        if not stopped:
            return
        order_id, element_id = random.choice(stopped)
        name = random.choice(("ana", "bo"))
        try:
            # As a view does it: not begun anew, so a deadlock would be an error on the screen.
            with self.runtime.writer() as session:
                push_to_retry(
                    session, order_id, element_id, actor=Actor("person", name), now=self.runtime.clock()
                )
        except Conflict:
            # Somebody else was first.
            pass
        else:
            self.pushes_won[name] += 1

    def read(self, random: Random) -> None:
        with self.runtime.reader() as session:
            session.execute(select(PurchaseOrder.status, func.count()).group_by(PurchaseOrder.status)).all()
            assert first_broken_link(session) is None

    def come_to_the_end(self) -> None:
        """Push whatever stopped, and let everything pass, until nothing is left to do."""
        random = Random(0)
        until = time.monotonic() + 60
        while time.monotonic() < until:
            self.work_off(lambda: Passed({"id": "1"}))
            self.push(random)
            with self.runtime.writer() as session:
                if not session.scalar(select(func.count()).select_from(Work)) and not session.scalar(
                    select(func.count()).where(PurchaseOrder.status != OrderStatus.COMPLETED)
                ):
                    return
        raise AssertionError("the orders do not come to their end")


def test_a_crowd_at_the_same_orders_takes_each_to_its_end_by_every_step_once(
    busy: Runtime, seed: int
) -> None:
    crowd = Crowd(busy)
    acts = [*[crowd.receive] * 2, *[crowd.run] * 3, *[crowd.push] * 2, crowd.read]
    with ThreadPoolExecutor(len(acts)) as pool:
        running = [pool.submit(crowd.for_a_while, act, seed + place) for place, act in enumerate(acts)]
        for one in running:
            one.result(60)
    crowd.come_to_the_end()

    with busy.writer() as session:
        numbers = session.scalars(select(PurchaseOrder.number)).all()
        told = session.execute(select(Event.subject_id, Event.kind, Event.data)).all()
        links = first_broken_link(session)
    assert len(numbers) == len(set(numbers)) == crowd.taken_in["new"] > 0
    assert crowd.taken_in["conflict"] == 0
    kinds = Counter(kind for _, kind, _ in told)
    assert kinds["order.received"] == kinds["order.completed"] == len(numbers)
    assert kinds["step.push-requested"] == crowd.pushes_won.total() > 0
    ended = Counter((order, data["element_id"]) for order, kind, data in told if kind == "step.passed")
    assert set(ended.values()) == {1}
    assert links is None
    assert threading.active_count() < 50
