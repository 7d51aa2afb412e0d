"""The whole of Waybill on one machine: `python -m sandbox up`, which `make run` calls."""

from __future__ import annotations

import base64
import json
import secrets
import signal
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path

import urllib3

from portal.db import migrate
from portal.settings import load_settings
from sandbox.backbone import Backbone
from sandbox.child import Child, ChildError
from sandbox.demo import DemoPerson, make_demo_people, make_demo_scheme
from sandbox.emulator import HOST, Emulator, EmulatorError, free_port, is_free
from sandbox.provision import provision

_READY_SECONDS = 60.0


class CannotStart(RuntimeError):
    """Say in one line why nothing was started, or what has ended."""


@dataclass(frozen=True, slots=True)
class Kept:
    """What stays the same over restarts: keys, passwords, and the ports behind the portal."""

    secret_key: str
    data_key: str
    password: str
    api_key: str
    emulator_port: int
    sandbox_port: int


def up(home: Path, environ: Mapping[str, str], say: Callable[[str], None]) -> None:
    """Start everything, say where it is, and stop everything on SIGINT, SIGTERM or SIGHUP.

    Raises CannotStart when the port is taken, or when a part of it does not start or has ended.
    """
    port = _port(environ)
    kept = _keep(home / "embedded.json", environ)
    stopping = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: stopping.set())
    emulator = Emulator(home / "aws", kept.emulator_port)
    environment = _environment(home, environ, kept)
    children: list[Child] = []
    try:
        emulator.start()
        backbone = Backbone(home, emulator.url, environment, kept.sandbox_port)
        children.append(backbone.sandbox)
        _prepare(backbone, emulator, kept, stopping)
        if stopping.is_set():
            return
        children.append(_start_portal(backbone, port))
        address = f"http://{HOST}:{port}"
        children[-1].wait_until(
            lambda: stopping.is_set() or _answers(f"{address}/health/ready"), _READY_SECONDS
        )
        if environ.get("DEMO_TRAFFIC") != "0":
            children.append(_start_traffic(backbone, emulator.url))
            children.append(_start_friends(backbone, address, kept))
        if not stopping.is_set():
            _say_welcome(say, address, backbone.url, emulator.url, kept)
        _watch(children, emulator, stopping)
    except (ChildError, EmulatorError) as error:
        raise CannotStart(str(error)) from error
    finally:
        for child in reversed(children):
            child.stop()
        emulator.stop()


def _port(environ: Mapping[str, str]) -> int:
    text = environ.get("PORT") or "8000"
    if not text.isdecimal() or not 1 <= int(text) <= 65535:
        raise CannotStart(f"PORT must be a number from 1 to 65535, not {text!r}.")
    if not is_free(int(text)):
        raise CannotStart(
            f"Port {text} on {HOST} is taken. Choose another: PORT={int(text) % 65535 + 1} make run"
        )
    return int(text)


def _keep(path: Path, environ: Mapping[str, str]) -> Kept:
    """Read what was kept, or make it; the environment's password and key win and are kept from then on."""
    known = json.loads(path.read_text()) if path.exists() else {}
    kept = Kept(
        secret_key=known.get("secret_key") or secrets.token_hex(32),
        data_key=known.get("data_key") or base64.b64encode(secrets.token_bytes(32)).decode(),
        password=environ.get("PORTAL_DEMO_PASSWORD") or known.get("password") or secrets.token_urlsafe(12),
        api_key=environ.get("PORTAL_DEMO_API_KEY") or known.get("api_key") or secrets.token_urlsafe(32),
        emulator_port=_same_port(known.get("emulator_port")),
        sandbox_port=_same_port(known.get("sandbox_port")),
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    path.write_text(json.dumps(asdict(kept), indent=1))
    return kept


def _same_port(known: int | None) -> int:
    return known if known and is_free(known) else free_port()


def _environment(home: Path, environ: Mapping[str, str], kept: Kept) -> dict[str, str]:
    return {
        "DATABASE_WRITER_URL": f"sqlite:///{home / 'waybill.db'}",
        "LOG_LEVEL": "info",
        **environ,
        "SECRET_KEY": kept.secret_key,
        "DATA_KEY": kept.data_key,
        "AWS_ACCESS_KEY_ID": "000000000000",
        "AWS_SECRET_ACCESS_KEY": "embedded",
        "COOKIE_SECURE": "false",
    }


def _prepare(backbone: Backbone, emulator: Emulator, kept: Kept, stopping: threading.Event) -> None:
    """Make database and AWS resources at the same time, as soon as what they need is up."""
    backbone.wait_ready()
    settings = load_settings(backbone.environment)

    def make_database() -> None:
        migrate(settings.database_writer_url)
        make_demo_people(settings, kept.password, kept.api_key, datetime.now(UTC))
        make_demo_scheme(settings, datetime.now(UTC))

    def make_resources() -> None:
        emulator.wait_ready()
        provision(settings)

    with ThreadPoolExecutor() as pool:
        for done in [pool.submit(make_database), pool.submit(make_resources)]:
            while not done.done() and not stopping.wait(0.02):
                pass
            if done.done():
                done.result()


def _start_portal(backbone: Backbone, port: int) -> Child:
    arguments = ["gunicorn", "--config", "gunicorn.conf.py", "wsgi:app"]
    environment = {"PUBLIC_URL": f"http://{HOST}:{port}"} | backbone.environment | {"PORT": str(port)}
    return Child("The portal", arguments, environment, backbone.home / "log" / "portal.log")


def _start_traffic(backbone: Backbone, aws_url: str) -> Child:
    arguments = ["sandbox", "traffic", "--aws-endpoint", aws_url]
    return Child("The traffic", arguments, backbone.environment, backbone.home / "log" / "traffic.log")


def _start_friends(backbone: Backbone, address: str, kept: Kept) -> Child:
    arguments = ["sandbox", "friends", "--portal", address]
    environment = backbone.environment | {"SANDBOX_URL": backbone.url, "PORTAL_DEMO_API_KEY": kept.api_key}
    return Child("The friends", arguments, environment, backbone.home / "log" / "friends.log")


def _answers(url: str) -> bool:
    try:
        return urllib3.request("GET", url, timeout=5, retries=False).status == HTTPStatus.OK
    except urllib3.exceptions.HTTPError:
        return False


def _say_welcome(say: Callable[[str], None], address: str, sandbox: str, aws: str, kept: Kept) -> None:
    people = "\n".join(f"    {person.login:<12}{kept.password:<24}{person.role}" for person in DemoPerson)
    say(
        f"\nWaybill is ready at {address}\n\n"
        f"  People (login, password, role):\n{people}\n\n"
        f"  API key:   {kept.api_key}\n"
        f"  Schema:    {address}/api/schemas/order.json\n"
        f"  Mailbox:   {sandbox}/sandbox/mail\n"
        f"  Faults:    python -m sandbox fault tax-documents down\n"
        f"  AWS:       {aws} (emulated; documents go into the bucket orders-in)\n\n"
        "Ctrl-C stops everything; the next start goes on where this one stopped."
    )


def _watch(children: list[Child], emulator: Emulator, stopping: threading.Event) -> None:
    while not stopping.wait(0.2):
        for child in children:
            if not child.alive():
                raise CannotStart(f"{child.name} has ended; the end of {child.log}:\n{child.log_tail()}")
        if not emulator.alive():
            raise CannotStart(f"The AWS emulator has ended; see {emulator.log_path}.")
