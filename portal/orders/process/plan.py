"""Plans: processes compiled once per version, and asked what comes next without reading anything again."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from types import MappingProxyType

from portal.errors import FieldError, InvalidInput, NotFound
from portal.orders.process import bpmn
from portal.orders.process.bpmn import Drawing
from portal.orders.process.check import faults_of
from portal.orders.process.conditions import Condition, compile_condition
from portal.orders.process.facts import Facts
from portal.orders.process.sheet import Sheet


@dataclass(frozen=True, slots=True)
class TaskNode:
    """A step that calls `connector`; `len(retry) + 1` attempts, with `retry` seconds of wait between them.

    `system` is the outside system called, None when nobody is. Tasks with the same `effect` bring it about
    once between them. With `hold`, the step starts as an exception and waits for a push. While the system
    is left alone because it does not answer, the step waits for it, but no longer than `patience`.
    """

    id: str
    name: str
    connector: str
    system: str | None
    effect: str
    retry: tuple[float, ...]
    hold: bool
    patience: timedelta | None = None


@dataclass(frozen=True, slots=True)
class EndNode:
    """The place where an order is completed."""

    id: str
    name: str


Node = TaskNode | EndNode


@dataclass(frozen=True, slots=True)
class Gateway:
    """A choice: the target of the first branch whose condition holds, or else of the default."""

    branches: tuple[tuple[Condition, str], ...]
    default: str

    def choose(self, facts: Facts) -> str:
        """Give the id of the element that an order with these facts goes to."""
        for condition, target in self.branches:
            if condition.holds(facts):
                return target
        return self.default


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """One version of a process, ready to run; immutable, and safe to share between threads.

    `nodes` are its tasks and ends by id. `exits` leads from the start event and each task to the element
    after it, `boundaries` from a task to where each error code leads (None: every other code). `links`
    holds, for two places that follow each other, the ids on the drawing between them.
    """

    key: str
    name: str
    start_id: str
    nodes: Mapping[str, Node]
    gateways: Mapping[str, Gateway]
    exits: Mapping[str, str]
    boundaries: Mapping[str, Mapping[str | None, str]]
    links: Mapping[tuple[str, str], tuple[str, ...]]

    def first(self, facts: Facts) -> TaskNode:
        """Give the task that an order with these facts starts with."""
        return self.task(self._arrive(self.exits[self.start_id], facts).id)

    def task(self, element_id: str) -> TaskNode:
        """Give the task of an id. Raises NotFound for an unknown task."""
        node = self.nodes.get(element_id)
        if not isinstance(node, TaskNode):
            raise NotFound(f"The process “{self.key}” has no task “{element_id}”.")
        return node

    def after(self, element_id: str, facts: Facts) -> Node:
        """Give the node that follows the passed task `element_id`. Raises NotFound for an unknown task."""
        if element_id not in self.exits:
            raise NotFound(f"The process “{self.key}” has no task “{element_id}”.")
        return self._arrive(self.exits[element_id], facts)

    def on_error(self, element_id: str, error_code: str) -> Node | None:
        """Give the node that an error of the task leads to: the event of its code, or else the catch-all.

        None when the drawing has no way on from this error. Raises NotFound for an unknown task.
        """
        if element_id not in self.exits:
            raise NotFound(f"The process “{self.key}” has no task “{element_id}”.")
        caught = self.boundaries.get(element_id, {})
        target = caught.get(error_code, caught.get(None))
        return None if target is None else self.nodes[target]

    def trail(self, visited: Sequence[str]) -> list[str]:
        """Give all ids on the drawing that an order has passed: events, gateways, tasks and flows, in order.

        `visited` are the tasks in the order of their visits, and the end event of a completed order.
        Where two ways through gateways alone join the same two tasks, the shorter is given.
        """
        passed = [self.start_id]
        for before, element_id in zip((self.start_id, *visited), visited, strict=False):
            passed += [*self.links.get((before, element_id), ()), element_id]
        return passed

    def _arrive(self, element_id: str, facts: Facts) -> Node:
        while gateway := self.gateways.get(element_id):
            element_id = gateway.choose(facts)
        return self.nodes[element_id]


def compile_plan(drawing: Drawing, sheet: Sheet) -> Plan:
    """Compile a drawing with its binding sheet.

    Raises InvalidInput with every fault of both at once: `errors` holds one entry for each, its `field`
    being the id of the element, and `reason` tells them all.
    """
    conditions, unread = _conditions(drawing)
    faults = [*faults_of(drawing, sheet), *unread]
    if faults:
        listed = "; ".join(f"{fault.field}: {fault.reason}" for fault in faults)
        raise InvalidInput(
            f"The process cannot be run. {listed}.",
            code="invalid-process",
            field=faults[0].field,
            errors=faults,
        )
    places = (*drawing.of_kind(bpmn.START), *drawing.of_kind(bpmn.TASK))
    return Plan(
        key=drawing.process_id,
        name=drawing.name or drawing.process_id,
        start_id=places[0].id,
        nodes=MappingProxyType({node.id: node for node in _nodes(drawing, sheet)}),
        gateways=MappingProxyType(
            {gateway.id: _gateway(drawing, gateway, conditions) for gateway in drawing.of_kind(bpmn.GATEWAY)}
        ),
        exits=MappingProxyType({place.id: drawing.outgoing[place.id][0].target for place in places}),
        boundaries=MappingProxyType({task: _caught(drawing, task) for task in drawing.boundaries}),
        links=MappingProxyType({link: way for place in places for link, way in _links(drawing, place.id)}),
    )


def _conditions(drawing: Drawing) -> tuple[dict[str, Condition], list[FieldError]]:
    conditions: dict[str, Condition] = {}
    faults: list[FieldError] = []
    for flow in drawing.flows:
        if flow.condition is None:
            continue
        try:
            conditions[flow.id] = compile_condition(flow.condition)
        except InvalidInput as error:
            faults.append(FieldError(flow.id, f"its condition “{flow.condition}” is refused: {error.reason}"))
    return conditions, faults


def _nodes(drawing: Drawing, sheet: Sheet) -> Iterator[Node]:
    for task in drawing.of_kind(bpmn.TASK):
        binding = sheet.bindings[task.id]
        yield TaskNode(
            id=task.id,
            name=task.name or task.id,
            connector=binding.connector,
            system=binding.system,
            effect=binding.effect,
            retry=binding.retry,
            hold=binding.hold,
            patience=None if binding.patience is None else timedelta(seconds=binding.patience),
        )
    for end in drawing.of_kind(bpmn.END):
        yield EndNode(id=end.id, name=end.name or end.id)


def _gateway(drawing: Drawing, gateway: bpmn.Element, conditions: Mapping[str, Condition]) -> Gateway:
    flows = drawing.outgoing[gateway.id]
    # A default flow's own condition is not asked (BPMN 2.0.2, 10.6.1); a gateway that only joins has none.
    default = next((flow for flow in flows if flow.id == gateway.default), flows[0])
    return Gateway(
        branches=tuple((conditions[flow.id], flow.target) for flow in flows if flow is not default),
        default=default.target,
    )


def _caught(drawing: Drawing, task_id: str) -> Mapping[str | None, str]:
    events = drawing.boundaries[task_id]
    return MappingProxyType({event.error_code: drawing.outgoing[event.id][0].target for event in events})


def _links(drawing: Drawing, place: str) -> Iterator[tuple[tuple[str, str], tuple[str, ...]]]:
    """Give the nodes that can follow a place, each with the shortest way to it, its own id left out."""
    found: set[str] = set()
    ways = deque([(place, ())] + [(event.id, (event.id,)) for event in drawing.boundaries.get(place, ())])
    while ways:
        at, way = ways.popleft()
        for flow in drawing.outgoing[at]:
            if flow.target in found:
                continue
            found.add(flow.target)
            if drawing.by_id[flow.target].kind == bpmn.GATEWAY:
                ways.append((flow.target, (*way, flow.id, flow.target)))
            else:
                yield (place, flow.target), (*way, flow.id)
