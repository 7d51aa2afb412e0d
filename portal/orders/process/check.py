"""What keeps a drawing and its sheet from being run: every fault, with the element that it is about."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping

from portal.errors import FieldError
from portal.orders.process import bpmn
from portal.orders.process.bpmn import Drawing, Element
from portal.orders.process.sheet import Binding, Sheet

SUPPORTED = (bpmn.START, bpmn.END, bpmn.TASK, bpmn.GATEWAY, bpmn.BOUNDARY)

# What the columns of an order's steps hold.
LONGEST_KEY = 64
LONGEST_NAME = 128


def faults_of(drawing: Drawing, sheet: Sheet) -> Iterator[FieldError]:
    """Give all faults of a drawing with its sheet but those of conditions, each with its element's id."""
    yield from _ids(drawing)
    yield from _lengths(drawing)
    yield from _kinds(drawing)
    yield from _ends_of_flows(drawing)
    yield from _starts(drawing)
    yield from _exits(drawing)
    yield from _gateways(drawing)
    yield from _boundaries(drawing)
    yield from _unreachable(drawing)
    yield from _gateway_cycles(drawing)
    yield from _loops(drawing)
    yield from _bindings(drawing, sheet)
    yield from _first_steps(drawing, sheet)


def _ids(drawing: Drawing) -> Iterator[FieldError]:
    if not drawing.process_id:
        yield FieldError("process", "has no id")
    for element in drawing.elements:
        if not element.id:
            yield FieldError(element.name or element.kind, f"this {element.kind} has no id")
    for flow in drawing.flows:
        if not flow.id:
            yield FieldError(
                flow.name or bpmn.FLOW, f"the flow from {flow.source} to {flow.target} has no id"
            )
    ids = Counter([element.id for element in drawing.elements] + [flow.id for flow in drawing.flows])
    for twice in (used for used, count in ids.items() if used and count > 1):
        yield FieldError(twice, "the id is used more than once")


def _lengths(drawing: Drawing) -> Iterator[FieldError]:
    if len(drawing.process_id) > LONGEST_KEY:
        yield FieldError(drawing.process_id, f"the id of a process has at most {LONGEST_KEY} characters")
    for element in drawing.elements:
        if max(len(element.id), len(element.name)) > LONGEST_NAME:
            yield FieldError(element.id, f"its id and name have at most {LONGEST_NAME} characters each")


def _kinds(drawing: Drawing) -> Iterator[FieldError]:
    for element in drawing.elements:
        if element.kind not in SUPPORTED:
            yield FieldError(element.id, f"elements of type {element.kind} are not supported")
        elif element.kind != bpmn.BOUNDARY and element.details:
            yield FieldError(element.id, f"{element.kind} with {', '.join(element.details)} is not supported")
        elif element.kind == bpmn.BOUNDARY and (element.details != (bpmn.ERROR,) or not element.interrupting):
            yield FieldError(
                element.id, "only boundary events that catch an error and interrupt are supported"
            )


def _ends_of_flows(drawing: Drawing) -> Iterator[FieldError]:
    for flow in drawing.flows:
        for end in (flow.source, flow.target):
            if end not in drawing.by_id:
                yield FieldError(flow.id, f"the flow hangs loose: there is no element “{end}”")
        target = drawing.by_id.get(flow.target)
        if target and target.kind in (bpmn.START, bpmn.BOUNDARY):
            yield FieldError(flow.id, f"no flow may lead into {target.id}")


def _starts(drawing: Drawing) -> Iterator[FieldError]:
    starts = drawing.of_kind(bpmn.START)
    if not starts:
        yield FieldError(drawing.process_id, "the process has no start event")
    for extra in starts[1:]:
        yield FieldError(extra.id, f"the process starts already at {starts[0].id}")


def _exits(drawing: Drawing) -> Iterator[FieldError]:
    for element in drawing.elements:
        flows = drawing.outgoing.get(element.id, ())
        if element.kind == bpmn.END and flows:
            yield FieldError(element.id, "no flow may leave an end event")
        elif element.kind == bpmn.GATEWAY and not flows:
            yield FieldError(element.id, "no flow leaves this gateway")
        elif element.kind in (bpmn.START, bpmn.TASK, bpmn.BOUNDARY):
            if len(flows) != 1:
                yield FieldError(element.id, f"exactly one flow must leave it, and {len(flows)} do")
            if any(flow.condition is not None for flow in flows):
                yield FieldError(element.id, "a flow with a condition may leave a gateway only")


def _gateways(drawing: Drawing) -> Iterator[FieldError]:
    for gateway in drawing.of_kind(bpmn.GATEWAY):
        flows = drawing.outgoing.get(gateway.id, ())
        if gateway.default is not None and gateway.default not in {flow.id for flow in flows}:
            yield FieldError(gateway.id, f"its default flow {gateway.default} does not leave it")
        others = [flow for flow in flows if flow.id != gateway.default]
        if len(flows) == 1 and flows[0].condition is None:
            continue
        if others and len(others) == len(flows):
            yield FieldError(gateway.id, "it has no default flow, and all its conditions may fail")
        for flow in others:
            if flow.condition is None:
                yield FieldError(
                    flow.id, f"the flow leaves {gateway.id} without a condition and is no default"
                )


def _boundaries(drawing: Drawing) -> Iterator[FieldError]:
    caught: set[tuple[str | None, str | None]] = set()
    for event in drawing.of_kind(bpmn.BOUNDARY):
        task = drawing.by_id.get(event.attached_to or "")
        if task is None or task.kind != bpmn.TASK:
            yield FieldError(event.id, "the boundary event is not attached to a service task")
        if event.error_ref and not event.error_code:
            yield FieldError(event.id, f"its error {event.error_ref} is not declared with a code")
        if (event.attached_to, event.error_code) in caught:
            yield FieldError(event.id, f"another event on {event.attached_to} catches the same error")
        caught.add((event.attached_to, event.error_code))
        for flow in drawing.outgoing.get(event.id, ()):
            target = drawing.by_id.get(flow.target)
            if target and target.kind == bpmn.GATEWAY:
                yield FieldError(event.id, "its flow must lead to a task or an end event, not to a gateway")


def _unreachable(drawing: Drawing) -> Iterator[FieldError]:
    onward, back = _links(drawing)
    reached = _reached(drawing.of_kind(bpmn.START), onward)
    ending = _reached(drawing.of_kind(bpmn.END), back)
    for element in drawing.elements:
        if reached and element.id not in reached:
            yield FieldError(element.id, "it cannot be reached from the start event")
        elif element.kind in SUPPORTED and element.id not in ending:
            yield FieldError(element.id, "no end event can be reached from it")


def _links(drawing: Drawing) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """Give where each element leads, by its flows and by the errors that it may meet, and the reverse."""
    onward: defaultdict[str, list[str]] = defaultdict(list)
    back: defaultdict[str, list[str]] = defaultdict(list)
    links = [(flow.source, flow.target) for flow in drawing.flows]
    links += [(event.attached_to or "", event.id) for event in drawing.of_kind(bpmn.BOUNDARY)]
    for source, target in links:
        onward[source].append(target)
        back[target].append(source)
    return onward, back


def _reached(start: Iterable[Element], links: Mapping[str, list[str]]) -> set[str]:
    waiting = [element.id for element in start]
    reached = set(waiting)
    while waiting:
        for following in links.get(waiting.pop(), ()):
            if following not in reached:
                reached.add(following)
                waiting.append(following)
    return reached


def _gateway_cycles(drawing: Drawing) -> Iterator[FieldError]:
    gateways = {gateway.id for gateway in drawing.of_kind(bpmn.GATEWAY)}
    links = {
        gateway: [flow.target for flow in drawing.outgoing.get(gateway, ()) if flow.target in gateways]
        for gateway in gateways
    }
    for gateway in drawing.of_kind(bpmn.GATEWAY):
        following = [drawing.by_id[target] for target in links[gateway.id]]
        if gateway.id in _reached(following, links):
            yield FieldError(gateway.id, "it lies on a cycle made of gateways only, which would never end")


def _loops(drawing: Drawing) -> Iterator[FieldError]:
    onward, _ = _links(drawing)
    for task in drawing.of_kind(bpmn.TASK):
        following = [drawing.by_id[target] for target in onward.get(task.id, ()) if target in drawing.by_id]
        if task.id in _reached(following, onward):
            # A step is known by its order and its element, and brings its effect about once.
            yield FieldError(task.id, "it lies on a loop, and a task can be taken only once in an order")


def _first_steps(drawing: Drawing, sheet: Sheet) -> Iterator[FieldError]:
    ways = {
        element.id: [flow.target for flow in drawing.outgoing.get(element.id, ())]
        for element in (*drawing.of_kind(bpmn.START), *drawing.of_kind(bpmn.GATEWAY))
    }
    for element_id in sorted(_reached(drawing.of_kind(bpmn.START), ways) - ways.keys()):
        element, binding = drawing.by_id.get(element_id), sheet.bindings.get(element_id)
        if element is not None and element.kind == bpmn.END:
            yield FieldError(element_id, "an order could reach it from the start without any task")
        elif binding is not None and binding.hold:
            yield FieldError(element_id, "the first task of an order cannot wait for a person")


def _bindings(drawing: Drawing, sheet: Sheet) -> Iterator[FieldError]:
    yield from sheet.faults
    unread = {fault.field for fault in sheet.faults}
    tasks = {task.id for task in drawing.of_kind(bpmn.TASK)}
    for task in drawing.of_kind(bpmn.TASK):
        if task.id not in sheet.bindings and task.id not in unread:
            yield FieldError(task.id, "the task has no binding")
    for bound in dict.fromkeys((*sheet.bindings, *unread)):
        if bound not in tasks:
            yield FieldError(bound, "the binding is of no service task on the drawing")
    effects: dict[str, tuple[str, Binding]] = {}
    for task_id, binding in sheet.bindings.items():
        first, same = effects.setdefault(binding.effect, (task_id, binding))
        if (same.connector, same.system) != (binding.connector, binding.system):
            yield FieldError(
                task_id, f"it shares the effect “{binding.effect}” with {first}, but calls another"
            )
