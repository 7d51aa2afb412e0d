"""One server for the whole run, started by the first that asks and ended with the run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conventions.source import ROOT
from tests.servers import browser, mariadb, processes, sharing


def start_something(home: Path) -> tuple[str, list[int], Path]:
    process = subprocess.Popen(["sleep", "600"])
    process.returncode = 0
    home.mkdir()
    return f"something {process.pid}", [process.pid], home


def test_who_asks_second_is_told_of_the_first_ones_server(tmp_path: Path) -> None:
    first = sharing.share(tmp_path, "something", lambda: start_something(tmp_path / "home"))
    second = sharing.share(tmp_path, "something", lambda: start_something(tmp_path / "another"))
    sharing.end_all(tmp_path)
    assert first == second


def test_the_end_of_the_run_kills_the_server_and_deletes_its_files(tmp_path: Path) -> None:
    told = sharing.share(tmp_path, "something", lambda: start_something(tmp_path / "home"))
    pid = int(told.removeprefix("something "))
    assert processes.is_alive(pid)
    sharing.end_all(tmp_path)
    assert not processes.is_alive(pid)
    assert not (tmp_path / "home").exists()


def test_what_is_not_installed_is_called_by_name() -> None:
    assert mariadb.missing(path="") == "MariaDB is not installed: apt-get install mariadb-server"
    assert browser.missing(path="") == "Chromium is not installed: apt-get install chromium"


SKIPS = {
    "test_by_test.py": "import pytest\ndef test_it(): pytest.skip('no browser')",
    "test_by_fixture.py": """
import pytest
@pytest.fixture
def page(): pytest.skip('no browser')
def test_it(page): ...
""",
    "test_by_module.py": "import pytest\npytest.skip('no browser', allow_module_level=True)",
}


@pytest.mark.parametrize(("ci", "summary"), [("true", "1 failed, 2 errors in"), ("", "3 skipped in")])
def test_a_skip_is_a_failure_in_ci_only(ci: str, summary: str, tmp_path: Path) -> None:
    for name, text in SKIPS.items():
        (tmp_path / name).write_text(text)
    ran = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-p", "tests.conftest", "-c", os.devnull),
            *("--continue-on-collection-errors", "-ra", str(tmp_path)),
        ],
        cwd=ROOT,
        env=os.environ | {"CI": ci},
        capture_output=True,
        text=True,
        check=False,
    )
    assert summary in ran.stdout
    assert ran.stdout.count("no browser") >= len(SKIPS)
