"""The health of the portal is told in bounded time, whatever hangs."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from datetime import timedelta

import pytest
from flask import Flask

from jobs.__main__ import NAMES
from portal.metrics import service as metrics
from portal.runtime import Runtime
from portal.settings import Settings
from portal.web.health import DEADLINE_SECONDS, JOBS, expected_jobs
from sandbox.provision import provision
from tests.web.portal import Visitor, new_visitor, open_portal, runtime_of


@pytest.fixture
def hole() -> Iterator[int]:
    """Give the port of a server that accepts and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture
def portal_settings(portal_settings: Settings, aws_endpoint: str, aws_account: str) -> Settings:
    settings = portal_settings.model_copy(
        update={
            "aws_endpoint_url": aws_endpoint,
            "aws_access_key_id": aws_account,
            "orders_bucket": f"orders-in-{aws_account}",
            "originals_bucket": f"originals-{aws_account}",
        }
    )
    provision(settings)
    return settings


def beat(runtime: Runtime, *jobs: str, ago: float = 0) -> None:
    at = runtime.clock() - timedelta(seconds=ago)
    with runtime.writer() as session:
        for job in jobs:
            metrics.beat(session, job=job, instance="i", pid=1, started_at=at, now=at, counters={})


def test_a_process_that_answers_lives(visitor: Visitor) -> None:
    assert visitor.get("/health/live").get_json() == {"status": "live"}


def test_the_portal_is_ready_when_everything_is_there(visitor: Visitor, runtime: Runtime) -> None:
    beat(runtime, *JOBS, ago=2)
    answer = visitor.get("/health/ready")
    assert answer.status_code == 200, answer.text
    told = answer.get_json()
    assert told["status"] == "ready"
    assert told["checks"] == dict.fromkeys(("database_writer", "database_reader", "queues", "jobs"), "ok")
    assert 2 <= told["jobs"]["runner"]["seconds_since_heartbeat"] < 60


def test_a_job_that_was_never_heard_of_is_missing(visitor: Visitor, runtime: Runtime) -> None:
    beat(runtime, *JOBS[1:])
    answer = visitor.get("/health/ready")
    assert answer.status_code == 503
    assert answer.get_json()["jobs"][JOBS[0]] == {"status": "silent", "seconds_since_heartbeat": None}


def test_a_job_that_fell_silent_is_missing(visitor: Visitor, runtime: Runtime) -> None:
    beat(runtime, *JOBS)
    beat(runtime, "runner", ago=3 * runtime.settings.heartbeat_seconds + 6)
    answer = visitor.get("/health/ready")
    assert answer.status_code == 503
    assert answer.get_json()["jobs"]["runner"]["status"] == "silent"


def test_without_jobs_of_its_own_an_instance_asks_for_none(portal_settings: Settings) -> None:
    app = open_portal(portal_settings.model_copy(update={"jobs": "none"}))
    assert new_visitor(app).get("/health/ready").status_code == 200


def test_the_jobs_that_are_expected_are_those_that_there_are(portal_settings: Settings) -> None:
    assert set(JOBS) == set(NAMES)
    chosen = portal_settings.model_copy(update={"jobs": "runner, reader"})
    assert expected_jobs(chosen) == ("runner", "reader")


def test_queues_that_hang_are_told_within_the_deadline(portal_settings: Settings, hole: int) -> None:
    app = open_portal(
        portal_settings.model_copy(update={"jobs": "none", "aws_endpoint_url": f"http://127.0.0.1:{hole}"})
    )
    visitor, began = new_visitor(app), time.monotonic()
    answers = [visitor.get("/health/ready") for _ in range(2)]
    # The specification asks for this bound: a load balancer does not wait.
    assert time.monotonic() - began < 2 * DEADLINE_SECONDS + 2
    assert [answer.status_code for answer in answers] == [503, 503]
    assert answers[0].get_json()["checks"]["queues"] == "no-answer"
    assert answers[0].get_json()["checks"]["database_writer"] == "ok"
    assert sum(thread.name == "queues" for thread in threading.enumerate()) == 1


def test_a_database_that_hangs_is_told_within_the_deadline(portal_settings: Settings, hole: int) -> None:
    hanging = f"mysql+pymysql://x:x@127.0.0.1:{hole}/x"
    app = open_portal(
        portal_settings.model_copy(
            update={"jobs": "none", "database_writer_url": hanging, "database_reader_url": hanging}
        )
    )
    answer = new_visitor(app).get("/health/ready")
    assert answer.status_code == 503
    assert answer.get_json()["checks"]["database_writer"] == "no-answer"
    assert answer.get_json()["checks"]["queues"] == "ok"


def test_what_is_told_helps_no_attacker(app: Flask, portal_settings: Settings) -> None:
    away = "mysql+pymysql://waybill:hunter2@127.0.0.1:9/waybill"
    broken = open_portal(
        portal_settings.model_copy(update={"database_writer_url": away, "database_reader_url": away})
    )
    text = new_visitor(broken).get("/health/ready").text
    for secret in ("127.0.0.1", "hunter2", "mysql", "refused", "Error"):
        assert secret not in text
    assert runtime_of(broken).settings.database_writer_url == away
