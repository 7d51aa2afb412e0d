from __future__ import annotations

from dataclasses import FrozenInstanceError

import pytest

from portal.errors import InvalidInput, NotFound
from portal.orders.process.plan import EndNode, TaskNode
from tests.orders.process.drawings import caught, end, flow, gateway, plan_of, start, task

TWO = start("a") + task("a", "b") + task("b", "end") + end()
NO_FACTS: dict[str, int] = {}


def test_a_plan_leads_from_the_start_through_its_tasks_to_the_end() -> None:
    plan = plan_of(TWO, "a", "b")
    assert plan.first(NO_FACTS).id == "a"
    assert plan.after("a", NO_FACTS).id == "b"
    assert plan.after("b", NO_FACTS) == EndNode("end", "end")


def test_a_task_node_carries_its_binding() -> None:
    assert plan_of(TWO, "a", "b").first(NO_FACTS) == TaskNode(
        id="a", name="Do a", connector="trial.a", system=None, effect="a", retry=(1.0, 2.0), hold=False
    )


def test_the_first_condition_that_holds_wins_and_the_default_comes_last() -> None:
    body = start("g") + gateway("g", "g-c") + flow("g", "c")
    body += flow("g", "a", "total > 100") + flow("g", "b", "total > 10")
    body += task("a", "end") + task("b", "end") + task("c", "end") + end()
    plan = plan_of(body, "a", "b", "c")
    assert [plan.first({"total": total}).id for total in (1, 11, 101)] == ["c", "b", "a"]


def test_a_condition_on_the_default_flow_is_not_asked() -> None:
    body = start("g") + gateway("g", "g-a") + flow("g", "a", "total > 100") + task("a", "end") + end()
    assert plan_of(body, "a").first({"total": 1}).id == "a"


def test_gateways_in_a_row_are_passed_in_one_step() -> None:
    body = start("g") + gateway("g", "g-c") + flow("g", "c") + flow("g", "h", "has_email")
    body += gateway("h", "h-a") + flow("h", "a") + flow("h", "b", "has_address")
    body += task("a", "end") + task("b", "end") + task("c", "end") + end()
    plan = plan_of(body, "a", "b", "c")
    assert plan.first({"has_email": False}).id == "c"
    assert plan.first({"has_email": True, "has_address": False}).id == "a"
    assert plan.first({"has_email": True, "has_address": True}).id == "b"


def test_an_error_goes_to_the_event_of_its_code_before_the_one_for_all() -> None:
    body = TWO + caught("any", "a", "other") + caught("coded", "a", "b", "E1") + end("other")
    plan = plan_of(body, "a", "b", errors='<error id="E1" errorCode="tax-id-invalid"/>')
    coded, other = plan.on_error("a", "tax-id-invalid"), plan.on_error("a", "timed-out")
    assert coded is not None
    assert other is not None
    assert (coded.id, other.id) == ("b", "other")


def test_an_error_that_nothing_catches_leads_nowhere() -> None:
    body = TWO + caught("coded", "a", "end", "E1")
    plan = plan_of(body, "a", "b", errors='<error id="E1" errorCode="tax-id-invalid"/>')
    assert plan.on_error("a", "timed-out") is None
    assert plan.on_error("b", "tax-id-invalid") is None


@pytest.mark.parametrize("unknown", ["nothing", "end", "a-b"])
def test_what_is_no_task_of_the_plan_is_not_found(unknown: str) -> None:
    plan = plan_of(TWO, "a", "b")
    with pytest.raises(NotFound):
        plan.after(unknown, NO_FACTS)
    with pytest.raises(NotFound):
        plan.on_error(unknown, "timed-out")


def test_a_missing_fact_is_told_when_a_gateway_asks_for_it() -> None:
    body = start("g") + gateway("g", "g-b") + flow("g", "b") + flow("g", "a", "has_email")
    body += task("a", "end") + task("b", "end") + end()
    with pytest.raises(InvalidInput, match="cannot be answered"):
        plan_of(body, "a", "b").first({})


def test_a_trail_names_gateways_and_flows_between_the_visited() -> None:
    body = start("g") + gateway("g", "g-h") + flow("g", "h") + flow("g", "a", "has_email") + task("a", "h")
    body += gateway("h") + flow("h", "b") + task("b", "end") + end()
    plan = plan_of(body, "a", "b")
    assert plan.trail(["a", "b"]) == ["start", "start-g", "g", "g-a", "a", "a-h", "h", "h-b", "b"]
    assert plan.trail(["b", "end"]) == ["start", "start-g", "g", "g-h", "h", "h-b", "b", "b-end", "end"]


def test_a_trail_passes_the_boundary_event_of_a_failed_task() -> None:
    body = TWO + caught("e", "a", "c") + task("c", "b")
    plan = plan_of(body, "a", "b", "c")
    assert plan.trail(["a", "c", "b"]) == ["start", "start-a", "a", "e", "e-c", "c", "c-b", "b"]


def test_a_trail_prefers_the_plain_flow_where_an_error_leads_to_the_same_place() -> None:
    plan = plan_of(TWO + caught("e", "a", "b"), "a", "b")
    assert plan.trail(["a", "b"]) == ["start", "start-a", "a", "a-b", "b"]


def test_a_trail_of_nothing_is_the_start() -> None:
    assert plan_of(TWO, "a", "b").trail([]) == ["start"]


def test_a_plan_cannot_be_changed() -> None:
    plan = plan_of(TWO, "a", "b")
    with pytest.raises(FrozenInstanceError):
        plan.key = "other"  # type: ignore[misc]
    with pytest.raises(TypeError):
        plan.nodes["a"] = EndNode("a", "a")  # type: ignore[index]
