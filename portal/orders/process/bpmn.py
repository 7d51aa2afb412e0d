"""BPMN 2.0 drawings, read as they are; what can be run is judged in `check`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

from lxml import etree

from portal.errors import InvalidInput

MODEL = "http://www.omg.org/spec/BPMN/20100524/MODEL"
T = TypeVar("T")

LARGEST = 4 * 1024 * 1024

START = "startEvent"
END = "endEvent"
TASK = "serviceTask"
GATEWAY = "exclusiveGateway"
BOUNDARY = "boundaryEvent"
FLOW = "sequenceFlow"
ERROR = "errorEventDefinition"

# Children of a process that say something to its reader and nothing to whoever runs it.
NOTES = frozenset(
    {
        "association",
        "auditing",
        "dataObject",
        "dataObjectReference",
        "dataStoreReference",
        "documentation",
        "extensionElements",
        "group",
        "ioSpecification",
        "laneSet",
        "monitoring",
        "property",
        "textAnnotation",
    }
)


@dataclass(frozen=True, slots=True)
class Element:
    """One event, task or gateway, with what of it matters to a plan.

    `kind` is its BPMN name, supported or not. `details` are the BPMN names of its event definitions
    and loops. `default` is the flow that a gateway falls back on. For a boundary event, `attached_to`
    is its task, `error_ref` the declared error that it names, and `error_code` that error's code: without
    either it catches every error.
    """

    id: str
    name: str
    kind: str
    details: tuple[str, ...] = ()
    default: str | None = None
    attached_to: str | None = None
    error_code: str | None = None
    error_ref: str | None = None
    interrupting: bool = True


@dataclass(frozen=True, slots=True)
class Flow:
    """One sequence flow; `condition` is its text as drawn, None when there is none."""

    id: str
    name: str
    source: str
    target: str
    condition: str | None = None


@dataclass(frozen=True)
class Drawing:
    """One process as drawn, in document order."""

    process_id: str
    name: str
    elements: tuple[Element, ...]
    flows: tuple[Flow, ...]

    @cached_property
    def by_id(self) -> Mapping[str, Element]:
        """Give each element by its id."""
        return {element.id: element for element in self.elements}

    @cached_property
    def outgoing(self) -> Mapping[str, tuple[Flow, ...]]:
        """Give the flows that leave each element, in document order."""
        return _grouped((flow.source, flow) for flow in self.flows)

    @cached_property
    def boundaries(self) -> Mapping[str, tuple[Element, ...]]:
        """Give the boundary events on each task, in document order."""
        events = (element for element in self.elements if element.kind == BOUNDARY)
        return _grouped((event.attached_to or "", event) for event in events)

    def of_kind(self, kind: str) -> tuple[Element, ...]:
        """Give the elements of one kind, in document order."""
        return tuple(element for element in self.elements if element.kind == kind)


def _grouped(pairs: Iterable[tuple[str, T]]) -> dict[str, tuple[T, ...]]:
    groups: defaultdict[str, list[T]] = defaultdict(list)
    for key, value in pairs:
        groups[key].append(value)
    return {key: tuple(values) for key, values in groups.items()}


def parse_bpmn(xml: bytes) -> Drawing:
    """Read the one process of a BPMN 2.0 document, by namespace and never by prefix.

    Raises InvalidInput when the document is not UTF-8, larger than 4 MiB, has a document type, is not
    well-formed, is not BPMN 2.0, or holds no process or several. (OMG BPMN 2.0.2, chapter 15.)
    """
    root = _root(xml)
    drawn = [process for process in _children(root, "process") if _has_elements(process)]
    if len(drawn) != 1:
        raise InvalidInput(f"The drawing must hold exactly one process with elements, and has {len(drawn)}.")
    process = drawn[0]
    errors = {error.get("id", ""): error.get("errorCode") for error in _children(root, "error")}
    return Drawing(
        process_id=process.get("id", ""),
        name=process.get("name", ""),
        elements=tuple(
            _element(node, errors) for node in _children(process) if _local(node) not in NOTES | {FLOW}
        ),
        flows=tuple(_flow(node) for node in _children(process, FLOW)),
    )


def _root(xml: bytes) -> etree._Element:
    if len(xml) > LARGEST:
        raise InvalidInput("The drawing is larger than 4 MiB.")
    try:
        text = xml.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidInput("The drawing is not encoded in UTF-8.") from error
    # Entities in attributes are expanded while parsing, so a document type is refused before.
    if "<!DOCTYPE" in text:
        raise InvalidInput("The drawing has a document type (DOCTYPE), which is not allowed.")
    # The declared encoding is overruled: one that lies could hide a document type from the line above.
    parser = etree.XMLParser(
        encoding="utf-8",
        resolve_entities=False,
        load_dtd=False,
        no_network=True,
        huge_tree=False,
        remove_pis=True,
    )
    try:
        root = etree.fromstring(text.encode(), parser)
    except etree.XMLSyntaxError as error:
        raise InvalidInput(f"The drawing is not well-formed XML: {error.msg}.") from error
    if root.tag != f"{{{MODEL}}}definitions":
        raise InvalidInput("The document is not a BPMN 2.0 drawing.")
    return root


def _children(node: etree._Element, name: str = "*") -> Iterator[etree._Element]:
    return node.iterchildren(f"{{{MODEL}}}{name}")


def _local(node: etree._Element) -> str:
    return etree.QName(node).localname


def _has_elements(process: etree._Element) -> bool:
    return any(_local(node) not in NOTES for node in _children(process))


def _element(node: etree._Element, errors: Mapping[str, str | None]) -> Element:
    # errorRef is a qualified name, which some modellers write with the prefix of the target namespace.
    refs = [definition.get("errorRef", "") for definition in _children(node, ERROR)]
    error_ref = refs[0].rpartition(":")[2] if refs else ""
    return Element(
        id=node.get("id", ""),
        name=_name(node),
        kind=_local(node),
        details=tuple(
            name for name in map(_local, _children(node)) if name.endswith(("Definition", "Characteristics"))
        ),
        default=node.get("default"),
        attached_to=node.get("attachedToRef"),
        error_code=errors.get(error_ref) or None,
        error_ref=error_ref or None,
        interrupting=node.get("cancelActivity", "true") in ("true", "1"),
    )


def _flow(node: etree._Element) -> Flow:
    expression = next(_children(node, "conditionExpression"), None)
    if expression is not None and len(expression):
        # lxml's .text stops at the first comment or element: half a condition would be run.
        raise InvalidInput(
            f"The condition of {node.get('id', '')} may hold text only, no comments or elements.",
            field=node.get("id", ""),
        )
    return Flow(
        id=node.get("id", ""),
        name=_name(node),
        source=node.get("sourceRef", ""),
        target=node.get("targetRef", ""),
        condition=None if expression is None else (expression.text or "").strip(),
    )


def _name(node: etree._Element) -> str:
    # Modellers put line breaks into names to fit their shapes.
    return " ".join(node.get("name", "").split())
