"""What is measured adds up over processes, survives a database that is away, and reaches Datadog."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from portal.db import Database
from portal.metrics.models import JobHeartbeat, MetricMinute
from portal.metrics.service import Metrics, beat
from tests.clients.settings import settings_for

NOW = datetime(2026, 11, 20, 12, 34, 56, 789000, UTC)
MINUTE = datetime(2026, 11, 20, 12, 34, tzinfo=UTC)


def once(database: Database) -> Callable[[Callable[[Session], None]], None]:
    """Commit some work in one transaction."""

    def transact(work: Callable[[Session], None]) -> None:
        with database.writer() as session:
            work(session)

    return transact


def minutes(database: Database) -> dict[tuple[str, str, datetime], tuple[int, float, float]]:
    with database.writer() as session:
        rows = session.scalars(select(MetricMinute)).all()
    return {(row.name, row.label, row.minute): (row.count, row.total, row.maximum) for row in rows}


def test_a_minute_keeps_how_often_how_much_and_the_greatest(database: Database) -> None:
    metrics = Metrics()
    metrics.count("job.done", 3, "runner")
    metrics.count("job.done", label="runner")
    metrics.gauge("queue.depth", 7)
    metrics.gauge("queue.depth", 5)
    metrics.timing("call", 0.25, "eom")
    metrics.timing("call", 0.5, "eom")
    metrics.flush(once(database), NOW)
    assert minutes(database) == {
        ("job.done", "runner", MINUTE): (4, 4.0, 3.0),
        ("queue.depth", "", MINUTE): (2, 12.0, 7.0),
        ("call", "eom", MINUTE): (2, 0.75, 0.5),
    }


def test_what_happens_in_the_same_minute_adds_up_and_the_next_begins_anew(database: Database) -> None:
    metrics = Metrics()
    for seconds in (0, 1, 60):
        metrics.count("n", 2)
        metrics.flush(once(database), NOW + timedelta(seconds=seconds))
    metrics.flush(once(database), NOW)
    assert minutes(database) == {
        ("n", "", MINUTE): (4, 4.0, 2.0),
        ("n", "", MINUTE + timedelta(minutes=1)): (2, 2.0, 2.0),
    }


COUNTS = """
import sys
from datetime import datetime
from portal.db import Database
from portal.metrics.service import Metrics
from tests.metrics.test_service import NOW, once
database, metrics = Database(sys.argv[1], sys.argv[1]), Metrics()
sys.stdin.readline()
for number in range(20):
    metrics.count("n")
    metrics.timing("t", float(sys.argv[2]), "x")
    metrics.flush(once(database), NOW)
"""


def test_minutes_of_two_processes_add_up(database: Database) -> None:
    url = database.writer_engine.url.render_as_string(hide_password=False)
    root = Path(__file__).parents[2]
    both = [
        subprocess.Popen(
            [sys.executable, "-c", COUNTS, url, seconds],
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=root,
        )
        for seconds in ("0.5", "0.25")
    ]
    told = [process.communicate("go\n", timeout=60)[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], "\n".join(told)
    assert minutes(database) == {("n", "", MINUTE): (40, 40.0, 1.0), ("t", "x", MINUTE): (40, 15.0, 0.5)}


def test_what_was_measured_is_kept_while_the_database_is_away(database: Database) -> None:
    def away(_work: Callable[[Session], None]) -> None:
        metrics.count("n", 10)
        raise OSError("away")

    metrics = Metrics()
    metrics.count("n", 2)
    metrics.timing("t", 0.5)
    with pytest.raises(OSError, match="away"):
        metrics.flush(away, NOW)
    metrics.count("n")
    metrics.flush(once(database), NOW)
    assert minutes(database) == {("n", "", MINUTE): (13, 13.0, 10.0), ("t", "", MINUTE): (1, 0.5, 0.5)}


def test_a_block_is_timed_also_when_it_fails(database: Database) -> None:
    metrics = Metrics()
    with pytest.raises(ValueError, match="no"), metrics.timed("t"):
        raise ValueError("no")
    metrics.flush(once(database), NOW)
    ((count, total, maximum),) = minutes(database).values()
    assert count == 1
    assert total == maximum >= 0


@pytest.fixture
def datadog() -> Iterator[socket.socket]:
    """Listen where a Datadog agent would."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as agent:
        agent.bind(("127.0.0.1", 0))
        agent.settimeout(10)
        yield agent


def test_every_value_is_sent_to_datadog_when_it_is_configured(datadog: socket.socket) -> None:
    port = str(datadog.getsockname()[1])
    settings = settings_for("http://127.0.0.1:9", "1", DOGSTATSD_HOST="127.0.0.1", DOGSTATSD_PORT=port)
    metrics = Metrics.from_settings(settings)
    metrics.count("job.done", 3, "runner")
    metrics.gauge("queue.depth", 7)
    metrics.timing("call", 0.25, "eom")
    expected = {
        "waybill.job.done:3|c|#label:runner",
        "waybill.queue.depth:7|g",
        "waybill.call:0.25|d|#label:eom",
    }
    heard: set[str] = set()
    while not expected <= heard:
        heard |= set(datadog.recv(65_536).decode().split("\n"))
    assert heard - {""} == expected


def test_nothing_is_sent_unless_it_is_configured(datadog: socket.socket, database: Database) -> None:
    settings = settings_for("http://127.0.0.1:9", "1", DOGSTATSD_PORT=str(datadog.getsockname()[1]))
    Metrics.from_settings(settings).count("n")
    datadog.setblocking(False)
    with pytest.raises(BlockingIOError):
        datadog.recv(1)


def beat_of(database: Database, job: str, instance: str, at: datetime, done: int = 0) -> None:
    with database.writer() as session:
        beat(session, job=job, instance=instance, pid=1, started_at=NOW, now=at, counters={"done": done})


def heartbeats(database: Database) -> list[tuple[str, str, timedelta, dict[str, int]]]:
    with database.reader() as session:
        rows = session.scalars(select(JobHeartbeat).order_by(JobHeartbeat.job, JobHeartbeat.instance)).all()
    return [(row.job, row.instance, row.at - NOW, row.counters) for row in rows]


def test_a_heartbeat_replaces_the_one_before_of_the_same_instance(database: Database) -> None:
    for seconds, instance in ((0, "one:1"), (5, "one:1"), (7, "two:1")):
        beat_of(database, "runner", instance, NOW + timedelta(seconds=seconds), done=seconds)
    assert heartbeats(database) == [
        ("runner", "one:1", timedelta(seconds=5), {"done": 5}),
        ("runner", "two:1", timedelta(seconds=7), {"done": 7}),
    ]


def test_instances_that_were_silent_for_a_day_are_forgotten_by_their_own_job(database: Database) -> None:
    for job in ("reader", "runner"):
        beat_of(database, job, "old:1", NOW)
    beat_of(database, "runner", "new:1", NOW + timedelta(hours=24))
    assert [(job, instance) for job, instance, *_ in heartbeats(database)] == [
        ("reader", "old:1"),
        ("runner", "new:1"),
        ("runner", "old:1"),
    ]
    beat_of(database, "runner", "new:1", NOW + timedelta(hours=24, seconds=1))
    assert [(job, instance) for job, instance, *_ in heartbeats(database)] == [
        ("reader", "old:1"),
        ("runner", "new:1"),
    ]
