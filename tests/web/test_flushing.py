"""What a web process measures reaches the database."""

from __future__ import annotations

from sqlalchemy import select

from portal.metrics.models import MetricMinute
from portal.runtime import Runtime
from portal.settings import Settings
from portal.web.flushing import keep_flushing
from tests.servers.waiting import wait_until
from tests.web.portal import Visitor, open_portal, runtime_of


def labels(runtime: Runtime) -> set[str]:
    with runtime.reader() as session:
        return set(session.scalars(select(MetricMinute.label)))


def test_measurements_are_written_at_regular_times(portal_settings: Settings) -> None:
    app = open_portal(portal_settings.model_copy(update={"heartbeat_seconds": 0.02}))
    runtime = runtime_of(app)
    stop = keep_flushing(runtime)
    runtime.metrics.count("orders", label="seen")
    wait_until(lambda: "seen" in labels(runtime), 20, "the measurement is in the database")
    stop()


def test_the_last_measurements_are_written_at_the_end(visitor: Visitor, runtime: Runtime) -> None:
    stop = keep_flushing(runtime)
    visitor.get("/login")
    stop()
    assert "access.log_in" in labels(runtime)


def test_a_database_that_is_away_loses_no_measurement(portal_settings: Settings) -> None:
    away = "mysql+pymysql://x:x@127.0.0.1:9/x"
    runtime = runtime_of(open_portal(portal_settings.model_copy(update={"database_writer_url": away})))
    runtime.metrics.count("orders", label="kept")
    keep_flushing(runtime)()
    sent: list[object] = []
    runtime.metrics.flush(sent.append, runtime.clock())
    assert len(sent) == 1
