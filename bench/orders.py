"""Orders from their documents to their mails: `python -m bench.orders --orders 14951`.

MariaDB, the AWS emulator, the stand-ins of the outside systems and the jobs all run on this machine.
The documents are in the bucket when the clock starts; in the middle, 400 more are put there. Afterwards
the ledgers of the stand-ins are compared with what was submitted.
"""

from __future__ import annotations

import base64
import os
import secrets
import shutil
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from operator import itemgetter
from pathlib import Path

import click
from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from bench.cpu import command, cpu_seconds, descendants
from portal.metrics.models import JobHeartbeat
from portal.orders.models import OrderStep, PurchaseOrder
from portal.orders.states import OrderStatus, StepState
from portal.runtime import Runtime, build_runtime
from portal.settings import load_settings
from sandbox.backbone import Backbone
from sandbox.client import SandboxClient
from sandbox.emulator import Emulator
from sandbox.samples import sample_order
from sandbox.ubl import as_ubl
from tests.servers.mariadb import Cluster, Tuning

_LATER = 400
_PARTS = {"ministack": "AWS emulator", "sandbox": "stand-ins", "server-1": "database", "server-2": "replica"}
_LOADERS = 8
_PATIENCE_SECONDS = 300


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage of the way: how many passed it, from when until when."""

    name: str
    number: int
    first: datetime | None
    last: datetime | None
    seconds_each: float | None = None


@click.command()
@click.option("--orders", default=14951, show_default=True, help="How many documents lie in the bucket.")
@click.option("--runners", default=1, show_default=True, help="How many runner processes work.")
@click.option("--calls", default=64, show_default=True, help="Calls in flight in each runner.")
def main(orders: int, runners: int, calls: int) -> None:
    """Print a table with the time of each stage, and the rate with what was lost or duplicated."""
    with _backbone(calls) as backbone:
        runtime = build_runtime(load_settings(backbone.environment))
        click.echo(f"Putting {orders} documents into the bucket …")
        began = time.monotonic()
        _put(runtime, range(orders))
        click.echo(f"  put in {time.monotonic() - began:.1f} s, before the clock starts")
        idle = _cpu_by_part({})
        began = time.monotonic()
        jobs = [backbone.start_jobs()]
        jobs += [backbone.start_jobs("runner") for _ in range(runners - 1)]
        _wait_for(runtime, orders // 2)
        _put(runtime, range(orders, orders + _LATER))
        _wait_for(runtime, orders + _LATER)
        seconds = time.monotonic() - began
        with runtime.writer() as session:
            _print_table(_stages(session), seconds)
            used = _cpu_by_part({beat.pid: beat.job for beat in session.scalars(select(JobHeartbeat))})
        for one in jobs:
            one.stop()
        _print_cpu(used, idle, orders + _LATER)
        _print_verdict(backbone.client, {_number(n) for n in range(orders + _LATER)}, seconds)


@contextmanager
def _backbone(calls: int) -> Iterator[Backbone]:
    home = Path(tempfile.mkdtemp(prefix="waybill-bench-"))
    # A commit that is acknowledged is on disk: group commit is part of what is measured.
    tuning = Tuning(flush_log_at_commit=1, buffer_pool_mb=1024, log_file_mb=512)
    cluster = Cluster.start(tuning, parent=None)
    emulator = Emulator(None).start().wait_ready()
    database = cluster.create_database("bench")
    environment = os.environ | {
        "DATABASE_WRITER_URL": cluster.writer_url(database),
        "SECRET_KEY": secrets.token_hex(32),
        "DATA_KEY": base64.b64encode(secrets.token_bytes(32)).decode(),
        "AWS_ACCESS_KEY_ID": "000000000000",
        "AWS_SECRET_ACCESS_KEY": "bench",
        "CALLS_IN_FLIGHT": str(calls),
        "LOG_LEVEL": "warning",
    }
    backbone = Backbone(home, emulator.url, environment)
    try:
        backbone.wait_ready()
        backbone.prepare()
        yield backbone
    finally:
        backbone.stop()
        emulator.stop()
        cluster.remove()
        shutil.rmtree(home, ignore_errors=True)


def _number(position: int) -> str:
    return f"B-{position:06d}"


def _put(runtime: Runtime, positions: range) -> None:
    """Put UBL documents into the bucket, their making included, many at a time."""
    with ThreadPoolExecutor(_LOADERS) as pool:
        list(pool.map(partial(_put_one, runtime), positions))


def _put_one(runtime: Runtime, position: int) -> None:
    document = as_ubl(sample_order(_number(position), seed=position))
    runtime.files.write(
        runtime.settings.orders_bucket, f"{_number(position)}.xml", document, "application/xml"
    )


def _wait_for(runtime: Runtime, wanted: int) -> None:
    completed, stuck_since = -1, time.monotonic()
    statement = select(func.count()).where(PurchaseOrder.status == OrderStatus.COMPLETED)
    while completed < wanted:
        time.sleep(0.25)
        with runtime.writer() as session:
            now_completed = session.scalar(statement) or 0
        if now_completed != completed:
            completed, stuck_since = now_completed, time.monotonic()
        elif time.monotonic() - stuck_since > _PATIENCE_SECONDS:
            click.echo(f"Nothing was completed for {_PATIENCE_SECONDS} s; {completed} of {wanted} are.")
            return


def _stages(session: Session) -> list[Stage]:
    received = select(func.count(), func.min(PurchaseOrder.received_at), func.max(PurchaseOrder.received_at))
    stages = [Stage("in the database", *session.execute(received).one())]
    steps = (
        select(
            OrderStep.name,
            func.count(),
            func.min(OrderStep.ended_at),
            func.max(OrderStep.ended_at),
            func.avg(func.timestampdiff(text("MICROSECOND"), OrderStep.started_at, OrderStep.ended_at)),
        )
        .where(OrderStep.state == StepState.PASSED)
        .group_by(OrderStep.name)
        .order_by(func.min(OrderStep.ended_at))
    )
    for name, number, first, last, microseconds in session.execute(steps):
        stages.append(Stage(name, number, first, last, float(microseconds) / 1e6))
    completed = select(
        func.count(), func.min(PurchaseOrder.completed_at), func.max(PurchaseOrder.completed_at)
    )
    return [*stages, Stage("completed", *session.execute(completed).one())]


def _print_table(stages: Sequence[Stage], seconds: float) -> None:
    zero = min(stage.first for stage in stages if stage.first)
    click.echo(f"\n{'stage':<44}{'orders':>8}{'first s':>10}{'last s':>10}{'per s':>8}{'ms each':>10}")
    for stage in stages:
        first, last = (((at or zero) - zero).total_seconds() for at in (stage.first, stage.last))
        each = "" if stage.seconds_each is None else f"{stage.seconds_each * 1000:.1f}"
        rate = stage.number / max(last - first, 0.001)
        click.echo(f"{stage.name:<44}{stage.number:>8}{first:>10.2f}{last:>10.2f}{rate:>8.0f}{each:>10}")
    click.echo(f"\nFrom the start of the jobs to the last completed order: {seconds:.1f} s")


def _cpu_by_part(jobs: Mapping[int, str]) -> defaultdict[str, float]:
    """Return the CPU seconds so far of each part; `jobs` tells which process is which job."""
    used: defaultdict[str, float] = defaultdict(float)
    for pid in descendants(os.getpid()):
        line = command(pid)
        name = jobs.get(pid) or next((name for part, name in _PARTS.items() if part in line), "")
        if name:
            used[name] += cpu_seconds(pid)
    used["loading the 400"] = time.process_time()
    return used


def _print_cpu(used: defaultdict[str, float], idle: defaultdict[str, float], orders: int) -> None:
    parts = {
        name: (seconds - idle[name]) / orders * 1000
        for name, seconds in sorted(used.items(), key=itemgetter(1), reverse=True)
    }
    click.echo("\nCPU ms an order: " + ", ".join(f"{name} {ms:.2f}" for name, ms in parts.items()))
    click.echo(f"CPU ms an order in all: {sum(parts.values()):.2f}")


def _print_verdict(client: SandboxClient, submitted: set[str], seconds: float) -> None:
    """Hold the stand-ins' ledgers against what was submitted; this is the last line."""
    lost: set[str] = set()
    for system in ("eom", "tax-documents", "pos", "mail"):
        lost |= submitted - set(_orders_in(client, system))
    duplicated = sum(counts["duplicates"] for counts in client.summary().values())
    rate = len(submitted) / seconds
    click.echo(f"orders_per_second={rate:.1f} lost={len(lost)} duplicated={duplicated}")


def _orders_in(client: SandboxClient, system: str) -> Iterator[str]:
    after = 0
    while page := client.effects(system, after=after, limit=1000):
        yield from (effect["order_number"] for effect in page)
        after = page[-1]["id"]


if __name__ == "__main__":
    main()
