"""The processes that the portal ships, and the plans of every version that an order may have started with."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable
from threading import Lock

from portal.errors import InvalidInput, NotFound
from portal.orders.process.bpmn import parse_bpmn
from portal.orders.process.plan import Plan, compile_plan
from portal.orders.process.sheet import parse_sheet


@dataclass(frozen=True, slots=True)
class Definition:
    """One version of one process: its texts as shipped, and its plan."""

    key: str
    version: str
    plan: Plan
    bpmn: bytes
    sheet: bytes


class CompiledPlans:
    """Compile each version once, however many orders run on it."""

    def __init__(self) -> None:
        self._plans: dict[str, Plan] = {}
        self._lock = Lock()

    def get(self, version: str) -> Plan | None:
        """Give the plan of a version that was compiled before, or None: then its texts must be read."""
        return self._plans.get(version)

    def compile_version(self, bpmn: bytes, sheet_toml: bytes) -> Plan:
        """Give the plan of these texts, compiled only the first time. Raises InvalidInput with all faults."""
        version = version_of(bpmn, sheet_toml)
        with self._lock:
            if version not in self._plans:
                self._plans[version] = compile_version(bpmn, sheet_toml)
            return self._plans[version]


class Definitions:
    """The newest version of each process, and the compiled plans of these and all older ones."""

    def __init__(self, definitions: dict[str, Definition], plans: CompiledPlans) -> None:
        self._definitions = definitions
        self.plans = plans

    def __iter__(self) -> Iterator[Definition]:
        return iter(self._definitions.values())

    def get(self, key: str) -> Definition:
        """Give the process of a key such as `retail-order`. Raises NotFound."""
        if key not in self._definitions:
            raise NotFound(f"There is no process “{key}”.")
        return self._definitions[key]


def version_of(bpmn: bytes, sheet_toml: bytes) -> str:
    """Give the version of two texts: 16 hexadecimal digits of their SHA-256."""
    # The length keeps apart texts that are the same once joined.
    return hashlib.sha256(b"%d\n%b%b" % (len(bpmn), bpmn, sheet_toml)).hexdigest()[:16]


def compile_version(bpmn: bytes, sheet_toml: bytes) -> Plan:
    """Compile the stored texts of one version. Raises InvalidInput with all their faults."""
    return compile_plan(parse_bpmn(bpmn), parse_sheet(sheet_toml))


def load_definitions(folder: Traversable | None = None) -> Definitions:
    """Read and compile every pair of `<key>.bpmn` and `<key>.toml` in a folder, by default those shipped.

    Raises InvalidInput when a file has no counterpart, a process is named otherwise than its file, or a
    process cannot be run.
    """
    folder = folder or resources.files("portal.orders.process") / "definitions"
    names = {entry.name for entry in folder.iterdir() if entry.name.endswith((".bpmn", ".toml"))}
    plans = CompiledPlans()
    definitions: dict[str, Definition] = {}
    for key in sorted({name.rpartition(".")[0] for name in names}):
        if not {f"{key}.bpmn", f"{key}.toml"} <= names:
            raise InvalidInput(
                f"The process “{key}” needs both a drawing (.bpmn) and a binding sheet (.toml)."
            )
        bpmn, sheet = ((folder / f"{key}.{suffix}").read_bytes() for suffix in ("bpmn", "toml"))
        plan = plans.compile_version(bpmn, sheet)
        if plan.key != key:
            raise InvalidInput(f"The drawing {key}.bpmn holds a process named “{plan.key}”.")
        definitions[key] = Definition(key, version_of(bpmn, sheet), plan, bpmn, sheet)
    return Definitions(definitions, plans)
