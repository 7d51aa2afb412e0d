"""The command line: faults and ledgers of a sandbox that runs, one line when none does."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from sandbox.ledger import SYSTEMS
from tests.sandbox.running import POS, RunningSandbox, call_of

ROOT = Path(__file__).parents[2]


def run(*words: str, url: str | None = None, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name != "SANDBOX_URL"}
    environment["PYTHONPATH"] = str(ROOT)
    if url is not None:
        environment["SANDBOX_URL"] = url
    return subprocess.run(
        [sys.executable, "-m", "sandbox", *words],
        check=False,
        env=environment,
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=30,
    )


def test_a_fault_is_set_listed_and_cleared(sandbox: RunningSandbox) -> None:
    told = run("fault", "tax-documents", "down", "--times", "3", "--probability", "0.5", url=sandbox.url)
    assert (told.returncode, told.stdout) == (0, "tax-documents: down, times 3, probability 0.5\n")
    assert run("faults", url=sandbox.url).stdout == told.stdout
    assert run("fault", "tax-documents", "clear", url=sandbox.url).stdout == "tax-documents: no fault\n"
    assert run("faults", "--url", sandbox.url).stdout == "no faults\n"


def test_a_fault_that_makes_no_sense_is_one_line(sandbox: RunningSandbox) -> None:
    told = run("fault", "eom", "down", "--times", "0", url=sandbox.url)
    assert (told.returncode, told.stderr) == (1, "Error: times must be a whole number from 1.\n")


def test_the_ledger_is_printed_by_system_and_by_order(sandbox: RunningSandbox, order: str) -> None:
    sandbox.post(POS, call_of(POS, order), f"{order}:pos")
    for words in (["ledger", "pos", "--order", order], ["ledger", "--order", order]):
        (line,) = run(*words, url=sandbox.url).stdout.splitlines()
        assert line.split()[1:4] == ["pos", "sale", order]
    summary = run("ledger", url=sandbox.url).stdout.splitlines()
    assert [line.split()[0] for line in summary] == ["system", *sorted(SYSTEMS)]


def test_a_sandbox_that_cannot_be_reached_is_one_line() -> None:
    told = run("faults", url="http://127.0.0.1:9")
    assert (told.returncode, told.stderr) == (1, "Error: No sandbox answers at http://127.0.0.1:9.\n")


def test_without_an_address_the_sandbox_that_runs_here_is_meant(tmp_path: Path) -> None:
    told = run("faults", cwd=tmp_path)
    assert (told.returncode, told.stderr.count("\n")) == (1, 1)
    with RunningSandbox(tmp_path / "var" / "sandbox", "http://127.0.0.1:9"):
        assert run("faults", cwd=tmp_path).stdout == "no faults\n"
