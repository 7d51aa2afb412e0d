"""Events of an order as its timeline tells them."""

import json
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from portal.events import Event
from portal.orders.documents.masking import masked_text

FAILURES = ("step.failed", "step.exception", "step.interrupted")

# kind -> how it looks (a tone and an icon of the style sheet), and what it says of its step
_LOOKS = {
    "order.received": ("info", "package", "Order received"),
    "order.completed": ("ok", "checks", "Order completed"),
    "step.passed": ("ok", "check", "{step}: passed"),
    "step.skipped": ("neutral", "minus", "{step}: nothing could be done"),
    "step.failed": ("wait", "refresh", "{step}: attempt {attempt} failed"),
    "step.exception": ("bad", "alert-triangle", "{step}: stopped as an exception"),
    "step.interrupted": ("wait", "bolt", "{step}: attempt {attempt} was interrupted"),
    "step.push-refused": ("neutral", "send", "A push came too late"),
    "order.refused": ("neutral", "package", "A document for this order was refused"),
    "step.push-requested": ("info", "send", "{step}: pushed to retry"),
}
_TOLD_ELSEWHERE = frozenset(
    {"element_id", "step", "attempt", "call", "status", "answer", "reason", "next_at", "seconds", "asked"}
    | {"outcome_unknown", "code", "system"}
)


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry: who did what, in which attempt, by which call with which answer, and why it failed.

    `answer` is an excerpt, masked; `details` is what else the event holds, as label and value.
    """

    id: int
    at: datetime
    tone: str
    icon: str
    title: str
    element_id: str | None
    actor_kind: str
    actor: str
    attempt: int | None
    call: str | None
    status: int | None
    seconds: float | None
    asked: bool
    outcome_unknown: bool
    code: str | None
    reason: str | None
    next_at: datetime | None
    answer: str | None
    details: tuple[tuple[str, str], ...] = field(default=())


def entry_of(event: Event) -> Entry:
    """Turn an event of an order into an entry of its timeline; an unknown kind is told by its name."""
    data = event.data
    plain = event.kind.partition(".")[2].replace("-", " ").capitalize()
    tone, icon, title = _LOOKS.get(event.kind, ("neutral", "info-circle", plain))
    if event.kind == "step.failed" and "next_at" not in data:
        title = "{step}: failed, the order takes the path for this error"
    return Entry(
        id=event.id,
        at=event.at,
        tone=tone,
        icon=icon,
        title=title.format(step=data.get("step", "A step"), attempt=data.get("attempt", "?")),
        element_id=data.get("element_id"),
        actor_kind=event.actor_kind,
        actor=event.actor,
        attempt=data.get("attempt"),
        call=data.get("call"),
        status=data.get("status"),
        seconds=data.get("seconds"),
        asked=bool(data.get("asked")),
        outcome_unknown=bool(data.get("outcome_unknown")),
        code=data.get("code"),
        reason=data.get("reason"),
        next_at=datetime.fromisoformat(data["next_at"]) if "next_at" in data else None,
        answer=_answer(data.get("answer")),
        details=tuple(
            (name.replace("_", " ").capitalize(), str(value))
            for name, value in data.items()
            if name not in _TOLD_ELSEWHERE
        ),
    )


def _answer(answer: Any) -> str | None:
    if not answer:
        return None
    text = answer if isinstance(answer, str) else json.dumps(answer, indent=2, ensure_ascii=False)
    return masked_text(text)
