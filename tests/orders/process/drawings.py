"""Small drawings and binding sheets for tests."""

from __future__ import annotations

from portal.orders.process.bpmn import MODEL, parse_bpmn
from portal.orders.process.plan import Plan, compile_plan
from portal.orders.process.sheet import parse_sheet


def drawing_of(body: str, errors: str = "") -> bytes:
    """Wrap the elements of a process, written without prefix, into a BPMN document."""
    return f'<definitions xmlns="{MODEL}">{errors}<process id="trial">{body}</process></definitions>'.encode()


def start(to: str) -> str:
    return f'<startEvent id="start"/>{flow("start", to)}'


def end(element_id: str = "end") -> str:
    return f'<endEvent id="{element_id}"/>'


def task(element_id: str, to: str) -> str:
    return f'<serviceTask id="{element_id}" name="Do {element_id}"/>{flow(element_id, to)}'


def caught(element_id: str, on: str, to: str, error: str = "") -> str:
    reference = f' errorRef="{error}"' if error else ""
    return (
        f'<boundaryEvent id="{element_id}" attachedToRef="{on}"><errorEventDefinition{reference}/>'
        f"</boundaryEvent>{flow(element_id, to)}"
    )


def gateway(element_id: str, default: str = "") -> str:
    return f'<exclusiveGateway id="{element_id}"' + (f' default="{default}"' if default else "") + "/>"


def flow(source: str, target: str, condition: str = "") -> str:
    escaped = condition.replace("&", "&amp;").replace("<", "&lt;")
    inside = f"<conditionExpression>{escaped}</conditionExpression>" if condition else ""
    ends = f'sourceRef="{source}" targetRef="{target}"'
    return f'<sequenceFlow id="{source}-{target}" {ends}>{inside}</sequenceFlow>'


def sheet_of(*task_ids: str) -> bytes:
    """Bind each task to a connector and an effect of its own."""
    return "".join(
        f'[tasks.{task_id}]\nconnector = "trial.{task_id}"\neffect = "{task_id}"\nretry = [1, 2]\n'
        for task_id in task_ids
    ).encode()


def plan_of(body: str, *task_ids: str, errors: str = "") -> Plan:
    return compile_plan(parse_bpmn(drawing_of(body, errors)), parse_sheet(sheet_of(*task_ids)))
