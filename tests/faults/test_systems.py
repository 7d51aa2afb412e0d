"""Whatever the outside systems do, every order is completed in the end with every effect once."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import update

from portal.orders.states import StepState
from portal.runtime import Runtime
from portal.work import Work
from sandbox.backbone import Backbone
from tests.faults.conftest import StartJobs
from tests.faults.orders import (
    COMPLETED,
    EXCEPTION,
    SYSTEMS,
    assert_every_effect_once,
    effects,
    effects_by_order,
    events_of,
    numbered,
    orders_by_status,
    push_all,
    put_orders,
    steps_in,
    wait_for_completion,
    wait_for_orders,
)
from tests.servers.waiting import wait_until

ALL = ("transformer", "reader", "runner", "mail-events")
TAX, AFTER = "Task_IssueTaxDocument", "Task_IssueAfterIncident"
SECONDS = 90


def let_patience_run_out(runtime: Runtime) -> None:
    """Let whatever waits for a system that is left alone have waited for long enough."""
    with runtime.writer() as session:
        waiting = update(Work).where(Work.gives_up_at.is_not(None))
        session.execute(waiting.values(gives_up_at=runtime.clock() - timedelta(minutes=1)))


def let_retries_be_due(runtime: Runtime) -> None:
    """Let all work that waits for its next attempt be due now."""
    with runtime.writer() as session:
        now = runtime.clock()
        session.execute(update(Work).where(Work.lease_token.is_(None), Work.due_at > now).values(due_at=now))


@pytest.mark.parametrize("kind", ["down", "slow", "500", "garbage", "lost-answer"])
def test_a_fault_of_each_system_delays_orders_and_does_nothing_twice(
    runtime: Runtime, backbone: Backbone, start_jobs: StartJobs, kind: str
) -> None:
    # Two of the first fifteen are paid with a gift card.
    numbers = numbered("S", 15)
    for system in SYSTEMS:
        times = 1 if system == "gift-card" else 3
        backbone.client.put_fault(system, kind, times=times, seconds=3 if kind == "slow" else None)
    put_orders(runtime, numbers)
    start_jobs(*ALL)
    wait_for_completion(runtime, len(numbers))
    assert backbone.client.faults() == {}
    assert_every_effect_once(backbone.client, numbers)
    failed = {event.data["system"] for event in events_of(runtime, "step.failed")}
    assert failed == set(SYSTEMS)


class TestTaxDocumentsThatCannotBeIssued:
    @pytest.fixture
    def more_settings(self) -> dict[str, str]:
        return {"BREAKER_FAILURES": "1000"}

    def test_wait_with_a_reason_the_customer_is_told_once_and_a_push_completes_them(
        self, runtime: Runtime, backbone: Backbone, start_jobs: StartJobs
    ) -> None:
        numbers = numbered("T", 6)
        backbone.client.put_fault("tax-documents", "down")
        put_orders(runtime, numbers)
        start_jobs(*ALL)

        def all_stopped() -> bool:
            let_retries_be_due(runtime)
            return orders_by_status(runtime) == {EXCEPTION: len(numbers)}

        wait_until(all_stopped, SECONDS, "all orders are exceptions")
        stopped = steps_in(runtime, StepState.EXCEPTION)
        assert {step.element_id for step in stopped} == {AFTER}
        assert {step.reason for step in stopped} == {"The tax document system did not answer."}
        assert effects_by_order(backbone.client)["mail"] == dict.fromkeys(numbers, 1)
        assert effects_by_order(backbone.client)["pos"] == {}

        backbone.client.clear_fault("tax-documents")
        push_all(runtime)
        wait_for_orders(runtime, **{COMPLETED: len(numbers)})
        assert_every_effect_once(backbone.client, numbers, mails=3)
        keys = [str(mail["key"]).partition("-")[2] for mail in effects(backbone.client, "mail")]
        assert sorted(keys) == sorted(["mail-incident", "mail-in-process", "mail-completed"] * len(numbers))


class TestASystemThatIsDown:
    @pytest.fixture
    def more_settings(self) -> dict[str, str]:
        return {"BREAKER_FAILURES": "3", "BREAKER_SECONDS": "2", "CALLS_IN_FLIGHT": "3"}

    def test_is_left_alone_so_that_orders_do_not_burn_their_attempts(
        self, runtime: Runtime, backbone: Backbone, start_jobs: StartJobs
    ) -> None:
        numbers = numbered("B", 15)
        backbone.client.put_fault("tax-documents", "down")
        put_orders(runtime, numbers)
        start_jobs(*ALL)

        def all_arrived() -> bool:
            let_retries_be_due(runtime)
            return len([step for step in steps_in(runtime, StepState.DUE) if step.element_id == TAX]) == 15

        wait_until(all_arrived, SECONDS, "all orders have come to their tax document")
        due = steps_in(runtime, StepState.DUE)
        # Three that opened it, those that were under way with them, and a trial now and then.
        assert sum(step.attempts for step in due) < len(numbers)
        assert [step.attempts for step in due].count(0) > 0
        backbone.client.clear_fault("tax-documents")
        wait_for_completion(runtime, len(numbers))
        assert_every_effect_once(backbone.client, numbers)

    def test_stops_orders_as_exceptions_once_they_have_waited_for_long_enough(
        self, runtime: Runtime, backbone: Backbone, start_jobs: StartJobs
    ) -> None:
        numbers = numbered("P", 12)
        backbone.client.put_fault("tax-documents", "down")
        put_orders(runtime, numbers)
        start_jobs(*ALL)

        def all_stopped() -> bool:
            let_patience_run_out(runtime)
            return orders_by_status(runtime) == {EXCEPTION: len(numbers)}

        wait_until(all_stopped, SECONDS, "all orders are exceptions")
        stopped = steps_in(runtime, StepState.EXCEPTION)
        assert {step.element_id for step in stopped} == {AFTER}
        assert "tax-documents-unavailable" in {step.code for step in stopped}
        failed = steps_in(runtime, StepState.FAILED)
        assert sum(step.attempts for step in failed) < len(numbers)
        assert effects_by_order(backbone.client)["mail"] == dict.fromkeys(numbers, 1)

        backbone.client.clear_fault("tax-documents")
        push_all(runtime)
        wait_for_orders(runtime, **{COMPLETED: len(numbers)})
        assert_every_effect_once(backbone.client, numbers, mails=3)
