"""Faults on demand: what may be asked for, and which calls are hit."""

from __future__ import annotations

import json
from random import Random
from typing import Any

import pytest

from sandbox.faults import Fault, FaultBoard
from tests.sandbox.running import RunningSandbox


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("kind", "tired"),
        ("kind", None),
        ("kind", []),
        ("times", 0),
        ("times", 1.5),
        ("times", True),
        ("times", "3"),
        ("probability", 0),
        ("probability", 1.01),
        ("probability", -1),
        ("probability", 10**400),
        ("probability", True),
        ("seconds", 0),
        ("seconds", 601),
        ("seconds", "5"),
        ("colour", "red"),
    ],
)
def test_a_fault_that_makes_no_sense_is_refused_by_the_name_of_its_field(
    sandbox: RunningSandbox, field: str, value: Any
) -> None:
    answer = sandbox.send("PUT", "/faults/eom", json.dumps({"kind": "slow", field: value}).encode())
    assert (answer.status, answer.json()["field"]) == (400, field)
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert sandbox.client.faults() == {}


def test_seconds_are_refused_for_a_fault_that_does_not_wait(sandbox: RunningSandbox) -> None:
    answer = sandbox.send("PUT", "/faults/eom", b'{"kind": "down", "seconds": 3}')
    assert (answer.status, answer.json()["field"]) == (400, "seconds")


def test_a_slow_fault_takes_five_seconds_unless_told(sandbox: RunningSandbox) -> None:
    assert sandbox.client.put_fault("eom", "slow")["seconds"] == 5


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
def test_an_unknown_system_is_named(sandbox: RunningSandbox, method: str) -> None:
    answer = sandbox.send(method, "/faults/nowhere", b'{"kind": "down"}')
    assert answer.status == 404
    assert "nowhere" in answer.json()["detail"]


def test_a_cleared_fault_is_gone(sandbox: RunningSandbox) -> None:
    sandbox.client.put_fault("eom", "down", times=3)
    assert sandbox.client.faults()["eom"] == {
        "kind": "down",
        "times": 3,
        "probability": None,
        "seconds": None,
    }
    sandbox.client.clear_fault("eom")
    assert sandbox.client.faults() == {}


def test_a_fault_strikes_as_often_as_told() -> None:
    board = FaultBoard(Random(1))
    board.put("eom", Fault("500", times=3))
    assert [board.strike("eom", effect=True) is not None for _ in range(5)] == [True] * 3 + [False] * 2
    assert board.standing() == {}


def test_a_probability_hits_that_share_of_the_calls() -> None:
    board = FaultBoard(Random(1))
    board.put("eom", Fault("500", probability=0.3))
    hits = sum(board.strike("eom", effect=True) is not None for _ in range(2000))
    assert 540 <= hits <= 660


def test_a_call_that_is_not_hit_uses_up_no_time() -> None:
    board = FaultBoard(Random(1))
    board.put("eom", Fault("500", times=2, probability=0.1))
    hits = sum(board.strike("eom", effect=True) is not None for _ in range(500))
    assert hits == 2


def test_a_question_is_not_lost_and_uses_up_no_time() -> None:
    board = FaultBoard(Random(1))
    board.put("pos", Fault("lost-answer", times=1))
    assert board.strike("pos", effect=False) is None
    assert board.strike("pos", effect=True) is not None
