"""Whether this process lives, and whether it can work: asked often, by machines, answered in bounded time."""

import threading
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, cast

import structlog
from flask import Blueprint, Flask, Response, current_app, jsonify
from sqlalchemy import Engine

from portal.metrics import queries as metrics
from portal.runtime import Runtime
from portal.settings import Settings
from portal.web.context import runtime
from portal.web.permissions import public

blueprint = Blueprint("health", __name__, url_prefix="/health")
log = structlog.get_logger()

JOBS = (
    "transformer",
    "reader",
    "runner",
    "waiting",
    "mail-events",
    "invitation-mails",
    "sign-ups",
    "verifications",
    "rewards",
    "expiry",
    "spend-poller",
    "experiments",
)
DEADLINE_SECONDS = 2.0
# A beat takes its time to be written, and a job to start.
_GRACE_SECONDS = 5.0


@dataclass
class Check:
    """One look at an outside part: under way until `done`, then with an answer or an error."""

    answer: Any = None
    error: Exception | None = None
    done: threading.Event = field(default_factory=threading.Event)


@dataclass
class Probe:
    """Looks at an outside part, in a thread of its own, for the part may hang.

    While one look hangs, no other begins: they would use up the connections.
    """

    name: str
    look: Callable[[], Any]
    _last: Check | None = None

    def begin(self) -> Check:
        """Begin to look, or return the look that is still under way."""
        if self._last is None or self._last.done.is_set():
            self._last = Check()
            thread = threading.Thread(target=self._run, args=(self._last,), name=self.name, daemon=True)
            thread.start()
        return self._last

    def _run(self, check: Check) -> None:
        try:
            check.answer = self.look()
        except Exception as error:  # noqa: BLE001 - an edge: whatever is wrong, the answer is "not ready"
            check.error = error
        check.done.set()


def watch_health(app: Flask) -> None:
    """Prepare the checks of readiness."""
    built = cast(Runtime, app.extensions["waybill"])
    app.extensions["probes"] = [
        Probe("database_writer", lambda: _ask_engine(built.database.writer_engine)),
        Probe("database_reader", lambda: _ask_engine(built.database.reader_engine)),
        Probe("queues", lambda: _ask_queues(built)),
        Probe("jobs", lambda: _ages_of_jobs(built)),
    ]
    app.register_blueprint(blueprint)


@blueprint.get("/live")
@public
def live() -> Response:
    """Say that this process answers."""
    return jsonify({"status": "live"})


@blueprint.get("/ready")
@public
def ready() -> tuple[Response, int]:
    """Say whether everything that this instance needs is there: 200, or 503 with what is missing."""
    probes = cast(list[Probe], current_app.extensions["probes"])
    checks = {probe.name: probe.begin() for probe in probes}
    ends_at = runtime().monotonic() + DEADLINE_SECONDS
    for check in checks.values():
        check.done.wait(max(0.0, ends_at - runtime().monotonic()))
    parts = {name: _verdict(name, check) for name, check in checks.items()}
    jobs = _verdicts_of_jobs(checks["jobs"], runtime().settings)
    healthy = all(part == "ok" for part in parts.values())
    healthy = healthy and all(job["status"] == "ok" for job in jobs.values())
    status = "ready" if healthy else "not-ready"
    return jsonify({"status": status, "checks": parts, "jobs": jobs}), 200 if healthy else 503


def expected_jobs(settings: Settings) -> tuple[str, ...]:
    """Return the names of the jobs that the setting JOBS asks for."""
    if settings.jobs in ("all", "none"):
        return JOBS if settings.jobs == "all" else ()
    return tuple(name.strip() for name in settings.jobs.split(","))


def _verdict(name: str, check: Check) -> str:
    if not check.done.is_set():
        log.error("not ready", part=name, error=f"no answer in {DEADLINE_SECONDS} s")
        return "no-answer"
    if check.error is not None:
        log.error("not ready", part=name, error=str(check.error))
        return "failed"
    return "ok"


def _verdicts_of_jobs(check: Check, settings: Settings) -> dict[str, dict[str, Any]]:
    ages: dict[str, float] = check.answer if check.done.is_set() and check.error is None else {}
    longest = 3 * settings.heartbeat_seconds + _GRACE_SECONDS
    verdicts: dict[str, dict[str, Any]] = {}
    for name in expected_jobs(settings):
        age = ages.get(name)
        alive = age is not None and age <= longest
        verdicts[name] = {"status": "ok" if alive else "silent", "seconds_since_heartbeat": age}
    return verdicts


def _ask_engine(engine: Engine) -> None:
    # By the driver's own connection: a transaction on SQLite's writer would wait for its turn to write.
    with closing(engine.raw_connection()) as connection, closing(connection.cursor()) as cursor:
        cursor.execute("SELECT 1")
        cursor.fetchall()


def _ask_queues(built: Runtime) -> None:
    for queue in (built.settings.order_documents_queue, built.settings.orders_queue):
        built.queues.depth(queue)


def _ages_of_jobs(built: Runtime) -> dict[str, float]:
    """Return how many seconds ago each job last gave a sign of life; not from a replica, which lags."""
    now, database = built.clock(), built.database
    with database.writer() if database.has_reader else database.reader() as session:
        found = metrics.health_of_jobs(session, now=now, silent_after=timedelta(0))
    return {job.job: round((now - job.last_at).total_seconds(), 1) for job in found}
