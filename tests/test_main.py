"""The portal's command line does what its help says, and its exit code tells how it went."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select, update

from portal.access import queries
from portal.access.models import ApiClient, Person
from portal.access.passwords import Passwords
from portal.crypto import token_hash
from portal.events import Event
from portal.orders.models import PurchaseOrder
from portal.runtime import Runtime, build_runtime
from portal.settings import load_settings
from sandbox.provision import provision
from sandbox.samples import as_json, sample_order
from sandbox.ubl import as_ubl
from tests.servers.urls import Urls
from tests.web.portal import PASSWORD, environment_for

Result = subprocess.CompletedProcess[str]


class Shell:
    """Runs `python -m portal` on a database of its own."""

    def __init__(self, environ: dict[str, str]) -> None:
        self.environ = environ
        self.runtime: Runtime = build_runtime(load_settings(environ))

    def run(self, *arguments: str, typed: str = "", **environ: str) -> Result:
        """Run one command."""
        own = {"PATH": os.environ["PATH"], "PYTHONPATH": os.environ.get("PYTHONPATH", "")}
        return subprocess.run(
            [sys.executable, "-m", "portal", *arguments],
            env=own | self.environ | environ,
            input=typed,
            capture_output=True,
            text=True,
            check=False,
        )

    def create_person(self, login: str = "ada", password: str = PASSWORD, role: str = "support") -> Result:
        """Create a person whose password comes by stdin."""
        return self.run(
            "create-person", "--login", login, "--name", "Ada A", "--role", role, "--password-stdin",
            typed=f"{password}\n",
        )  # fmt: skip


@pytest.fixture
def shell(migrated_sqlite: Path, tmp_path: Path) -> Iterator[Shell]:
    path = tmp_path / "waybill.db"
    path.write_bytes(migrated_sqlite.read_bytes())
    made = Shell(environment_for(Urls(f"sqlite:///{path}", f"sqlite:///{path}")))
    yield made
    made.runtime.database.dispose()


@pytest.fixture
def importing(shell: Shell, aws_endpoint: str, aws_account: str) -> Shell:
    """Give a shell with buckets."""
    made = Shell(
        shell.environ
        | {
            "AWS_ENDPOINT_URL": aws_endpoint,
            "AWS_ACCESS_KEY_ID": aws_account,
            "ORDERS_BUCKET": f"orders-in-{aws_account}",
            "ORIGINALS_BUCKET": f"originals-{aws_account}",
        }
    )
    provision(made.runtime.settings)
    return made


def test_a_new_database_is_migrated(shell: Shell, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'new.db'}"
    assert shell.run("migrate", DATABASE_WRITER_URL=url, DATABASE_READER_URL=url).returncode == 0
    urls = {"DATABASE_WRITER_URL": url, "DATABASE_READER_URL": url}
    runtime = build_runtime(load_settings(shell.environ | urls))
    with runtime.reader() as session:
        assert session.scalars(select(Person)).all() == []
    runtime.database.dispose()


def test_bad_settings_are_told_all_at_once(shell: Shell) -> None:
    done = shell.run("migrate", SECRET_KEY="short", DATA_KEY="none", SESSION_HOURS="many")
    assert done.returncode == 2
    assert [line.split(":")[0] for line in done.stderr.splitlines()[1:]] == [
        "SECRET_KEY", "DATA_KEY", "SESSION_HOURS",
    ]  # fmt: skip
    assert "Traceback" not in done.stderr


def test_a_person_is_created_whose_password_was_never_an_argument(shell: Shell) -> None:
    done = shell.create_person("Ada", role="admin")
    assert done.returncode == 0, done.stderr
    with shell.runtime.reader() as session:
        found = queries.find_credentials(session, "ada")
        event = session.scalars(select(Event)).one()
    assert found is not None
    assert Passwords().matches(found.password_hash, PASSWORD)
    assert (event.kind, event.data) == ("person.created", {"role": "admin"})
    assert event.actor.startswith("shell:")
    assert PASSWORD not in done.stdout + done.stderr


def test_a_password_may_be_typed_twice(shell: Shell) -> None:
    arguments = ("create-person", "--login", "ada", "--name", "Ada A", "--role", "support")
    assert shell.run(*arguments, typed=f"{PASSWORD}\n{PASSWORD}\n").returncode == 0


@pytest.mark.parametrize(
    ("login", "password", "reason"),
    [("ada", "short", "at least 12 characters"), ("no body", PASSWORD, "A login has")],
)
def test_a_person_who_cannot_be_is_refused_with_the_reason(
    shell: Shell, login: str, password: str, reason: str
) -> None:
    done = shell.create_person(login, password)
    assert done.returncode == 1
    assert reason in done.stderr
    with shell.runtime.reader() as session:
        assert session.scalars(select(Person)).all() == []


def test_a_person_is_disabled_and_gets_another_password(shell: Shell) -> None:
    shell.create_person()
    changed = shell.run("set-password", "--login", "ada", "--password-stdin", typed="another horse\n")
    assert changed.returncode == 0
    assert shell.run("disable-person", "--login", "ada").returncode == 0
    with shell.runtime.reader() as session:
        found = queries.find_credentials(session, "ada")
    assert found is not None
    assert not found.active
    assert Passwords().matches(found.password_hash, "another horse")
    done = shell.run("disable-person", "--login", "nobody")
    assert (done.returncode, done.stderr) == (1, "Error: There is no person with the login nobody.\n")


def test_a_clients_key_is_printed_once_and_kept_nowhere(shell: Shell) -> None:
    done = shell.run("create-api-client", "shop")
    key = done.stdout.strip()
    assert len(key) >= 43
    with shell.runtime.reader() as session:
        client = session.scalars(select(ApiClient)).one()
    assert (client.name, client.key_hash) == ("shop", token_hash(key))
    assert key not in done.stderr
    assert shell.run("disable-api-client", "shop").returncode == 0
    with shell.runtime.reader() as session:
        assert queries.find_client(session, token_hash(key)) is None


def test_an_altered_audit_trail_is_found_out(shell: Shell) -> None:
    shell.create_person()
    assert shell.run("verify-audit").returncode == 0
    with shell.runtime.writer() as session:
        session.execute(update(Event).values(actor="somebody else"))
    done = shell.run("verify-audit")
    assert (done.returncode, done.stderr) == (1, "Error: The audit trail is broken at entry 1.\n")


def test_orders_are_imported_from_files_and_folders(importing: Shell, tmp_path: Path) -> None:
    folder = tmp_path / "orders" / "deep"
    folder.mkdir(parents=True)
    (folder / "a.xml").write_bytes(as_ubl(sample_order("W-1", seed=1)))
    (folder / "b.JSON").write_bytes(as_json(sample_order("W-2", seed=2)))
    (folder / "notes.txt").write_text("no order")
    single = tmp_path / "c.json"
    single.write_bytes(as_json(sample_order("W-3", seed=3)))
    done = importing.run("import-orders", str(folder.parent), str(single))
    assert done.returncode == 0, done.stderr
    assert done.stdout == "3 new, 0 known, 0 conflicting, 0 refused\n"
    again = importing.run("import-orders", str(folder.parent))
    assert again.stdout == "0 new, 2 known, 0 conflicting, 0 refused\n"
    with importing.runtime.reader() as session:
        rows = session.execute(select(PurchaseOrder.number, PurchaseOrder.source)).all()
    assert sorted(tuple(row) for row in rows) == [(f"W-{n}", "import") for n in (1, 2, 3)]


def test_what_was_not_imported_is_told_by_file_and_reason(importing: Shell, tmp_path: Path) -> None:
    folder = tmp_path / "orders"
    folder.mkdir()
    (folder / "1.json").write_bytes(as_json(sample_order("W-1", seed=1)))
    (folder / "2.json").write_bytes(as_json(sample_order("W-1", seed=2)))
    (folder / "3.json").write_bytes(b'{"number": "W-3", "currency": "kr"}')
    (folder / "4.xml").write_bytes(b"<broken")
    done = importing.run("import-orders", str(folder))
    assert done.returncode == 1
    assert done.stdout == "1 new, 0 known, 1 conflicting, 2 refused\n"
    told = done.stderr
    assert f"conflicting: {folder / '2.json'}: order W-1 is known with other content" in told
    assert f"refused: {folder / '3.json'}: " in told
    assert "lines is missing" in told
    assert "currency must be a currency code" in told
    assert f"refused: {folder / '4.xml'}: " in told


def test_an_import_without_its_bucket_says_so(shell: Shell, tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    file.write_bytes(as_json(sample_order("W-1", seed=1)))
    done = shell.run("import-orders", str(file))
    assert done.returncode == 1
    assert "Error: The bucket" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_database_that_is_away_is_one_line(shell: Shell) -> None:
    done = shell.run("verify-audit", DATABASE_WRITER_URL="mysql+pymysql://x:x@127.0.0.1:9/x")
    assert done.returncode == 1
    assert done.stderr.startswith("Error: The database did not do as asked: ")
    assert len(done.stderr.splitlines()) == 1
