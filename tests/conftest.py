"""The floor of all tests: real servers, started when the first test asks for one, stopped at the end."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import tempfile
from collections import Counter
from collections.abc import Generator, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from portal.db import Database, migrate
from sandbox.emulator import Emulator
from tests.servers import browser as browsers
from tests.servers import mariadb as mariadbs
from tests.servers import sharing
from tests.servers.urls import Urls

pytest_plugins = ["tests.web.portal"]

SHARED_SERVERS = pytest.StashKey[Path]()
# Their tests start the portal, jobs or browsers, and wait for what becomes of them.
WAIT_FOR_PROCESSES = frozenset({"browser", "faults"})
DATABASES = ("sqlite", pytest.param("mariadb", marks=pytest.mark.mariadb))


def pytest_configure(config: pytest.Config) -> None:
    """Give the whole run, with all its workers, one directory that tells of the servers they share."""
    told = getattr(config, "workerinput", {}).get("shared_servers")
    config.stash[SHARED_SERVERS] = Path(told or tempfile.mkdtemp(prefix="waybill-tests-"))
    if told is None:
        # A run that is told to end must still end its servers: do as with Ctrl-C.
        signal.signal(signal.SIGTERM, _interrupt)


def pytest_unconfigure(config: pytest.Config) -> None:
    """End the shared servers when the run ends; its workers have ended before."""
    if not hasattr(config, "workerinput"):
        sharing.end_all(config.stash[SHARED_SERVERS])
        shutil.rmtree(config.stash[SHARED_SERVERS], ignore_errors=True)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell a worker of xdist where the run's servers are told of."""
    node.workerinput["shared_servers"] = str(node.config.stash[SHARED_SERVERS])


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests by the server that they ask for, so that -m can choose among them; and mix them."""
    items.sort(key=_mixed(items).__getitem__)
    for item in items:
        asked = set(getattr(item, "fixturenames", ()))
        if asked & {"mariadb", "own_mariadb"}:
            item.add_marker(pytest.mark.mariadb)
        if "browser" in asked:
            item.add_marker(pytest.mark.browser)


def _mixed(items: list[pytest.Item]) -> dict[pytest.Item, float]:
    """Spread tests that wait for processes evenly among those that compute, so that all cores are busy."""
    waits = {item: item.path.parent.name in WAIT_FOR_PROCESSES for item in items}
    numbers = Counter(waits.values())
    places: Counter[bool] = Counter()
    mixed = {}
    for item, does_wait in waits.items():
        mixed[item] = places[does_wait] / numbers[does_wait]
        places[does_wait] += 1
    return mixed


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """With CI=true, turn a test that was skipped into one that failed."""
    report = yield
    if report.skipped and not hasattr(report, "wasxfail"):
        _refuse_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """With CI=true, turn a module that was skipped into one that failed."""
    report = yield
    if report.skipped:
        _refuse_skip(report)
    return report


def _refuse_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    if os.environ.get("CI") == "true":
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        report.outcome = "failed"
        report.longrepr = f"In CI nothing may be skipped, but: {reason}"


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _skip_without(missing: str | None) -> None:
    if missing:
        pytest.skip(missing)


@pytest.fixture(scope="session")
def aws_endpoint(request: pytest.FixtureRequest) -> str:
    """Give the address of the run's AWS emulator; keep apart by ``aws_account``."""

    def start() -> tuple[str, list[int], Path]:
        emulator = Emulator(None).start().wait_ready()
        assert emulator.pid is not None
        return emulator.url, [emulator.pid], emulator.log_path.parent

    return sharing.share(request.config.stash[SHARED_SERVERS], "emulator", start)


@pytest.fixture
def aws_account() -> str:
    """Give an account of this test's own: use it as access key id, and in bucket names, which all share."""
    return f"{secrets.randbelow(9 * 10**11) + 10**11}"


@pytest.fixture(scope="session")
def mariadb(request: pytest.FixtureRequest) -> mariadbs.Cluster:
    """Give the run's MariaDB primary with its replica; keep apart by database, and leave it undisturbed."""
    _skip_without(mariadbs.missing())

    def start() -> tuple[str, list[int], Path]:
        cluster = mariadbs.Cluster.start(mariadbs.Tuning(flush_log_at_commit=0))
        return cluster.describe(), cluster.pids(), cluster.home

    description = sharing.share(request.config.stash[SHARED_SERVERS], "mariadb", start)
    return mariadbs.Cluster.attach(description)


@pytest.fixture
def own_mariadb() -> Iterator[mariadbs.Cluster]:
    """Give a cluster of this test's own, to delay, fail over or kill."""
    _skip_without(mariadbs.missing())
    cluster = mariadbs.Cluster.start()
    yield cluster
    cluster.remove()


@pytest.fixture
def mariadb_database(mariadb: mariadbs.Cluster) -> Iterator[str]:
    """Give the name of an empty MariaDB database of this test's own."""
    name = mariadb.create_database(f"test_{secrets.token_hex(8)}")
    yield name
    mariadb.drop_database(name)


@pytest.fixture(params=DATABASES)
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Give the address of an empty database, once on SQLite and once on MariaDB."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'waybill.db'}"
    cluster: mariadbs.Cluster = request.getfixturevalue("mariadb")
    return cluster.writer_url(request.getfixturevalue("mariadb_database"))


@pytest.fixture(scope="session")
def migrated_sqlite(request: pytest.FixtureRequest) -> Path:
    """Give a SQLite file with the whole schema, to copy."""
    home = request.config.stash[SHARED_SERVERS]

    def start() -> tuple[str, list[int], Path]:
        directory = Path(tempfile.mkdtemp(prefix="template-", dir=home))
        migrate(f"sqlite:///{directory / 'waybill.db'}")
        return str(directory / "waybill.db"), [], directory

    return Path(sharing.share(home, "migrated-sqlite", start))


@pytest.fixture(scope="session")
def migrated_mariadb(request: pytest.FixtureRequest, mariadb: mariadbs.Cluster) -> str:
    """Give the name of a MariaDB database with the whole schema, to copy."""
    home = request.config.stash[SHARED_SERVERS]

    def start() -> tuple[str, list[int], Path]:
        name = mariadb.create_database("template")
        migrate(mariadb.writer_url(name))
        return name, [], home / name

    return sharing.share(home, "migrated-mariadb", start)


@pytest.fixture(params=DATABASES)
def migrated_urls(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Urls]:
    """Give a writer and a reader of a database with the whole schema, on SQLite and on MariaDB.

    On MariaDB the reader is the replica: it may be some milliseconds behind.
    """
    if request.param == "sqlite":
        path = tmp_path / "waybill.db"
        shutil.copyfile(request.getfixturevalue("migrated_sqlite"), path)
        yield Urls(f"sqlite:///{path}", f"sqlite:///{path}")
        return
    cluster: mariadbs.Cluster = request.getfixturevalue("mariadb")
    template: str = request.getfixturevalue("migrated_mariadb")
    name = cluster.copy_database(template, f"test_{secrets.token_hex(8)}")
    yield Urls(cluster.writer_url(name), cluster.reader_url(name))
    cluster.drop_database(name)


@pytest.fixture
def database(migrated_urls: Urls) -> Iterator[Database]:
    """Give a database with the whole schema, whose reader is its writer, on SQLite and on MariaDB."""
    opened = Database(migrated_urls.writer, migrated_urls.writer)
    yield opened
    opened.dispose()


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Give the browser of this process; one starts in a second."""
    _skip_without(browsers.missing())
    # A page may take seconds where other tests compute: what is awaited comes, or never does.
    expect.set_options(timeout=30_000)
    with browsers.browser() as launched:
        yield launched


@pytest.fixture
def browser_context(browser: Browser) -> Iterator[BrowserContext]:
    """Give a browser profile of this test's own, without cookies."""
    context = browser.new_context(locale="en-GB", timezone_id="Europe/London")
    yield context
    context.close()


@pytest.fixture
def page(browser_context: BrowserContext) -> Page:
    """Give an empty page."""
    return browser_context.new_page()
