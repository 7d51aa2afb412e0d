"""The process: it starts on what it finds, stops when told, and loses nothing when killed."""

from __future__ import annotations

import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.sandbox.running import EOM, POS, RunningSandbox, call_of
from tests.servers.waiting import wait_until

NOWHERE = "http://127.0.0.1:9"


def test_effects_survive_a_killed_process_and_keys_stay_used(tmp_path: Path) -> None:
    with RunningSandbox(tmp_path / "state", NOWHERE) as first:
        answers = [first.post(POS, call_of(POS, f"O-{n}"), f"key-{n}") for n in range(20)]
        assert first.stop(signal.SIGKILL) == -signal.SIGKILL
    with RunningSandbox(tmp_path / "state", NOWHERE) as second:
        again = second.post(POS, call_of(POS, "O-19"), "key-19")
        assert (again.status, again.data) == (200, answers[19].data)
        new = second.post(POS, call_of(POS, "O-20"), "key-20")
        assert new.status == 201
        assert new.data not in {answer.data for answer in answers}
        assert second.client.summary()["pos"] == {"effects": 21, "orders": 21, "duplicates": 0}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_stops_cleanly_although_a_connection_is_open(tmp_path: Path, number: signal.Signals) -> None:
    with RunningSandbox(tmp_path / "state", NOWHERE) as running:
        running.post(EOM, call_of(EOM, "O-1"), "key")
        address = tmp_path / "state.url"
        assert address.read_text() == running.url
        assert running.stop(number) == 0
        assert not address.exists()


def test_a_call_in_flight_is_answered_before_it_stops(tmp_path: Path) -> None:
    with RunningSandbox(tmp_path / "state", NOWHERE) as running, ThreadPoolExecutor(1) as pool:
        running.client.put_fault("pos", "slow", seconds=0.7)
        answer = pool.submit(running.post, POS, call_of(POS, "O-1"), "key")
        wait_until(lambda: running.orders_with_effects("pos", "O-1"), 10, "the effect of the slow call")
        assert running.stop() == 0
        assert answer.result().status == 201


def test_a_state_in_use_is_refused_in_one_line(tmp_path: Path) -> None:
    with (
        RunningSandbox(tmp_path / "state", NOWHERE) as running,
        RunningSandbox(tmp_path / "state", NOWHERE) as second,
    ):
        assert second.process.wait(10) == 1
        assert second.said == f"Error: Another sandbox is using {tmp_path / 'state'}.\n"
        assert running.send("GET", "/health").status == 200


def test_a_taken_port_is_refused_in_one_line(tmp_path: Path) -> None:
    with RunningSandbox(tmp_path / "one", NOWHERE) as running:
        port = int(running.url.rpartition(":")[2])
        with RunningSandbox(tmp_path / "two", NOWHERE, port) as second:
            assert second.process.wait(10) == 1
            assert second.said == f"Error: Port {port} cannot be had: Address already in use.\n"
