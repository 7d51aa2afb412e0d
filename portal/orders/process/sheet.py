"""Binding sheets: TOML files that say of each service task what the drawing leaves open."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StrictBool, ValidationError
from pydantic_core import ErrorDetails

from portal.errors import FieldError, InvalidInput

LARGEST = 1024 * 1024

_KEBAB = r"^[a-z][a-z0-9]*(-[a-z0-9]+)*$"
_REASONS = {
    "connector": "the connector must be written like “eom.register”",
    "system": "the system must be written like “tax-documents”, in at most 32 characters",
    "effect": "the effect must be written like “tax-document”, in at most 22 characters",
    "retry": "retry must be a list of at most 20 waits in seconds, each over 0 and at most a day",
    "hold": "hold must be true or false",
    "patience": "patience must be a number of seconds, over 0 and at most a day",
}

Wait = Annotated[float, Field(gt=0, le=86_400, strict=True)]


class Binding(BaseModel):
    """What one service task calls.

    `effect` is part of the idempotency key: tasks that share it bring it about once between them.
    `retry` are seconds to wait after each failed attempt but the last. `hold` makes the task start as an
    exception that waits for a push. `patience` is how many seconds it waits for a system that is left alone.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    connector: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*\.[a-z][a-z0-9_]*$", max_length=64)]
    system: Annotated[str, Field(pattern=_KEBAB, max_length=32)] | None = None
    effect: Annotated[str, Field(pattern=_KEBAB, max_length=22)]
    retry: Annotated[tuple[Wait, ...], Field(max_length=20)]
    hold: StrictBool = False
    patience: Wait | None = None


@dataclass(frozen=True, slots=True)
class Sheet:
    """The bindings by element id, and the faults of those that could not be read."""

    bindings: Mapping[str, Binding]
    faults: tuple[FieldError, ...] = ()


def parse_sheet(toml: bytes) -> Sheet:
    """Read a binding sheet: one table `[tasks.<element id>]` for each service task.

    Faults of single bindings are kept in the sheet, to be reported with those of the drawing. Raises
    InvalidInput when the sheet as a whole cannot be read.
    """
    if len(toml) > LARGEST:
        raise InvalidInput("The binding sheet is larger than 1 MiB.")
    try:
        content = tomllib.loads(toml.decode())
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise InvalidInput(f"The binding sheet is not valid TOML: {error}.") from error
    tasks = content.pop("tasks", {})
    if content or not isinstance(tasks, dict):
        raise InvalidInput("The binding sheet may hold tables named [tasks.<element id>] only.")
    bindings: dict[str, Binding] = {}
    faults: list[FieldError] = []
    for element_id, table in tasks.items():
        try:
            bindings[element_id] = Binding.model_validate(table)
        except ValidationError as error:
            faults.extend(FieldError(element_id, reason) for reason in _reasons(error))
            continue
        if list(bindings[element_id].retry) != sorted(bindings[element_id].retry):
            faults.append(FieldError(element_id, "the waits of retry must not shrink"))
    return Sheet(bindings, tuple(faults))


def _reasons(error: ValidationError) -> Iterator[str]:
    """Say once for each entry of a binding what is wrong with it."""
    wrong: dict[str, ErrorDetails] = {}
    for detail in error.errors(include_url=False):
        wrong.setdefault(str(detail["loc"][0]) if detail["loc"] else "", detail)
    for entry, detail in wrong.items():
        if not entry:
            yield "the binding must be a table"
        elif detail["type"] == "missing":
            yield f"the binding lacks “{entry}”"
        else:
            yield _REASONS.get(entry, f"the binding has an unknown entry “{entry}”")
