"""A full pass of the spend poller: `python -m bench.poller --referrals 1000000`.

MariaDB, the stand-in of the spend service and the poller all run on this machine. Of the first pass every
amount is news and one user in a thousand converts; of the second nothing is news, as of most in real life.
"""

from __future__ import annotations

import base64
import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
from sqlalchemy import func, select

from portal.db import migrate
from portal.referrals.models import Condition, ReferralCondition
from portal.referrals.progress.models import FailedBatch, PollRun, ReferralProgress, SpendSeen
from portal.referrals.progress.service import SPEND
from portal.referrals.states import ReferralStatus
from portal.runtime import Runtime, build_runtime
from portal.settings import load_settings
from sandbox.backbone import Backbone
from sandbox.child import Child
from sandbox.spends import BY_RULE_FROM
from tests.servers.mariadb import Cluster, Tuning

# What one in a thousand users has spent by the rule of the stand-in; all others have spent less.
_THRESHOLD = "99.90"
_PASSES = 2
_PATIENCE_SECONDS = 600
_NOWHERE = "http://127.0.0.1:9"

_SCHEME = f"""
INSERT INTO reward (id, name, amount) VALUES (1, 'referrer', 10), (2, 'recruit', 5);
INSERT INTO condition_table (id, name, event_type)
VALUES (1, 'sign-up', 'sign-up'), (2, 'verification', 'verification'), (3, 'spend', 'spend');
INSERT INTO referral_scheme VALUES (1, 'loans', 'days', 30, 0, 2, 1, 1, UTC_TIMESTAMP());
INSERT INTO referral_scheme_version
(scheme_id, family_id, version, name, state, currency, created_by, created_at)
VALUES (1, 1, 1, 'Loans', 'active', 'USD', 'bench', UTC_TIMESTAMP());
INSERT INTO referral_scheme_condition_table VALUES (1, 1, 1, '{{}}'), (1, 2, 2, '{{}}'),
(1, 3, 3, '{{"threshold": "{_THRESHOLD}", "currency": "USD"}}')
"""
_REFERRALS = """
INSERT INTO referral
SELECT seq, 1 + seq % 50000, {first} + seq, UTC_TIMESTAMP(), 1 FROM seq_1_to_{last};
INSERT INTO referral_progress
(referral_id, family_id, scheme_id, user_id, referrer_user_id, status, review, started_at, expires_at)
SELECT seq, 1, 1, {first} + seq, 1 + seq % 50000, IF(seq % 3, 'qualifying', 'started'), 'pending',
UTC_TIMESTAMP(), UTC_TIMESTAMP() + INTERVAL 30 DAY FROM seq_1_to_{last};
INSERT INTO referral_condition SELECT seq, 1, UTC_TIMESTAMP() FROM seq_1_to_{last};
INSERT INTO referral_condition SELECT seq, 2, UTC_TIMESTAMP() FROM seq_1_to_{last}
"""


@click.command()
@click.option("--referrals", default=1_000_000, show_default=True, help="How many open referrals there are.")
def main(referrals: int) -> None:
    """Print what each pass did, and last the rate, the time and the memory of the first."""
    with _backbone(referrals) as backbone:
        runtime = build_runtime(load_settings(backbone.environment))
        poller = backbone.start_jobs("spend-poller")
        memory: list[int] = []
        runs = [_wait_for_pass(runtime, poller, number, memory) for number in range(1, _PASSES + 1)]
        poller.stop()
        for run in runs:
            click.echo(
                f"pass {run.id}: {run.users} users, {run.batches} batches, {run.failed_batches} failed,"
                f" {run.met} met, {_seconds(run):.1f} s"
            )
        wrong = _what_is_wrong(runtime, runs, referrals)
        runtime.database.dispose()
        click.echo(f"memory from a tenth of the way on: {min(memory)} to {max(memory)} MB")
        first = runs[0]
        click.echo(
            f"users_per_second={first.users / _seconds(first):.0f} pass_seconds={_seconds(first):.1f}"
            f" rss_mb={max(memory)}"
        )
    if wrong:
        # After the last line of the figures, which are not to be believed, and on the other stream.
        raise click.ClickException("\n".join(wrong))


@contextmanager
def _backbone(referrals: int) -> Iterator[Backbone]:
    home = Path(tempfile.mkdtemp(prefix="waybill-bench-"))
    # A commit that is acknowledged is on disk: it is part of what is measured.
    cluster = Cluster.start(Tuning(flush_log_at_commit=1, buffer_pool_mb=1024, log_file_mb=512), parent=None)
    cluster.replica.stop()
    database = cluster.create_database("bench")
    environment = os.environ | {
        "DATABASE_WRITER_URL": cluster.writer_url(database),
        "SECRET_KEY": secrets.token_hex(32),
        "DATA_KEY": base64.b64encode(secrets.token_bytes(32)).decode(),
        "AWS_ACCESS_KEY_ID": "000000000000",
        "AWS_SECRET_ACCESS_KEY": "bench",
        "SPEND_POLL_SECONDS": "0.1",
        "LOG_LEVEL": "warning",
    }
    backbone = Backbone(home, _NOWHERE, environment)
    try:
        backbone.wait_ready()
        migrate(cluster.writer_url(database))
        began = time.monotonic()
        filling = _REFERRALS.format(first=BY_RULE_FROM, last=referrals)
        cluster.primary.execute(f"USE `{database}`", *_SCHEME.split(";"), *filling.split(";"))
        click.echo(f"Put in {referrals} open referrals in {time.monotonic() - began:.1f} s")
        yield backbone
    finally:
        backbone.stop()
        cluster.remove()
        shutil.rmtree(home, ignore_errors=True)


def _wait_for_pass(runtime: Runtime, poller: Child, number: int, memory: list[int]) -> PollRun:
    until = time.monotonic() + _PATIENCE_SECONDS
    while time.monotonic() < until and poller.alive():
        time.sleep(0.25)
        with runtime.writer() as session:
            run = session.get(PollRun, number)
        # What a pass needs is there after a tenth of the first; from then on memory must stay.
        if number > 1 or (run is not None and run.users > 100_000):
            memory.append(_resident_mb(poller.pid))
        if run is not None and run.ended_at is not None:
            return run
    raise click.ClickException(f"Pass {number} did not come to its end:\n{poller.log_tail()}")


def _resident_mb(pid: int) -> int:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") // 2**20


def _seconds(run: PollRun) -> float:
    assert run.ended_at is not None
    return (run.ended_at - run.started_at).total_seconds()


def _what_is_wrong(runtime: Runtime, runs: list[PollRun], referrals: int) -> list[str]:
    """Hold what the poller says of its passes against what stands in the database."""
    of_spend = select(Condition.id).where(Condition.event_type == SPEND).scalar_subquery()
    numbers = {
        "amounts seen": select(func.count()).select_from(SpendSeen),
        "spend conditions met": select(func.count()).where(ReferralCondition.condition_id == of_spend),
        "converted": select(func.count()).where(ReferralProgress.status == ReferralStatus.CONVERTED),
        "failed batches": select(func.count()).select_from(FailedBatch),
    }
    with runtime.writer() as session:
        found = {what: session.scalar(question) or 0 for what, question in numbers.items()}
    click.echo("in the database: " + ", ".join(f"{number} {what}" for what, number in found.items()))
    first, *later = runs
    expected = {
        "users of the first pass": (first.users, referrals),
        "users of later passes": ([run.users for run in later], [referrals - first.met] * len(later)),
        "failed batches of all passes": (sum(run.failed_batches for run in runs), 0),
        "failed batches in the database": (found["failed batches"], 0),
        "met by all passes": (sum(run.met for run in runs), found["spend conditions met"]),
        "met by the first pass": (
            first.met,
            sum(1 for user in range(1, referrals + 1) if user % 1000 == 999),
        ),
        "converted": (found["converted"], first.met),
    }
    return [f"{what}: {was}, not {should}" for what, (was, should) in expected.items() if was != should]


if __name__ == "__main__":
    main()
