"""All of Waybill by one command: it says where it is, leaves nothing behind, and goes on after a kill."""

from __future__ import annotations

import os
import re
import signal
import socket
from pathlib import Path

from sandbox.child import Child
from sandbox.emulator import HOST, free_port, is_free
from tests.servers.waiting import wait_until

SECONDS = 90


def up(home: Path, log: Path, port: int) -> Child:
    environment = os.environ | {"PORT": str(port), "DEMO_TRAFFIC": "0", "WEB_WORKERS": "1"}
    return Child("Waybill", ["sandbox", "up", "--home", str(home)], environment, log)


def until_ready(started: Child) -> str:
    started.wait_until(lambda: "Ctrl-C stops everything" in started.log.read_text(), SECONDS)
    return started.log.read_text()


def ports(welcome: str) -> set[int]:
    return {int(port) for port in re.findall(rf"http://{HOST}:(\d+)", welcome)}


def test_a_port_that_is_taken_is_one_clear_line(tmp_path: Path) -> None:
    with socket.create_server((HOST, 0)) as taken:
        port = taken.getsockname()[1]
        ended = up(tmp_path / "var", tmp_path / "log", port)
        assert ended.wait(SECONDS) == 1
    assert ended.log_tail().splitlines() == [
        f"Error: Port {port} on {HOST} is taken. Choose another: PORT={port % 65535 + 1} make run"
    ]


def test_it_starts_again_after_it_was_killed_and_ends_with_its_terminal(tmp_path: Path) -> None:
    port = free_port()
    killed = up(tmp_path / "var", tmp_path / "first.log", port)
    first = until_ready(killed)
    assert len(ports(first)) == 3
    killed.kill()
    wait_until(lambda: all(is_free(each) for each in ports(first)), SECONDS, "something outlived it")
    again = up(tmp_path / "var", tmp_path / "second.log", port)
    second = until_ready(again)
    assert second == first
    os.kill(again.pid, signal.SIGHUP)
    assert again.wait(SECONDS) == 0
    assert all(is_free(each) for each in ports(second))
