"""The jobs live and die with the web process, whoever is killed."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import urllib3

from sandbox.emulator import free_port
from tests.servers import processes
from tests.servers.urls import Urls
from tests.servers.waiting import wait_until
from tests.web.portal import environment_for

_MANY = 2_000

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="processes are found in /proc")


class WebProcess:
    """gunicorn as in production, with one job beside it."""

    def __init__(self, home: Path, environ: dict[str, str]) -> None:
        self.port = free_port()
        self.log = home / "log"
        with self.log.open("wb") as log:
            self.master = subprocess.Popen(
                [sys.executable, "-m", "gunicorn", "--config", "gunicorn.conf.py"],
                env={"PATH": os.environ["PATH"]} | environ | {"PORT": str(self.port)},
                stderr=log,
            )
        try:
            wait_until(lambda: self.status() == 200, 60, "the web process answers")
        except AssertionError:
            self.end()
            raise

    def status(self) -> int:
        """Ask whether it lives; 0 when nothing answers."""
        try:
            url, closing = f"http://127.0.0.1:{self.port}/health/live", {"Connection": "close"}
            return urllib3.request("GET", url, retries=False, timeout=5, headers=closing).status
        except urllib3.exceptions.HTTPError:
            return 0

    def supervisor(self) -> int | None:
        """Return the process id of the supervisor of the jobs."""
        return next((pid for pid in children(self.master.pid) if "jobs" in command(pid)), None)

    def job(self) -> int | None:
        """Return the process id of the job."""
        supervisor = self.supervisor()
        return next(iter(children(supervisor)), None) if supervisor else None

    def wait_for_job(self, other_than: int | None = None) -> tuple[int, int]:
        """Wait until a job runs, and return its supervisor's and its own process id."""
        job = wait_until(lambda: (found := self.job()) != other_than and found, 60, "a job runs")
        supervisor = self.supervisor()
        assert job
        assert supervisor
        return supervisor, job

    def end(self) -> None:
        """End whatever is left."""
        left = [self.master.pid, *descendants(self.master.pid)]
        processes.end(left, signal.SIGKILL)


def children(parent: int) -> list[int]:
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(fields[1]) == parent and fields[0] != "Z":
            found.append(int(stat.parent.name))
    return found


def descendants(parent: int) -> list[int]:
    return [pid for child in children(parent) for pid in (child, *descendants(child))]


def command(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    except (FileNotFoundError, ProcessLookupError):
        return []


def all_gone(pids: list[int]) -> bool:
    return not any(processes.is_alive(pid) for pid in pids)


@pytest.fixture
def environ(migrated_sqlite: Path, tmp_path: Path) -> dict[str, str]:
    path = tmp_path / "waybill.db"
    path.write_bytes(migrated_sqlite.read_bytes())
    urls = Urls(f"sqlite:///{path}", f"sqlite:///{path}")
    return environment_for(urls) | {"JOBS": "mail-events", "WEB_WORKERS": "1"}


@pytest.fixture
def web(environ: dict[str, str], tmp_path: Path) -> Iterator[WebProcess]:
    started = WebProcess(tmp_path, environ)
    yield started
    started.end()


def test_whoever_dies_is_started_again(web: WebProcess) -> None:
    supervisor, job = web.wait_for_job()
    os.kill(job, signal.SIGKILL)
    same, job = web.wait_for_job(other_than=job)
    assert same == supervisor
    os.kill(supervisor, signal.SIGKILL)
    wait_until(lambda: all_gone([supervisor, job]), 60, "the job ends with its supervisor")
    another, _ = web.wait_for_job(other_than=job)
    assert another != supervisor
    (worker,) = set(children(web.master.pid)) - {another}
    os.kill(worker, signal.SIGKILL)
    wait_until(lambda: web.status() == 200, 60, "another worker answers")


def test_a_web_process_that_is_told_to_end_takes_its_jobs_along(web: WebProcess) -> None:
    web.wait_for_job()
    everybody = descendants(web.master.pid)
    assert len(everybody) == 3
    web.master.send_signal(signal.SIGTERM)
    assert web.master.wait(40) == 0
    assert all_gone(everybody)
    told = web.log.read_text()
    assert '"event": "job stopped"' in told
    assert "Traceback" not in told
    assert all(line.startswith("{") for line in told.splitlines()), told


def test_jobs_end_when_the_web_process_is_killed(web: WebProcess) -> None:
    web.wait_for_job()
    everybody = descendants(web.master.pid)
    web.master.kill()
    web.master.wait()
    wait_until(lambda: all_gone(everybody), 60, "nobody is left")


def test_a_setting_turns_the_jobs_off(environ: dict[str, str], tmp_path: Path) -> None:
    web = WebProcess(tmp_path, environ | {"JOBS": "none"})
    assert len(children(web.master.pid)) == 1
    web.master.send_signal(signal.SIGTERM)
    assert web.master.wait(40) == 0
    assert "sidecar" not in web.log.read_text()


def test_a_connection_with_much_to_ask_lets_others_take_their_turns(web: WebProcess) -> None:
    with socket.create_connection(("127.0.0.1", web.port)) as busy, ThreadPoolExecutor(1) as pool:
        with socket.create_connection(("127.0.0.1", web.port)) as other:
            ask(other)
            read_answers(other, 1)
            ask(busy, times=_MANY)
            all_answered = pool.submit(read_answers, busy, _MANY)
            ask(other)
            read_answers(other, 1)
            assert not all_answered.done(), "the other waited until all else was answered"
        all_answered.result(60)


def ask(connection: socket.socket, times: int = 1) -> None:
    """Send requests that a worker answers without waiting for anything."""
    connection.sendall(b"POST /rpc HTTP/1.1\r\nHost: here\r\nContent-Length: 0\r\n\r\n" * times)


def read_answers(connection: socket.socket, number: int) -> None:
    connection.settimeout(60)
    received = b""
    while received.count(b"HTTP/1.1 401 ") < number or not received.endswith(b"}"):
        part = connection.recv(65_536)
        assert part, received[-500:]
        received += part


def test_bad_settings_are_one_clear_message(environ: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "gunicorn", "--config", "gunicorn.conf.py"],
        env={"PATH": os.environ["PATH"]} | environ | {"SECRET_KEY": "short", "PORT": str(free_port())},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("The settings cannot be used:\nSECRET_KEY: ")
    assert "Traceback" not in done.stderr
