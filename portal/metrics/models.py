"""The rows of metrics: values per minute, and the heartbeats of jobs."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, Double, Index, Integer, String
from sqlalchemy.orm import Mapped, mapped_column

from portal.db import Base, BigId, Key, UtcTime


class MetricMinute(Base):
    """All that was measured under one name and label in one minute, by all processes together.

    `total` is the sum of values (timings in seconds), so the mean is `total / count`; `maximum` is the
    greatest of them.
    """

    __tablename__ = "metric_minute"
    __table_args__ = (Index("ix_metric_minute_minute", "minute"),)

    name: Mapped[str] = mapped_column(Key(64), primary_key=True)
    label: Mapped[str] = mapped_column(Key(64), primary_key=True)
    minute: Mapped[datetime] = mapped_column(UtcTime, primary_key=True)
    count: Mapped[int] = mapped_column(BigId)
    total: Mapped[float] = mapped_column(Double)
    maximum: Mapped[float] = mapped_column(Double)


class JobHeartbeat(Base):
    """The last sign of life of one instance of a job, with its counters since it started."""

    __tablename__ = "job_heartbeat"

    job: Mapped[str] = mapped_column(String(32), primary_key=True)
    instance: Mapped[str] = mapped_column(Key(100), primary_key=True)
    started_at: Mapped[datetime] = mapped_column(UtcTime)
    at: Mapped[datetime] = mapped_column(UtcTime)
    counters: Mapped[dict[str, Any]] = mapped_column(JSON)
    pid: Mapped[int] = mapped_column(Integer)
