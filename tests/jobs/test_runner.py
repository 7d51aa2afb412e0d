"""The runner takes due steps, calls, and commits: each effect once, whatever fails in between."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from sqlalchemy import func, select, update

from jobs.job import Job
from jobs.runner import Runner
from portal.clients.http import HttpSystem
from portal.events import Actor, Event
from portal.orders.canonical import parse_order
from portal.orders.models import OrderStep, PurchaseOrder
from portal.orders.service import Arrival, DocumentPlace, receive_orders
from portal.orders.states import OrderStatus, StepState
from portal.runtime import Runtime, build_runtime
from portal.work import Work
from sandbox.samples import sample_order
from tests.clients.raw_server import RawServer, answer
from tests.sandbox.running import RunningSandbox
from tests.servers.forwarder import Forwarder
from tests.servers.mariadb import Cluster
from tests.servers.urls import Urls
from tests.servers.waiting import wait_until

SECONDS = 60
LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)
EOM, TAX, POS = "Task_RegisterInEom", "Task_IssueTaxDocument", "Task_RecordSale"


@pytest.fixture
def writer_url(migrated_urls: Urls) -> str:
    return migrated_urls.writer


@pytest.fixture
def more_settings(sandbox: RunningSandbox) -> dict[str, str]:
    systems = ("gift-card", "eom", "tax-documents", "pos")
    urls = {f"{name.replace('-', '_').upper()}_URL": f"{sandbox.url}/{name}" for name in systems}
    return urls | {
        "SES_ENDPOINT_URL": f"{sandbox.url}/ses",
        "CALLS_IN_FLIGHT": "4",
        "BREAKER_FAILURES": "2",
        "BREAKER_SECONDS": "5",
    }


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as started:
        yield started


class Watch:
    """A clock for breakers and pauses, which goes on at each look, or as far as it is told."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


def receive(runtime: Runtime, *numbers: str) -> list[int]:
    """Take in orders without gift cards, which so begin at EOM; return their ids."""
    document = DocumentPlace("canonical-json", "originals", "o.json", None)
    orders = [parse_order(sample_order(number, seed=1) | {"gift_cards": []}) for number in numbers]
    arrivals = [Arrival(order, document, "bucket", runtime.new_id()) for order in orders]
    receipts = runtime.transact(
        lambda session: receive_orders(
            session,
            arrivals,
            definition=runtime.definitions.get("retail-order"),
            cipher=runtime.cipher,
            actor=Actor("job", "reader"),
            now=runtime.clock(),
        )
    )
    return [receipt.order_id for receipt in receipts]


def numbers_for(order: str, count: int) -> list[str]:
    return [f"{order}-{number}" for number in range(count)]


def steps(runtime: Runtime, element_id: str = EOM) -> dict[int, OrderStep]:
    with runtime.writer() as session:
        found = session.scalars(select(OrderStep).where(OrderStep.element_id == element_id))
        return {step.order_id: step for step in found}


def statuses(runtime: Runtime) -> list[str]:
    with runtime.writer() as session:
        return list(session.scalars(select(PurchaseOrder.status).order_by(PurchaseOrder.id)))


def work_left(runtime: Runtime) -> list[Work]:
    with runtime.writer() as session:
        return list(session.scalars(select(Work).order_by(Work.reference)))


def events(runtime: Runtime, kind: str, order_id: int) -> list[Event]:
    with runtime.writer() as session:
        found = session.scalars(select(Event).where(Event.kind == kind, Event.subject_id == order_id))
        return list(found)


def let_leases_run_out(runtime: Runtime) -> None:
    with runtime.writer() as session:
        session.execute(update(Work).values(due_at=LONG_AGO))


def until_idle(runner: Runner, pool: ThreadPoolExecutor) -> None:
    """Commit until nothing is in flight."""

    def idle() -> bool:
        runner.commit(pool)
        return runner.in_flight == 0

    wait_until(idle, SECONDS, "nothing is in flight")


def run_until(runner: Runner, pool: ThreadPoolExecutor, runtime: Runtime, wanted: list[str]) -> None:
    """Go round until the orders are in these states."""

    def done() -> bool:
        runner.claim(pool)
        runner.commit(pool)
        return statuses(runtime) == wanted

    wait_until(done, SECONDS, f"the orders are {wanted}")


def test_orders_are_taken_through_their_process_with_each_effect_once(
    runtime: Runtime, pool: ThreadPoolExecutor, sandbox: RunningSandbox, order: str
) -> None:
    numbers = numbers_for(order, 6)
    receive(runtime, *numbers)
    runner = Runner(Job("runner", runtime))
    run_until(runner, pool, runtime, [OrderStatus.COMPLETED] * 6)
    for system in ("eom", "tax-documents", "pos", "mail"):
        assert [sandbox.orders_with_effects(system, number) for number in numbers] == [1] * 6
    assert work_left(runtime) == []
    assert runner.in_flight == 0


def test_no_more_is_claimed_than_can_be_called_at_once(
    runtime: Runtime, pool: ThreadPoolExecutor, order: str
) -> None:
    receive(runtime, *numbers_for(order, 6))
    runner = Runner(Job("runner", runtime))
    runner.claim(pool)
    runner.claim(pool)
    assert runner.in_flight == 4
    assert sum(work.lease_token is not None for work in work_left(runtime)) == 4


def test_a_runner_that_is_told_to_stop_finishes_its_calls_and_gives_the_rest_back(
    runtime: Runtime, pool: ThreadPoolExecutor, order: str
) -> None:
    ids = receive(runtime, order)
    job = Job("runner", runtime)
    runner = Runner(job)
    runner.claim(pool)
    job.stopping.set()
    until_idle(runner, pool)
    assert steps(runtime)[ids[0]].state == StepState.PASSED
    (left,) = work_left(runtime)
    assert (left.lease_token, left.attempt, left.lane) == (None, 0, "tax-documents")


def test_while_the_database_is_away_results_are_dropped_and_later_asked_for(
    mariadb: Cluster,
    pool: ThreadPoolExecutor,
    sandbox: RunningSandbox,
    order: str,
    migrated_mariadb: str,
    runtime: Runtime,
) -> None:
    name = mariadb.copy_database(migrated_mariadb, f"test_runner_{order[2:]}")
    with Forwarder(mariadb.primary.port) as forwarder:
        direct = mariadb.writer_url(name)
        url = direct.replace(f":{mariadb.primary.port}/", f":{forwarder.port}/")
        own = build_runtime(runtime.settings.model_copy(update={"database_writer_url": url}))
        receive(own, order)
        runner = Runner(Job("runner", own))
        runner.claim(pool)
        forwarder.point_at(9)
        forwarder.cut()
        until_idle(runner, pool)
        runner.claim(pool)
        assert runner.in_flight == 0
        forwarder.point_at(mariadb.primary.port)
        let_leases_run_out(own)
        run_until(runner, pool, own, [OrderStatus.COMPLETED])
        passed = events(own, "step.passed", 1)
        own.database.dispose()
    assert sandbox.orders_with_effects("eom", order) == 1
    assert [event.data.get("asked") for event in passed if event.data["element_id"] == EOM] == [True]
    mariadb.drop_database(name)


def test_a_result_that_cannot_be_stored_stops_its_order_and_no_other(
    runtime: Runtime, pool: ThreadPoolExecutor, order: str
) -> None:
    # Half of a sign outside of the basic plane: JSON can name it, no database can store it.
    unstorable = answer("422 Unprocessable Content", b'{"detail": "no \\ud83d"}')
    with RawServer(unstorable, answer("201 Created", b'{"eom_id": "E-1"}')) as server:
        eom = HttpSystem("eom", "EOM", server.url, deadline=20, max_calls=4)
        own = replace(runtime, systems=runtime.systems | {"eom": eom})
        receive(own, *numbers_for(order, 3))
        runner = Runner(Job("runner", own))
        wanted = sorted([OrderStatus.COMPLETED, OrderStatus.COMPLETED, OrderStatus.EXCEPTION])

        def done() -> bool:
            runner.claim(pool)
            runner.commit(pool)
            return sorted(statuses(own)) == wanted

        wait_until(done, SECONDS, "one order stopped, and the others are completed")
    (stopped,) = [step for step in steps(own).values() if step.state == StepState.EXCEPTION]
    assert stopped.code == "answer-not-stored"
    assert runner.in_flight == 0


def test_work_without_a_step_that_is_due_is_ended_and_holds_up_no_other(
    runtime: Runtime, pool: ThreadPoolExecutor, order: str
) -> None:
    ids = receive(runtime, *numbers_for(order, 2))
    with runtime.writer() as session:
        session.execute(update(OrderStep).where(OrderStep.order_id == ids[0]).values(state=StepState.PASSED))
        session.add(Work(kind="order", reference=10**6, lane="eom", due_at=LONG_AGO, attempt=0))
    runner = Runner(Job("runner", runtime))
    run_until(runner, pool, runtime, [OrderStatus.PROCESSING, OrderStatus.COMPLETED])
    assert work_left(runtime) == []


def test_an_order_that_cannot_be_read_stops_with_a_reason_and_holds_up_no_other(
    runtime: Runtime, pool: ThreadPoolExecutor, order: str
) -> None:
    ids = receive(runtime, *numbers_for(order, 2))
    with runtime.writer() as session:
        altered = update(PurchaseOrder).where(PurchaseOrder.id == ids[0]).values(canonical=b"x" * 60)
        session.execute(altered)
    runner = Runner(Job("runner", runtime))
    run_until(runner, pool, runtime, [OrderStatus.EXCEPTION, OrderStatus.COMPLETED])
    assert steps(runtime)[ids[0]].reason
    assert work_left(runtime) == []


def test_a_system_that_is_down_is_left_alone_and_tried_now_and_then(
    runtime: Runtime, pool: ThreadPoolExecutor, sandbox: RunningSandbox, order: str
) -> None:
    watch = Watch()
    own = replace(
        runtime,
        monotonic=watch,
        settings=runtime.settings.model_copy(update={"calls_in_flight": 2}),
    )
    receive(own, *numbers_for(order, 5))
    sandbox.client.put_fault("eom", "down")
    runner = Runner(Job("runner", own))

    def attempts_made() -> int:
        """Go on for as long as the pause of the runner, and count the attempts."""
        watch.now += 0.2
        runner.claim(pool)
        until_idle(runner, pool)
        return sum(step.attempts for step in steps(own).values())

    assert attempts_made() == 2
    let_leases_run_out(own)
    assert [attempts_made() for _ in range(3)] == [2, 2, 2]
    watch.now += 5
    assert attempts_made() == 3
    assert attempts_made() == 3
    sandbox.client.clear_fault("eom")
    watch.now += 5
    assert [attempts_made() for _ in range(2)][-1] > 3
    let_leases_run_out(own)
    run_until(Runner(Job("runner", runtime)), pool, own, [OrderStatus.COMPLETED] * 5)


def test_a_stale_owner_is_fenced_off(
    runtime: Runtime, pool: ThreadPoolExecutor, sandbox: RunningSandbox, order: str
) -> None:
    (order_id,) = receive(runtime, order)
    stale, fresh = Runner(Job("runner", runtime)), Runner(Job("runner", runtime))
    stale.claim(pool)
    let_leases_run_out(runtime)
    fresh.claim(pool)
    until_idle(stale, pool)
    assert steps(runtime)[order_id].state == StepState.DUE
    run_until(fresh, pool, runtime, [OrderStatus.COMPLETED])
    with runtime.writer() as session:
        counted = select(func.count()).select_from(OrderStep).where(OrderStep.order_id == order_id)
        assert session.scalars(counted).one() == 4
    passed = [event.data["element_id"] for event in events(runtime, "step.passed", order_id)]
    assert sorted(passed) == sorted([EOM, TAX, POS, "Task_TellCompleted"])
    assert statuses(runtime) == [OrderStatus.COMPLETED]
    assert sandbox.orders_with_effects("eom", order) == 1


def test_a_step_whose_worker_always_stops_is_given_up_with_that_reason(
    runtime: Runtime, pool: ThreadPoolExecutor, sandbox: RunningSandbox, order: str
) -> None:
    (order_id,) = receive(runtime, order)
    with runtime.writer() as session:
        session.execute(update(Work).values(attempt=50, lease_token="gone", due_at=LONG_AGO))
    run_until(Runner(Job("runner", runtime)), pool, runtime, [OrderStatus.EXCEPTION])
    assert steps(runtime)[order_id].code == "worker-stopped"
    assert sandbox.orders_with_effects("eom", order) == 0
