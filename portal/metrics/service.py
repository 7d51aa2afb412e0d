"""One small interface for what is measured: count, gauge, timing."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from time import perf_counter
from typing import Any

from datadog.dogstatsd.base import DogStatsd
from sqlalchemy import delete, func
from sqlalchemy.dialects import mysql, sqlite
from sqlalchemy.orm import Session

from portal.metrics.models import JobHeartbeat, MetricMinute
from portal.settings import Settings

# Each restart of a job is an instance of its own.
_FORGOTTEN_AFTER = timedelta(days=1)


@dataclass(slots=True)
class _Sum:
    count: int = 0
    total: float = 0.0
    maximum: float = 0.0

    def add(self, value: float, count: int = 1) -> None:
        self.count += count
        self.total += value
        self.maximum = max(self.maximum, value)


class Metrics:
    """Collects what this process measures until `flush` adds it to the minute in the database.

    With a DogStatsd client every value is also sent to Datadog at once, as `waybill.NAME` with the
    label as its tag.
    """

    def __init__(self, statsd: DogStatsd | None = None) -> None:
        self._statsd = statsd
        self._lock = threading.Lock()
        self._sums: dict[tuple[str, str], _Sum] = {}

    @classmethod
    def from_settings(cls, settings: Settings) -> "Metrics":
        if settings.dogstatsd_host is None:
            return cls()
        statsd = DogStatsd(
            host=settings.dogstatsd_host,
            port=settings.dogstatsd_port,
            namespace="waybill",
            disable_telemetry=True,
        )
        return cls(statsd)

    def count(self, name: str, number: int = 1, label: str = "") -> None:
        """Count that something happened `number` times."""
        self._add(name, label, number, number)
        if self._statsd:
            self._statsd.increment(name, number, tags=_tags(label))

    def gauge(self, name: str, value: float, label: str = "") -> None:
        """Measure how much there is of something now; the minute keeps its mean and its greatest."""
        self._add(name, label, value)
        if self._statsd:
            self._statsd.gauge(name, value, tags=_tags(label))

    def timing(self, name: str, seconds: float, label: str = "") -> None:
        """Measure how long something took, in seconds."""
        self._add(name, label, seconds)
        if self._statsd:
            self._statsd.distribution(name, seconds, tags=_tags(label))

    @contextmanager
    def timed(self, name: str, label: str = "") -> Iterator[None]:
        """Measure how long the block took."""
        began = perf_counter()
        try:
            yield
        finally:
            self.timing(name, perf_counter() - began, label)

    def flush(self, transact: Callable[[Callable[[Session], None]], None], now: datetime) -> None:
        """Add what was collected to the minute of `now`; it is kept for the next time when that fails.

        A commit that was done and never answered is added twice: figures, not books.
        """
        with self._lock:
            taken, self._sums = self._sums, {}
        if not taken:
            return
        minute = now.replace(second=0, microsecond=0)
        rows = [
            {
                "name": name,
                "label": label,
                "minute": minute,
                "count": part.count,
                "total": part.total,
                "maximum": part.maximum,
            }
            for (name, label), part in sorted(taken.items())
        ]
        try:
            transact(lambda session: _add_to_minute(session, rows))
        except BaseException:
            self._put_back(taken)
            raise

    def _add(self, name: str, label: str, value: float, count: int = 1) -> None:
        with self._lock:
            self._sums.setdefault((name, label), _Sum()).add(value, count)

    def _put_back(self, taken: dict[tuple[str, str], _Sum]) -> None:
        with self._lock:
            for key, part in taken.items():
                kept = self._sums.setdefault(key, _Sum())
                kept.count += part.count
                kept.total += part.total
                kept.maximum = max(kept.maximum, part.maximum)


def beat(
    session: Session,
    *,
    job: str,
    instance: str,
    pid: int,
    started_at: datetime,
    now: datetime,
    counters: dict[str, Any],
) -> None:
    """Say that an instance of a job is alive; those that were silent for a day are forgotten."""
    silent = JobHeartbeat.at < now - _FORGOTTEN_AFTER
    session.execute(delete(JobHeartbeat).where(JobHeartbeat.job == job, silent))
    session.merge(
        JobHeartbeat(job=job, instance=instance, pid=pid, started_at=started_at, at=now, counters=counters)
    )


def _tags(label: str) -> list[str] | None:
    return [f"label:{label}"] if label else None


def _add_to_minute(session: Session, rows: list[dict[str, Any]]) -> None:
    table = MetricMinute.__table__.c
    if session.get_bind().dialect.name == "sqlite":
        upsert = sqlite.insert(MetricMinute)
        session.execute(
            upsert.on_conflict_do_update(
                index_elements=["name", "label", "minute"],
                set_={
                    "count": table.count + upsert.excluded.count,
                    "total": table.total + upsert.excluded.total,
                    "maximum": func.max(table.maximum, upsert.excluded.maximum),
                },
            ),
            rows,
        )
        return
    addition = mysql.insert(MetricMinute)
    session.execute(
        addition.on_duplicate_key_update(
            count=table.count + addition.inserted.count,
            total=table.total + addition.inserted.total,
            maximum=func.greatest(table.maximum, addition.inserted.maximum),
        ),
        rows,
    )
