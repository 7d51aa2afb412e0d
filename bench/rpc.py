"""JSON-RPC in the mix that the old service saw: `python -m bench.rpc --referrals 1000000`.

MariaDB, the web workers and the load generator all run on this machine. Beside it, in the same run, a bare
Flask view with one indexed query is measured: the ceiling of what this server can answer in this way.
"""

from __future__ import annotations

import base64
import json
import os
import random
import secrets
import shutil
import socket
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import click

from bench.cpu import command, cpu_seconds, descendants
from bench.load import Call, Measured, measure
from portal.crypto import token_hash
from portal.db import migrate
from sandbox.child import Child
from sandbox.emulator import free_port
from tests.servers.mariadb import Cluster, Tuning

# Calls a second of each method, as they were measured of the old service.
MIX = {
    "getreferralschemesbyids": 772.55,
    "getactivereferralschemebyproduct": 681.57,
    "getuserreferralstats": 662.42,
    "sendreferralemail": 40.52,
    "getuserreferrals": 12.09,
    "getusersreferrals": 2.87,
}
PRODUCTS, VERSIONS, REFERRERS = 10, 3, 200_000
KEY = "bench-key"
_PORTAL = ["--config", "gunicorn.conf.py", "wsgi:app"]
_NOWHERE = "http://127.0.0.1:9"
_DIFFERENT_CALLS = 200_000
_WARM_UP_SECONDS = 5.0

_SCHEMES = """
INSERT INTO reward (id, name, amount) VALUES (1, 'five', 5), (2, 'ten', 10);
INSERT INTO condition_table (id, name, event_type)
VALUES (1, 'sign-up', 'sign-up'), (2, 'verification', 'verification'), (3, 'spend', 'spend');
INSERT INTO referral_scheme
SELECT seq, CONCAT('product-', (seq - 1) % {products}), 'day', 30, 5, 1, 2,
seq > {products} * ({versions} - 1), UTC_TIMESTAMP() FROM seq_1_to_{schemes};
INSERT INTO referral_scheme_version
(scheme_id, family_id, version, name, state, currency, created_by, created_at)
SELECT seq, 1 + (seq - 1) % {products}, 1 + (seq - 1) DIV {products}, CONCAT('Scheme ', seq),
IF(seq > {products} * ({versions} - 1), 'active', 'historic'), 'USD', 'bench', UTC_TIMESTAMP()
FROM seq_1_to_{schemes};
INSERT INTO referral_scheme_condition_table
SELECT id, 1, 1, '{{}}' FROM referral_scheme UNION ALL SELECT id, 2, 2, '{{}}' FROM referral_scheme
UNION ALL SELECT id, 3, 3, '{{"threshold": "100.00", "currency": "USD"}}' FROM referral_scheme;
INSERT INTO active_referral_scheme SELECT product, id FROM referral_scheme WHERE active = 1
"""
_REFERRALS = """
INSERT INTO referral
SELECT seq, 1 + seq % {referrers}, 10000000 + seq, UTC_TIMESTAMP(), 1 + seq % {schemes} FROM seq_1_to_{last};
INSERT INTO referral_progress
(referral_id, family_id, scheme_id, user_id, referrer_user_id, status, review, started_at, expires_at)
SELECT id, 1 + (referral_scheme_id - 1) % {products}, referral_scheme_id, user_id, referrer_user_id,
ELT(1 + id % 5, 'started', 'qualifying', 'converted', 'expired', 'converted'), 'pending', created_at,
created_at + INTERVAL 30 DAY FROM referral;
INSERT INTO referral_condition SELECT id, 1, created_at FROM referral;
INSERT INTO reward_grant
(uuid, referral_id, family_id, side, user_id, reward_id, amount, currency, status, attempts, earned_at)
SELECT UUID(), referral_id, family_id, 'referrer', referrer_user_id, 2, 10, 'USD', 'sent', 1, started_at
FROM referral_progress WHERE status = 'converted';
INSERT INTO api_client (name, key_hash, active, created_at) VALUES ('bench', '{key}', 1, UTC_TIMESTAMP());
ANALYZE TABLE referral, referral_progress, referral_condition, reward_grant, invitation
"""


@dataclass(frozen=True, slots=True)
class Served:
    """The servers of a run: their web ports, and the ids of their processes by part."""

    portal: Child
    portal_port: int
    bare: Child
    bare_port: int
    database_pid: int


@click.command()
@click.option("--referrals", default=1_000_000, show_default=True, help="How many referrals there are.")
@click.option("--connections", default=32, show_default=True, help="Connections that call at once.")
@click.option("--seconds", default=20.0, show_default=True, help="How long each part is measured.")
def main(referrals: int, connections: int, seconds: float) -> None:
    """Print what each method took, the CPU time of a call by part, and last the rate beside the ceiling."""
    chance = random.Random(7)
    run = partial(_measure, connections=connections, seconds=seconds)
    with _servers(referrals) as served:
        calls = [_call(chance, kind, referrals) for kind in _kinds(chance)]
        mixed = run(served, served.portal, served.portal_port, calls)
        _print_methods(mixed)
        bare = [_bare_call(chance, referrals) for _ in range(_DIFFERENT_CALLS // 10)]
        ceiling = run(served, served.bare, served.bare_port, bare)
    _conclude(mixed, ceiling)


def _conclude(mixed: Measured, ceiling: Measured) -> None:
    """Print the last line; exit with 1 when any answer was wrong: then the figures tell nothing."""
    wrong = mixed.wrong + ceiling.wrong
    for told, number in wrong.most_common(5):
        click.echo(f"wrong {number} times: {told}")
    click.echo(
        f"calls_per_second={mixed.calls_per_second:.0f} p99_ms={mixed.percentile_ms(0.99):.1f}"
        f" ceiling_per_second={ceiling.calls_per_second:.0f}"
    )
    if wrong:
        sys.exit(1)


@contextmanager
def _servers(referrals: int) -> Iterator[Served]:
    home = Path(tempfile.mkdtemp(prefix="waybill-bench-"))
    # A commit that is acknowledged is on disk: it is part of what is measured.
    cluster = Cluster.start(Tuning(flush_log_at_commit=1, buffer_pool_mb=1024, log_file_mb=512), parent=None)
    cluster.replica.stop()
    children: list[Child] = []
    try:
        database = cluster.create_database("bench")
        migrate(cluster.writer_url(database))
        began = time.monotonic()
        _fill(cluster, database, referrals)
        click.echo(f"Put in {referrals} referrals in {time.monotonic() - began:.1f} s")
        environment = _environment(cluster.writer_url(database))
        ports = [free_port() for _ in range(2)]
        for name, port, arguments, path in zip(
            ("portal", "bare"), ports, (_PORTAL, _bare(ports[1])), ("/rpc", "/referral"), strict=True
        ):
            variables = environment | {"PORT": str(port)}
            child = Child(name, ["gunicorn", *arguments], variables, home / f"{name}.log")
            children.append(child)
            child.wait_until(partial(_answers, port, path))
        yield Served(children[0], ports[0], children[1], ports[1], cluster.primary.pid)
    finally:
        for child in children:
            child.stop()
        cluster.remove()
        shutil.rmtree(home, ignore_errors=True)


def _environment(database_url: str) -> dict[str, str]:
    systems = ("GIFT_CARD", "EOM", "TAX_DOCUMENTS", "POS", "REWARDS", "SPEND", "SIGN_UP", "PUBLIC")
    return os.environ | {
        "DATABASE_WRITER_URL": database_url,
        "SECRET_KEY": secrets.token_hex(32),
        "DATA_KEY": base64.b64encode(secrets.token_bytes(32)).decode(),
        "JOBS": "none",
        "WEB_WORKERS": "2",
        "LOG_LEVEL": "warning",
        "INVITATIONS_PER_DAY": "100000",
        **{f"{system}_URL": _NOWHERE for system in systems},
    }


def _fill(cluster: Cluster, database: str, referrals: int) -> None:
    facts = {
        "products": PRODUCTS,
        "versions": VERSIONS,
        "schemes": PRODUCTS * VERSIONS,
        "referrers": REFERRERS,
        "last": referrals,
        "key": token_hash(KEY),
    }
    for statements in (_SCHEMES, _REFERRALS):
        cluster.primary.execute(f"USE `{database}`", *statements.format(**facts).split(";"))


def _bare(port: int) -> list[str]:
    """Return the arguments of a server like the portal's, without its configuration."""
    return [
        *("--config", "python:bench", "--bind", f"127.0.0.1:{port}", "--workers", "2"),
        *("--worker-class", "gevent", "--keep-alive", "2", "--no-control-socket", "bench.bare:create_app()"),
    ]


def _answers(port: int, path: str) -> bool:
    """Tell whether a worker answers, even if only that a call is wrong."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=10) as opened:
            opened.sendall(_request(path, {}))
            return opened.recv(100).startswith(b"HTTP/1.1 ")
    except OSError:
        return False


def _kinds(chance: random.Random) -> list[str]:
    return chance.choices(list(MIX), weights=list(MIX.values()), k=_DIFFERENT_CALLS)


def _call(chance: random.Random, kind: str, referrals: int) -> Call:
    def user() -> int:
        return chance.randint(1, min(REFERRERS, referrals))

    schemes = PRODUCTS * VERSIONS
    params: dict[str, Callable[[], dict[str, Any]]] = {
        "getreferralschemesbyids": lambda: {
            "ids": chance.sample(range(1, schemes + 1), chance.randint(1, 3))
        },
        "getactivereferralschemebyproduct": lambda: {"product": f"product-{chance.randrange(PRODUCTS)}"},
        "getuserreferralstats": lambda: {"user_id": user()},
        "sendreferralemail": lambda: {
            "user_id": user(),
            "product": f"product-{chance.randrange(PRODUCTS)}",
            "emails": [f"{chance.getrandbits(64):x}@example.com"],
            "idempotency_key": f"{chance.getrandbits(128):x}",
        },
        "getuserreferrals": lambda: {"user_id": user()},
        "getusersreferrals": lambda: {"user_ids": [user() for _ in range(10)]},
    }
    call = {"jsonrpc": "2.0", "method": f"referrals.{kind}", "params": params[kind](), "id": 1}
    # A refusal to invite is a result as well.
    expected = b'"invited":true' if kind == "sendreferralemail" else b'"result":'
    return Call(kind, _request("/rpc", call), expected)


def _bare_call(chance: random.Random, referrals: int) -> Call:
    return Call("bare", _request("/referral", {"id": chance.randint(1, referrals)}), b'"referrer_user_id":')


def _request(path: str, document: dict[str, Any]) -> bytes:
    body = json.dumps(document).encode()
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {KEY}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def _measure(
    served: Served, web: Child, port: int, calls: list[Call], *, connections: int, seconds: float
) -> Measured:
    """Measure a server that is warm, and print the CPU time that each part spent on a call."""
    measure(port, calls, connections=connections, seconds=_WARM_UP_SECONDS)
    before = _cpu(served, web)
    # Other calls than those of the warm-up come first.
    measured = measure(port, calls[len(calls) // 2 :] + calls, connections=connections, seconds=seconds)
    used = _cpu(served, web) - before
    parts = {part: spent / max(1, measured.number) * 1000 for part, spent in used.most_common()}
    told = ", ".join(f"{part} {spent:.3f}" for part, spent in parts.items())
    click.echo(f"{web.name}: CPU ms a call: {told}; in all {sum(parts.values()):.3f}")
    return measured


def _cpu(served: Served, web: Child) -> Counter[str]:
    web_pids = [web.pid, *descendants(web.pid)]
    return Counter(
        {
            "web": sum(cpu_seconds(pid) for pid in web_pids if command(pid)),
            "database": cpu_seconds(served.database_pid),
            "load generator": time.process_time(),
        }
    )


def _print_methods(measured: Measured) -> None:
    click.echo(f"\n{'method':<36}{'calls':>9}{'p50 ms':>9}{'p99 ms':>9}{'most ms':>9}")
    for kind in MIX:
        number = len(measured.latencies[kind])
        if number:
            figures = "".join(f"{measured.percentile_ms(share, kind):>9.1f}" for share in (0.5, 0.99, 1.0))
            click.echo(f"{kind:<36}{number:>9}{figures}")


if __name__ == "__main__":
    main()
