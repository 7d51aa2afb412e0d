from __future__ import annotations

from pathlib import Path

import pytest
from lxml import etree

from portal.errors import InvalidInput, NotFound
from portal.orders.process.bpmn import parse_bpmn
from portal.orders.process.definitions import (
    CompiledPlans,
    Definition,
    compile_version,
    load_definitions,
    version_of,
)
from portal.orders.process.facts import Fact
from portal.orders.process.plan import Node, TaskNode
from tests.orders.process.drawings import drawing_of, end, sheet_of, start, task

DI = {
    "bpmndi": "http://www.omg.org/spec/BPMN/20100524/DI",
    "dc": "http://www.omg.org/spec/DD/20100524/DC",
    "di": "http://www.omg.org/spec/DD/20100524/DI",
}
TAX, AFTER_INCIDENT = "Task_IssueTaxDocument", "Task_IssueAfterIncident"
INCIDENT = ["Task_RecordIncident", "Task_TellOfIncident", AFTER_INCIDENT, "Task_TellInProcess"]
LAST = ["Task_RecordSale", "Task_TellCompleted", "End_OrderCompleted"]
DRAWING, SHEET = drawing_of(start("a") + task("a", "end") + end()), sheet_of("a")


@pytest.fixture(scope="module")
def retail() -> Definition:
    return load_definitions().get("retail-order")


def walk(retail: Definition, facts: dict[str, Fact], failing: frozenset[str] = frozenset()) -> list[str]:
    """Give the ids of the nodes that an order visits when each of the failing tasks fails for good."""
    node: Node = retail.plan.first(facts)
    visited: list[str] = []
    while isinstance(node, TaskNode):
        visited.append(node.id)
        caught = retail.plan.on_error(node.id, "timed-out") if node.id in failing else None
        if node.id in failing and caught is None:
            return visited
        node = caught or retail.plan.after(node.id, facts)
    return [*visited, node.id]


def test_a_retail_order_without_gift_cards_goes_straight_to_eom(retail: Definition) -> None:
    assert walk(retail, {"gift_card_count": 0}) == ["Task_RegisterInEom", TAX, *LAST]


def test_a_retail_order_with_gift_cards_redeems_them_first(retail: Definition) -> None:
    visited = walk(retail, {"gift_card_count": 2})
    assert visited == ["Task_RedeemGiftCards", "Task_RegisterInEom", TAX, *LAST]


@pytest.mark.parametrize("cards", [0, 1])
def test_a_tax_document_that_cannot_be_issued_takes_its_own_path(retail: Definition, cards: int) -> None:
    visited = walk(retail, {"gift_card_count": cards}, frozenset({TAX}))
    assert visited == [*["Task_RedeemGiftCards"][:cards], "Task_RegisterInEom", TAX, *INCIDENT, *LAST]


@pytest.mark.parametrize("code", ["tax-id-invalid", "timed-out", "http-500"])
def test_every_error_of_the_tax_document_is_an_incident(retail: Definition, code: str) -> None:
    node = retail.plan.on_error(TAX, code)
    assert node is not None
    assert node.id == INCIDENT[0]


def test_no_other_task_has_a_path_for_its_errors(retail: Definition) -> None:
    tasks = [node.id for node in retail.plan.nodes.values() if isinstance(node, TaskNode)]
    caught = [task_id for task_id in tasks if retail.plan.on_error(task_id, "timed-out")]
    assert len(tasks) == 9
    assert caught == [TAX]


def test_only_the_tax_document_after_an_incident_waits_for_a_push(retail: Definition) -> None:
    held = [node.id for node in retail.plan.nodes.values() if isinstance(node, TaskNode) and node.hold]
    assert held == [AFTER_INCIDENT]


def test_the_push_of_a_tax_document_has_its_verdict_within_seconds(retail: Definition) -> None:
    assert retail.plan.task(AFTER_INCIDENT).retry == (1, 3)


def test_both_ways_to_a_tax_document_share_one_effect_and_no_others_do(retail: Definition) -> None:
    tasks = [node for node in retail.plan.nodes.values() if isinstance(node, TaskNode)]
    shared = {node.id for node in tasks if node.effect == "tax-document"}
    others = [node.effect for node in tasks if node.id not in shared]
    assert shared == {TAX, AFTER_INCIDENT}
    assert len(set(others)) == len(others) == 7


def test_each_task_of_the_retail_order_is_bound_to_its_connector_and_system(retail: Definition) -> None:
    tasks = [node for node in retail.plan.nodes.values() if isinstance(node, TaskNode)]
    assert {node.id: (node.connector, node.system) for node in tasks} == {
        "Task_RedeemGiftCards": ("gift_card.redeem", "gift-card"),
        "Task_RegisterInEom": ("eom.register", "eom"),
        TAX: ("tax_documents.issue", "tax-documents"),
        "Task_RecordIncident": ("record.incident", None),
        "Task_TellOfIncident": ("mail.incident", "mail"),
        AFTER_INCIDENT: ("tax_documents.issue", "tax-documents"),
        "Task_TellInProcess": ("mail.order_in_process", "mail"),
        "Task_RecordSale": ("pos.record_sale", "pos"),
        "Task_TellCompleted": ("mail.order_completed", "mail"),
    }


def test_the_trail_of_a_completed_incident_marks_its_whole_way(retail: Definition) -> None:
    trail = retail.plan.trail(walk(retail, {"gift_card_count": 0}, frozenset({TAX})))
    assert trail[:4] == [
        "Start_OrderReceived",
        "Flow_Received",
        "Gateway_GiftCardUsed",
        "Flow_NoGiftCard",
    ]
    assert {"Error_TaxDocumentNotIssued", "Flow_NotIssued", "Flow_InProcessTold"} <= set(trail)
    assert not {"Flow_Issued", "Flow_GiftCard", "Task_RedeemGiftCards"} & set(trail)
    assert trail[-1] == "End_OrderCompleted"


def test_every_element_and_flow_of_a_shipped_drawing_is_drawn_once() -> None:
    for definition in load_definitions():
        drawing, root = parse_bpmn(definition.bpmn), etree.fromstring(definition.bpmn)
        shapes = [shape.get("bpmnElement") for shape in root.iterfind(".//bpmndi:BPMNShape[dc:Bounds]", DI)]
        edges = [edge.get("bpmnElement") for edge in root.iterfind(".//bpmndi:BPMNEdge[di:waypoint]", DI)]
        assert sorted(map(str, shapes)) == sorted(element.id for element in drawing.elements)
        assert sorted(map(str, edges)) == sorted(flow.id for flow in drawing.flows)


def test_every_edge_of_a_shipped_drawing_begins_and_ends_at_its_shapes() -> None:
    for definition in load_definitions():
        root = etree.fromstring(definition.bpmn)
        bounds = {
            str(shape.get("bpmnElement")): [
                float(shape[0].get(side, "")) for side in ("x", "y", "width", "height")
            ]
            for shape in root.iterfind(".//bpmndi:BPMNShape", DI)
        }
        points = {
            str(edge.get("bpmnElement")): [
                (float(point.get("x", "")), float(point.get("y", "")))
                for point in edge.iterfind("di:waypoint", DI)
            ]
            for edge in root.iterfind(".//bpmndi:BPMNEdge", DI)
        }
        for flow in parse_bpmn(definition.bpmn).flows:
            for shape, (x, y) in ((flow.source, points[flow.id][0]), (flow.target, points[flow.id][-1])):
                left, top, width, height = bounds[shape]
                assert left <= x <= left + width, flow.id
                assert top <= y <= top + height, flow.id


def test_every_shipped_task_and_choice_has_a_name_to_read() -> None:
    for definition in load_definitions():
        assert all(element.name for element in parse_bpmn(definition.bpmn).elements)


def test_an_unknown_process_is_not_found() -> None:
    with pytest.raises(NotFound):
        load_definitions().get("wholesale-order")


def test_the_version_changes_with_either_text(retail: Definition) -> None:
    assert retail.version == version_of(retail.bpmn, retail.sheet)
    versions = {
        version_of(b"drawing", b"sheet"),
        version_of(b"drawings", b"heet"),
        version_of(b"drawing", b"sheets"),
        version_of(b"Drawing", b"sheet"),
    }
    assert len(versions) == 4


def test_a_plan_is_rebuilt_from_the_stored_texts(retail: Definition) -> None:
    rebuilt = compile_version(retail.bpmn, retail.sheet)
    assert rebuilt is not retail.plan
    assert rebuilt.nodes == retail.plan.nodes
    assert rebuilt.exits == retail.plan.exits


def test_a_version_is_compiled_once() -> None:
    plans = CompiledPlans()
    assert plans.get(version_of(DRAWING, SHEET)) is None
    plan = plans.compile_version(DRAWING, SHEET)
    assert plans.compile_version(DRAWING, SHEET) is plan
    assert plans.get(version_of(DRAWING, SHEET)) is plan


def test_the_shipped_versions_are_compiled_before_anybody_asks() -> None:
    definitions = load_definitions()
    for definition in definitions:
        assert definitions.plans.get(definition.version) is definition.plan


def test_a_folder_of_processes_is_read_by_its_file_names(tmp_path: Path) -> None:
    (tmp_path / "trial.bpmn").write_bytes(DRAWING)
    (tmp_path / "trial.toml").write_bytes(SHEET)
    (tmp_path / "README").write_text("not a process")
    assert [definition.key for definition in load_definitions(tmp_path)] == ["trial"]


@pytest.mark.parametrize("alone", ["trial.bpmn", "trial.toml"])
def test_a_drawing_without_a_sheet_or_the_reverse_is_refused(tmp_path: Path, alone: str) -> None:
    (tmp_path / alone).write_bytes(DRAWING)
    with pytest.raises(InvalidInput, match="needs both"):
        load_definitions(tmp_path)


def test_a_process_named_otherwise_than_its_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "other.bpmn").write_bytes(DRAWING)
    (tmp_path / "other.toml").write_bytes(SHEET)
    with pytest.raises(InvalidInput, match="“trial”"):
        load_definitions(tmp_path)
