from __future__ import annotations

import pytest

from portal.errors import InvalidInput
from portal.orders.process.sheet import LARGEST, parse_sheet

GOOD = {"connector": '"eom.register"', "system": '"eom"', "effect": '"eom-order"', "retry": "[1, 5.5]"}


def sheet(**changes: str | None) -> bytes:
    entries = {name: value for name, value in (GOOD | changes).items() if value is not None}
    return ("[tasks.a]\n" + "\n".join(f"{name} = {value}" for name, value in entries.items())).encode()


def test_a_binding_tells_what_a_task_calls() -> None:
    binding = parse_sheet(sheet()).bindings["a"]
    assert binding.connector == "eom.register"
    assert binding.system == "eom"
    assert binding.effect == "eom-order"
    assert binding.retry == (1.0, 5.5)
    assert binding.hold is False


def test_a_task_may_call_nobody_never_retry_and_wait_for_a_push() -> None:
    binding = parse_sheet(sheet(system=None, retry="[]", hold="true")).bindings["a"]
    assert (binding.system, binding.retry, binding.hold) == (None, (), True)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"connector": '"eom"'}, "the connector must be written like"),
        ({"connector": '"eom.register()"'}, "the connector must be written like"),
        ({"connector": '"os.path.join"'}, "the connector must be written like"),
        ({"connector": None}, "lacks “connector”"),
        ({"system": '"Tax documents"'}, "the system must be written like"),
        ({"effect": '"tax_document"'}, "the effect must be written like"),
        ({"effect": '"an-effect-with-a-long-name"'}, "22 characters"),
        ({"effect": None}, "lacks “effect”"),
        ({"retry": None}, "lacks “retry”"),
        ({"retry": "5"}, "retry must be a list"),
        ({"retry": "[0]"}, "retry must be a list"),
        ({"retry": "[-1]"}, "retry must be a list"),
        ({"retry": "[nan]"}, "retry must be a list"),
        ({"retry": "[inf]"}, "retry must be a list"),
        ({"retry": '["5"]'}, "retry must be a list"),
        ({"retry": "[true]"}, "retry must be a list"),
        ({"retry": "[90000]"}, "retry must be a list"),
        ({"retry": str([1] * 21)}, "at most 20"),
        ({"retry": "[5, 1]"}, "must not shrink"),
        ({"hold": '"yes"'}, "hold must be true or false"),
        ({"timeout": "5"}, "unknown entry “timeout”"),
    ],
)
def test_a_faulty_binding_is_kept_as_a_fault_of_its_element(
    changes: dict[str, str | None], reason: str
) -> None:
    faults = parse_sheet(sheet(**changes)).faults
    assert [fault.field for fault in faults] == ["a"]
    assert reason in faults[0].reason


def test_all_faults_of_a_binding_are_told() -> None:
    faults = parse_sheet(sheet(connector='"x"', retry="[0, -1]", hold="1")).faults
    assert len(faults) == 3


def test_a_binding_that_is_no_table_is_a_fault() -> None:
    assert parse_sheet(b"[tasks]\na = 1").faults[0].reason == "the binding must be a table"


@pytest.mark.parametrize(
    "toml",
    [
        b"[tasks",
        b"\xff",
        b"a = " + b"[" * 5000,
        b"tasks = 1",
        b"[task.a]",
        b"#" * (LARGEST + 1),
    ],
    ids=["cut", "not UTF-8", "deep", "tasks is no table", "misspelt", "large"],
)
def test_a_sheet_that_cannot_be_read_is_refused(toml: bytes) -> None:
    with pytest.raises(InvalidInput, match="binding sheet"):
        parse_sheet(toml)
