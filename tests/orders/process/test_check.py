from __future__ import annotations

import pytest

from portal.errors import FieldError, InvalidInput
from portal.orders.process.bpmn import parse_bpmn
from portal.orders.process.plan import compile_plan
from portal.orders.process.sheet import parse_sheet
from tests.orders.process.drawings import (
    caught,
    drawing_of,
    end,
    flow,
    gateway,
    plan_of,
    sheet_of,
    start,
    task,
)

SOUND = start("a") + task("a", "end") + end()
CHOICE = start("g") + gateway("g", "g-b") + flow("g", "b") + task("a", "b") + task("b", "end") + end()
TAX = '<error id="E1" errorCode="tax"/>'


def faults(body: str, sheet: bytes, errors: str = "") -> list[FieldError]:
    with pytest.raises(InvalidInput) as refused:
        compile_plan(parse_bpmn(drawing_of(body, errors)), parse_sheet(sheet))
    assert refused.value.code == "invalid-process"
    return refused.value.errors


def test_a_sound_process_has_no_faults() -> None:
    plan_of(SOUND, "a")
    plan_of(CHOICE + flow("g", "a", "has_email"), "a", "b")


@pytest.mark.parametrize(
    ("body", "field", "reason"),
    [
        (SOUND + '<userTask id="u"/>', "u", "type userTask are not supported"),
        (SOUND + '<subProcess id="u"><startEvent id="v"/></subProcess>', "u", "type subProcess"),
        (
            SOUND.replace('id="start"/>', 'id="start"><timerEventDefinition/></startEvent>'),
            "start",
            "startEvent with timerEventDefinition",
        ),
        (
            SOUND.replace('id="end"/>', 'id="end"><errorEventDefinition/></endEvent>'),
            "end",
            "endEvent with errorEventDefinition",
        ),
        (
            SOUND.replace('name="Do a"/>', "><multiInstanceLoopCharacteristics/></serviceTask>"),
            "a",
            "serviceTask with multiInstanceLoopCharacteristics",
        ),
        (
            SOUND + caught("e", "a", "end").replace("error", "timer").replace("Error", "Timer"),
            "e",
            "only boundary events that catch an error",
        ),
        (
            SOUND + caught("e", "a", "end").replace(" attached", ' cancelActivity="false" attached'),
            "e",
            "and interrupt",
        ),
        (SOUND.replace(' id="a"', ""), "Do a", "this serviceTask has no id"),
        (SOUND.replace('id="start-a" ', ""), "sequenceFlow", "from start to a has no id"),
        (SOUND + end(), "end", "used more than once"),
        (SOUND.replace("Do a", "x" * 129), "a", "at most 128 characters"),
        (SOUND + flow("a", "nowhere"), "a-nowhere", "there is no element “nowhere”"),
        (SOUND + flow("nowhere", "a"), "nowhere-a", "there is no element “nowhere”"),
        (SOUND + flow("a", "start"), "a-start", "no flow may lead into start"),
        (task("a", "end") + end(), "trial", "no start event"),
        (
            SOUND + '<startEvent id="second"/>' + flow("second", "a"),
            "second",
            "starts already at start",
        ),
        (SOUND + flow("a", "start2") + end("start2"), "a", "exactly one flow must leave it, and 2 do"),
        (start("a") + '<serviceTask id="a"/>' + end(), "a", "exactly one flow must leave it, and 0 do"),
        (start("a") + '<serviceTask id="a"/>' + flow("a", "end", "has_email") + end(), "a", "gateway only"),
        (SOUND + flow("end", "a"), "end", "no flow may leave an end event"),
        (start("g") + gateway("g") + end() + task("a", "end"), "g", "no flow leaves this gateway"),
        (
            start("g") + gateway("g") + flow("g", "a", "has_email") + task("a", "end") + end(),
            "g",
            "no default flow",
        ),
        (CHOICE + flow("g", "a"), "g-a", "without a condition and is no default"),
        (
            start("g") + gateway("g", "a-end") + flow("g", "a") + task("a", "end") + end(),
            "g",
            "default flow a-end does not leave it",
        ),
        (CHOICE + flow("g", "a", "weather > 1"), "g-a", "“weather > 1” is refused: it names “weather”"),
        (CHOICE + flow("g", "a", "9**9**9 > 1"), "g-a", "not allowed"),
        (CHOICE + flow("g", "a", " "), "g-a", "cannot be read"),
        (SOUND + task("b", "end"), "b", "cannot be reached"),
        (SOUND + task("b", "c") + task("c", "b"), "c", "cannot be reached"),
        (start("a") + task("a", "b") + task("b", "a") + end(), "b", "no end event can be reached"),
        (SOUND + caught("e", "other", "end"), "e", "not attached to a service task"),
        (SOUND + caught("e", "start", "end"), "e", "not attached to a service task"),
        (SOUND + caught("e", "a", "end", "E2"), "e", "E2 is not declared with a code"),
        (
            SOUND + caught("e", "a", "end") + caught("f", "a", "end"),
            "f",
            "another event on a catches the same error",
        ),
        (
            SOUND + caught("e", "a", "g") + gateway("g") + flow("g", "end"),
            "e",
            "must lead to a task or an end event",
        ),
        (
            CHOICE.replace('id="g-b"', 'id="unused"')
            + flow("g", "h", "has_email")
            + gateway("h", "h-g")
            + flow("h", "g")
            + flow("h", "a", "has_email")
            + flow("g", "b"),
            "h",
            "a cycle made of gateways only",
        ),
        (
            start("g")
            + gateway("g", "g-a")
            + flow("g", "g", "has_email")
            + flow("g", "a")
            + SOUND[len(start("a")) :],
            "g",
            "a cycle made of gateways only",
        ),
    ],
)
def test_a_fault_is_told_with_the_id_of_its_element(body: str, field: str, reason: str) -> None:
    found = faults(body, sheet_of("a", "b", "c"), TAX)
    assert [fault for fault in found if fault.field == field and reason in fault.reason], found


def test_a_process_needs_an_id_that_its_column_holds() -> None:
    nameless, long = (drawing_of(SOUND).replace(b"trial", key) for key in (b"", b"x" * 65))
    for xml, field, reason in ((nameless, "process", "has no id"), (long, "x" * 65, "at most 64")):
        with pytest.raises(InvalidInput) as refused:
            compile_plan(parse_bpmn(xml), parse_sheet(sheet_of("a")))
        assert refused.value.field == field
        assert reason in refused.value.reason


@pytest.mark.parametrize(
    ("sheet", "field", "reason"),
    [
        (b"", "a", "the task has no binding"),
        (sheet_of("a", "gone"), "gone", "of no service task"),
        (sheet_of("a", "end"), "end", "of no service task"),
        (sheet_of("a").replace(b"trial.a", b"trial"), "a", "the connector must be written like"),
    ],
)
def test_a_fault_of_the_sheet_is_told_with_the_id_of_its_element(
    sheet: bytes, field: str, reason: str
) -> None:
    found = faults(SOUND, sheet)
    assert [fault.field for fault in found] == [field]
    assert reason in found[0].reason


def test_tasks_that_share_an_effect_must_make_the_same_call() -> None:
    body = start("a") + task("a", "b") + task("b", "end") + end()
    shared = sheet_of("a", "b").replace(b'effect = "b"', b'effect = "a"')
    assert "shares the effect “a” with a" in faults(body, shared)[0].reason
    compile_plan(parse_bpmn(drawing_of(body)), parse_sheet(shared.replace(b"trial.b", b"trial.a")))


def test_faults_of_drawing_sheet_and_conditions_are_told_together() -> None:
    body = CHOICE + flow("g", "a", "weather > 1") + '<userTask id="u"/>'
    with pytest.raises(InvalidInput) as refused:
        compile_plan(parse_bpmn(drawing_of(body)), parse_sheet(sheet_of("a", "gone")))
    assert {"u", "g-a", "b", "gone"} <= {fault.field for fault in refused.value.errors}
    for fault in refused.value.errors:
        assert f"{fault.field}: {fault.reason}" in refused.value.reason


def test_a_gateway_that_only_joins_needs_no_default() -> None:
    plan_of(start("g") + gateway("g") + flow("g", "a") + task("a", "b") + task("b", "end") + end(), "a", "b")


@pytest.mark.parametrize(
    ("body", "errors"),
    [
        (
            start("a")
            + task("a", "g")
            + gateway("g", "g-end")
            + flow("g", "end")
            + flow("g", "a", "has_email"),
            "",
        ),
        (start("a") + task("a", "end") + caught("e", "a", "b") + task("b", "a"), ""),
        (start("a") + task("a", "b") + task("b", "end") + caught("e", "b", "a", "E1"), TAX),
        (start("a") + task("a", "end") + caught("e", "a", "a"), ""),
    ],
    ids=["by a gateway", "by an error and a task", "by the error of a later task", "by its own error"],
)
def test_a_task_that_an_order_could_reach_twice_is_refused(body: str, errors: str) -> None:
    tasks = [name for name in ("a", "b") if f'<serviceTask id="{name}"' in body]
    found = faults(body + end(), sheet_of(*tasks), errors)
    assert {fault.field for fault in found} == set(tasks)
    assert all("a task can be taken only once in an order" in fault.reason for fault in found)


def test_two_ways_that_join_before_a_task_are_no_loop() -> None:
    plan_of(CHOICE + flow("g", "a", "has_email"), "a", "b")


def test_an_order_has_at_least_one_task() -> None:
    body = start("g") + gateway("g", "g-end") + flow("g", "end") + flow("g", "a", "has_email")
    found = faults(body + task("a", "end") + end(), sheet_of("a"))
    assert [(fault.field, "without any task" in fault.reason) for fault in found] == [("end", True)]


def test_the_first_task_of_an_order_cannot_wait_for_a_person() -> None:
    body = start("a") + task("a", "b") + task("b", "end") + end()
    sheet = sheet_of("a", "b")
    compile_plan(parse_bpmn(drawing_of(body)), parse_sheet(sheet + b"hold = true\n"))
    found = faults(body, sheet.replace(b"retry = [1, 2]\n", b"retry = [1, 2]\nhold = true\n", 1))
    assert [(fault.field, "cannot wait for a person" in fault.reason) for fault in found] == [("a", True)]
