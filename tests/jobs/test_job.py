"""A job says that it is alive for as long as it is."""

from __future__ import annotations

import threading
from dataclasses import replace

from sqlalchemy import select

from jobs.job import Job
from portal.metrics.models import JobHeartbeat
from portal.runtime import Runtime, build_runtime
from tests.servers.forwarder import Forwarder
from tests.servers.mariadb import Cluster
from tests.servers.waiting import wait_until


class Watch:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


def beats(runtime: Runtime) -> list[JobHeartbeat]:
    with runtime.reader() as session:
        return list(session.scalars(select(JobHeartbeat)))


def quick(runtime: Runtime, watch: Watch) -> Runtime:
    settings = runtime.settings.model_copy(update={"heartbeat_seconds": 0.01})
    return replace(runtime, settings=settings, monotonic=watch)


def test_a_job_is_known_to_be_alive_as_soon_as_it_starts(runtime: Runtime) -> None:
    job = Job("reader", runtime)
    thread = job.keep_beating()
    wait_until(lambda: beats(runtime), 20, "the first heartbeat is there")
    job.stopping.set()
    thread.join(20)
    assert not thread.is_alive()


def test_the_last_heartbeat_tells_all_that_was_counted(runtime: Runtime) -> None:
    job = Job("reader", runtime)
    thread = job.keep_beating()
    wait_until(lambda: beats(runtime), 20, "the first heartbeat is there")
    job.count("done", 3)
    job.details["breakers"] = {"eom": "open"}
    job.stopping.set()
    thread.join(20)
    (beat,) = beats(runtime)
    assert beat.job == "reader"
    assert beat.counters == {"done": 3, "breakers": {"eom": "open"}}


def test_a_loop_that_is_stuck_ends_the_heartbeat_even_when_another_goes_on(runtime: Runtime) -> None:
    watch = Watch()
    job = Job("transformer", quick(runtime, watch))
    stuck = threading.Thread(target=job.turn)
    stuck.start()
    stuck.join()
    thread = job.keep_beating()
    wait_until(lambda: beats(runtime), 20, "the first heartbeat is there")
    watch.now += 61
    job.turn()
    (before,) = beats(runtime)
    job.count("done")
    turns = threading.Event()
    for _ in range(20):
        turns.wait(0.01)
        job.turn()
    (after,) = beats(runtime)
    assert "done" not in after.counters
    assert after.at >= before.at
    job.stopping.set()
    thread.join(20)


def test_a_job_whose_supervisor_is_gone_stops(runtime: Runtime) -> None:
    job = Job("reader", runtime, supervisor=1 << 30)
    assert not job.turn()
    assert job.stopping.is_set()


def test_a_job_without_a_supervisor_goes_on(runtime: Runtime) -> None:
    assert Job("reader", runtime).turn()


def test_it_is_known_whether_the_database_answers(
    mariadb: Cluster, mariadb_database: str, runtime: Runtime
) -> None:
    with Forwarder(mariadb.primary.port) as forwarder:
        direct = mariadb.writer_url(mariadb_database)
        url = direct.replace(f":{mariadb.primary.port}/", f":{forwarder.port}/")
        away = build_runtime(runtime.settings.model_copy(update={"database_writer_url": url}))
        job = Job("reader", away)
        assert job.database_answers()
        forwarder.point_at(9)
        forwarder.cut()
        assert not job.database_answers()
        forwarder.point_at(mariadb.primary.port)
        assert job.database_answers()
        away.database.dispose()
