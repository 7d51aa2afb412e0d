from __future__ import annotations

import pytest

from portal.errors import InvalidInput
from portal.orders.process.bpmn import LARGEST, MODEL, Element, Flow, parse_bpmn
from tests.orders.process.drawings import caught, drawing_of, end, flow, start, task

SMALL = start("a") + task("a", "end") + end()


def test_a_drawing_keeps_its_ids_names_kinds_and_flows() -> None:
    drawing = parse_bpmn(drawing_of(SMALL))
    assert drawing.process_id == "trial"
    assert drawing.elements == (
        Element("start", "", "startEvent"),
        Element("a", "Do a", "serviceTask"),
        Element("end", "", "endEvent"),
    )
    assert drawing.flows == (Flow("start-a", "", "start", "a"), Flow("a-end", "", "a", "end"))


def test_the_prefix_of_the_namespace_does_not_matter() -> None:
    plain = drawing_of(SMALL).decode()
    prefixed = plain.replace("</", "\0").replace("<", "<semantic:").replace("\0", "</semantic:")
    prefixed = prefixed.replace("xmlns=", "xmlns:semantic=")
    assert parse_bpmn(prefixed.encode()) == parse_bpmn(plain.encode())


def test_elements_of_another_namespace_are_left_alone() -> None:
    body = f'<x:serviceTask xmlns:x="urn:other" id="b"/>{SMALL}'
    assert parse_bpmn(drawing_of(body)) == parse_bpmn(drawing_of(SMALL))


def test_notes_on_a_drawing_are_no_elements() -> None:
    notes = '<textAnnotation id="note"/><association id="line"/><documentation>Why</documentation>'
    assert parse_bpmn(drawing_of(notes + SMALL)) == parse_bpmn(drawing_of(SMALL))


def test_a_document_of_another_namespace_is_refused() -> None:
    with pytest.raises(InvalidInput, match=r"not a BPMN 2\.0 drawing"):
        parse_bpmn(drawing_of(SMALL).replace(MODEL.encode(), b"urn:other"))


def test_a_line_break_in_a_name_is_a_space() -> None:
    drawing = parse_bpmn(drawing_of('<serviceTask id="a" name="Register&#10;the order"/>'))
    assert drawing.by_id["a"].name == "Register the order"


def test_a_boundary_event_knows_its_task_and_error_code() -> None:
    errors = '<error id="E1" errorCode="tax-id-invalid"/>'
    body = SMALL + caught("coded", "a", "end", "E1") + caught("any", "a", "end")
    drawing = parse_bpmn(drawing_of(body, errors))
    assert [(event.id, event.error_code) for event in drawing.boundaries["a"]] == [
        ("coded", "tax-id-invalid"),
        ("any", None),
    ]


def test_an_error_may_be_referred_to_by_its_qualified_name() -> None:
    body = SMALL + caught("coded", "a", "end", "tns:E1")
    drawing = parse_bpmn(drawing_of(body, '<error id="E1" errorCode="tax-id-invalid"/>'))
    assert drawing.by_id["coded"].error_code == "tax-id-invalid"


def test_an_empty_condition_is_not_the_same_as_none() -> None:
    drawing = parse_bpmn(drawing_of(SMALL + flow("a", "b", " ")))
    assert [item.condition for item in drawing.flows] == [None, None, ""]


@pytest.mark.parametrize("hidden", ["<!-- more -->", "<b/>"])
def test_a_condition_with_anything_but_text_is_refused(hidden: str) -> None:
    xml = drawing_of(SMALL + flow("a", "b", "total > 10")).replace(b"10<", f"10{hidden}00<".encode())
    with pytest.raises(InvalidInput, match="text only") as refused:
        parse_bpmn(xml)
    assert refused.value.field == "a-b"


@pytest.mark.parametrize(
    "doctype",
    [
        "<!DOCTYPE definitions>",
        '<!DOCTYPE definitions SYSTEM "file:///etc/passwd">',
        '<!DOCTYPE definitions [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]>',
    ],
)
def test_any_document_type_is_refused(doctype: str) -> None:
    with pytest.raises(InvalidInput, match="DOCTYPE"):
        parse_bpmn(doctype.encode() + drawing_of(SMALL))


def test_a_document_type_cannot_hide_behind_another_encoding() -> None:
    hidden = '<!DOCTYPE definitions [<!ENTITY a "b">]>'.replace("<", "+ADw-").replace(">", "+AD4-")
    with pytest.raises(InvalidInput):
        parse_bpmn(f'<?xml version="1.0" encoding="UTF-7"?>{hidden}'.encode() + drawing_of(SMALL))
    with pytest.raises(InvalidInput, match="UTF-8"):
        parse_bpmn(drawing_of(SMALL).decode().encode("utf-16"))


def test_a_declared_encoding_that_lies_changes_nothing() -> None:
    body = SMALL.replace("Do a", "Émettre")
    declared = b'<?xml version="1.0" encoding="ISO-8859-1"?>' + drawing_of(body)
    assert parse_bpmn(declared).by_id["a"].name == "Émettre"


@pytest.mark.parametrize(
    "xml",
    [
        b"",
        b"<definitions",
        b"\xff\xfe",
        drawing_of(SMALL).replace(b"Do a", b"Do \x00"),
        drawing_of("&nothing;"),
        drawing_of(SMALL + "<documentation>" * 30_000 + "</documentation>" * 30_000),
        drawing_of(f'<serviceTask id="a" name="{"x" * LARGEST}"/>'),
    ],
    ids=["empty", "cut", "not UTF-8", "NUL", "unknown entity", "deep", "large"],
)
def test_a_document_that_cannot_be_read_safely_is_refused(xml: bytes) -> None:
    with pytest.raises(InvalidInput):
        parse_bpmn(xml)


def test_a_drawing_holds_exactly_one_process() -> None:
    with pytest.raises(InvalidInput, match="has 0"):
        parse_bpmn(drawing_of(""))
    with pytest.raises(InvalidInput, match="has 2"):
        parse_bpmn(drawing_of(f'{SMALL}</process><process id="other">{SMALL}'))


def test_an_empty_process_beside_the_drawn_one_is_left_alone() -> None:
    xml = drawing_of(f'{SMALL}</process><process id="pool"><documentation/>')
    assert parse_bpmn(xml).process_id == "trial"
