"""The command line of the sandbox: `python -m sandbox --help`."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from threading import Event

    from sandbox.client import SandboxClient

STATE = Path("var/sandbox")
_url = click.option(
    "--url", envvar="SANDBOX_URL", help="Address of the sandbox; default: the one that runs here."
)
_aws_endpoint = click.option(
    "--aws-endpoint", envvar="AWS_ENDPOINT_URL", required=True, help="Address of the AWS emulator."
)

_region = click.option("--region", default="us-east-1", show_default=True, envvar="AWS_REGION")
_account = click.option(
    "--account", default="test", show_default=True, envvar="AWS_ACCESS_KEY_ID", help="Account of AWS."
)


@click.group()
def main() -> None:
    """Stand-ins for the outside systems, with faults on demand."""


@main.command()
@click.option(
    "--port", default=8090, show_default=True, type=click.IntRange(0, 65535), help="0: any free port."
)
@click.option("--state", default=STATE, show_default=True, type=click.Path(path_type=Path, file_okay=False))
@_aws_endpoint
@_region
@_account
def serve(port: int, state: Path, aws_endpoint: str, region: str, account: str) -> None:
    """Serve the stand-ins and the mailbox on 127.0.0.1."""
    from gevent import monkey

    monkey.patch_all()

    from sandbox import server, users

    try:
        publish = users.open_topics(aws_endpoint, region, account)
        server.serve(port, state, aws_endpoint, publish, lambda: datetime.now(UTC))
    except server.CannotServe as error:
        raise click.ClickException(str(error)) from error


@main.command()
@click.argument("system")
@click.argument("kind")
@click.option("--times", type=int, help="How many calls it hits; default: all until cleared.")
@click.option("--probability", type=float, help="Share of calls that it hits, 0 to 1.")
@click.option("--seconds", type=float, help="How late a slow answer comes.")
@_url
def fault(
    system: str,
    kind: str,
    times: int | None,
    probability: float | None,
    seconds: float | None,
    url: str | None,
) -> None:
    """Let SYSTEM fail: KIND is down, slow, 500, garbage, lost-answer, or clear to end it."""
    from sandbox.client import SandboxSaysNo

    client = _client(url)
    try:
        if kind == "clear":
            client.clear_fault(system)
            click.echo(f"{system}: no fault")
        else:
            standing = client.put_fault(system, kind, times=times, probability=probability, seconds=seconds)
            click.echo(_fault_line(system, standing))
    except SandboxSaysNo as error:
        raise click.ClickException(str(error)) from error


@main.command()
@_url
def faults(url: str | None) -> None:
    """List the faults that stand."""
    from sandbox.client import SandboxSaysNo

    try:
        standing = _client(url).faults()
    except SandboxSaysNo as error:
        raise click.ClickException(str(error)) from error
    for system, each in sorted(standing.items()):
        click.echo(_fault_line(system, each))
    if not standing:
        click.echo("no faults")


@main.command()
@click.argument("system", required=False)
@click.option("--order", help="Only the effects of this order.")
@_url
def ledger(system: str | None, order: str | None, url: str | None) -> None:
    """Print what SYSTEM did, or without SYSTEM a summary (with --order: what all of them did for it)."""
    from sandbox.client import SandboxSaysNo

    client = _client(url)
    try:
        if system is None and order is None:
            _print_summary(client)
            return
        for each in [system] if system else sorted(client.summary()):
            _print_effects(client, each, order)
    except SandboxSaysNo as error:
        raise click.ClickException(str(error)) from error


@main.command()
@_aws_endpoint
@click.option(
    "--every", default=5.0, show_default=True, type=click.FloatRange(0.01), help="Seconds between orders."
)
@click.option("--bucket", default="orders-in", show_default=True)
@_region
@_account
def traffic(aws_endpoint: str, every: float, bucket: str, region: str, account: str) -> None:
    """Put a gentle stream of synthetic orders into the bucket until stopped."""
    from sandbox import traffic as stream

    stream.run(
        stream.open_bucket(aws_endpoint, bucket, region, account),
        clock=lambda: datetime.now(UTC),
        every=every,
        stopping=_until_told(),
        say=click.echo,
    )


@main.command()
@click.option("--portal", default="http://127.0.0.1:8000", show_default=True, help="Address of the portal.")
@click.option("--api-key", envvar="PORTAL_DEMO_API_KEY", required=True, help="Key of an API client.")
@click.option(
    "--every",
    default=5.0,
    show_default=True,
    type=click.FloatRange(0.01),
    help="Seconds between invitations.",
)
@_url
def friends(portal: str, api_key: str, every: float, url: str | None) -> None:
    """Let users invite friends, who sign up, are verified and spend, until stopped."""
    import random

    from sandbox import friends as stream

    stream.run(
        stream.invite_at(portal, api_key),
        _client(url),
        prefix=f"{datetime.now(UTC):%y%m%d-%H%M%S}-",
        every=every,
        random=random.Random(),
        stopping=_until_told(),
        say=click.echo,
    )


@main.group()
def user() -> None:
    """Let something happen to a user, which the user service publishes."""


@user.command("sign-up")
@click.argument("email")
@click.option("--token", help="Token of the link that the user came by.")
@click.option("--user-id", type=click.IntRange(1), help="Default: the next free one.")
@click.option("--ip", help="Where the user came from.")
@click.option("--device", help="Fingerprint of the user's device.")
@_url
def sign_up(email: str, url: str | None, **more: str | int | None) -> None:
    """Sign a user up by EMAIL, and print the user's id."""
    from sandbox.client import SandboxSaysNo

    given = {name: value for name, value in more.items() if value is not None}
    try:
        click.echo(_client(url).sign_up(email, **given))
    except SandboxSaysNo as error:
        raise click.ClickException(str(error)) from error


@user.command()
@click.argument("user_id", type=click.IntRange(1))
@_url
def verify(user_id: int, url: str | None) -> None:
    """Verify the identity of the user with USER_ID."""
    from sandbox.client import SandboxSaysNo

    try:
        _client(url).verify(user_id)
    except SandboxSaysNo as error:
        raise click.ClickException(str(error)) from error


@user.command()
@click.argument("user_id", type=click.IntRange(1))
@click.argument("amount")
@click.option("--currency", default="USD", show_default=True)
@_url
def spend(user_id: int, amount: str, currency: str, url: str | None) -> None:
    """Set what the user with USER_ID has spent in all to AMOUNT."""
    from sandbox.client import SandboxSaysNo

    try:
        _client(url).spend(user_id, amount, currency)
    except SandboxSaysNo as error:
        raise click.ClickException(str(error)) from error


@main.command()
@click.option(
    "--home", default=Path("var"), show_default=True, type=click.Path(path_type=Path, file_okay=False)
)
def up(home: Path) -> None:
    """Start the whole of Waybill on this machine: portal, jobs, stand-ins, AWS emulator, traffic."""
    import os

    from sandbox.up import CannotStart
    from sandbox.up import up as start

    try:
        start(home.resolve(), os.environ, click.echo)
    except CannotStart as error:
        raise click.ClickException(str(error)) from error


def _until_told() -> Event:
    """Return what is set when the process is told to end."""
    import signal
    import threading

    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    return stopping


def _client(url: str | None) -> SandboxClient:
    from sandbox.client import SandboxClient

    written = STATE.with_name(f"{STATE.name}.url")
    if url is None and written.exists():
        url = written.read_text().strip()
    if not url:
        raise click.ClickException(
            f"No sandbox runs here ({written} is missing): name one by --url or SANDBOX_URL."
        )
    return SandboxClient(url)


def _fault_line(system: str, fault: dict[str, object]) -> str:
    details = [
        f"{name} {fault[name]}" for name in ("times", "probability", "seconds") if fault[name] is not None
    ]
    return ", ".join([f"{system}: {fault['kind']}", *details])


def _print_summary(client: SandboxClient) -> None:
    click.echo(f"{'system':<14} {'effects':>8} {'orders':>8} {'duplicates':>11}")
    for system, count in sorted(client.summary().items()):
        click.echo(f"{system:<14} {count['effects']:>8} {count['orders']:>8} {count['duplicates']:>11}")


def _print_effects(client: SandboxClient, system: str, order: str | None) -> None:
    after = 0
    while page := client.effects(system, order=order, after=after):
        for effect in page:
            click.echo(
                f"{effect['at']}  {system:<13}  {effect['kind']:<10}  {effect['order_number'] or '-'}"
                f"  {effect['external_id']}  {effect['key'] or '-'}"
            )
        after = page[-1]["id"]


if __name__ == "__main__":
    main()
