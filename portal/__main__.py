"""The portal's command line: `python -m portal --help`."""

from __future__ import annotations

import getpass
import json
import os
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import click
from sqlalchemy.exc import DBAPIError

from portal.access.models import Role
from portal.errors import InvalidInput, WaybillError
from portal.events import Actor
from portal.settings import BadSettings, Settings, load_settings, settings_table

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from portal.runtime import Runtime

DOCUMENTS = (".xml", ".json")

_login = click.option("--login", required=True, help="What the person logs in with.")
_password_stdin = click.option(
    "--password-stdin", is_flag=True, help="Read the password from the first line of stdin; else it is asked."
)


class Shell(click.Group):
    """Commands whose errors are one line for a person, not a trace."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except WaybillError as error:
            raise click.ClickException(error.reason) from error
        except DBAPIError as error:
            raise click.ClickException(f"The database did not do as asked: {error.orig}") from error


@click.group(cls=Shell)
def main() -> None:
    """Look after the portal from the shell."""


@main.command()
def migrate() -> None:
    """Bring the database to the newest schema."""
    from portal.db import migrate as migrate_database

    migrate_database(_settings().database_writer_url)


@main.command("settings")
def list_settings() -> None:
    """List every setting with its default, as a table in Markdown."""
    click.echo(settings_table(), nl=False)


@main.command("create-person")
@_login
@click.option("--name", required=True, help="The person's name, as others see it.")
@click.option("--role", required=True, type=click.Choice([role.value for role in Role]))
@_password_stdin
def create_person(login: str, name: str, role: str, password_stdin: bool) -> None:
    """Create a person who may log in."""
    from portal.access import service

    runtime = _runtime()
    hashed = _new_password_hash(login, password_stdin)
    runtime.transact(
        lambda session: service.create_person(
            session,
            login=login,
            name=name,
            role=Role(role),
            password_hash=hashed,
            actor=_operator(),
            now=runtime.clock(),
        ),
    )
    click.echo(f"{service.normal_login(login)} may log in.")


@main.command("disable-person")
@_login
def disable_person(login: str) -> None:
    """Let a person no longer log in, and end their sessions."""
    from portal.access import service

    runtime = _runtime()
    runtime.transact(lambda s: service.disable_person(s, login, actor=_operator(), now=runtime.clock()))
    click.echo(f"{login} may no longer log in; all their sessions have ended.")


@main.command("set-password")
@_login
@_password_stdin
def set_password(login: str, password_stdin: bool) -> None:
    """Give a person another password, and end their sessions."""
    from portal.access import service

    runtime = _runtime()
    hashed = _new_password_hash(login, password_stdin)
    runtime.transact(lambda s: service.set_password(s, login, hashed, actor=_operator(), now=runtime.clock()))
    click.echo(f"{login} has a new password; all their sessions have ended.")


@main.command("create-api-client")
@click.argument("name")
@click.option(
    "--may-administer", is_flag=True, help="Let it change schemes, rewards and conditions of referrals."
)
def create_api_client(name: str, may_administer: bool) -> None:
    """Create a client of the API, and print its key, which is shown this once."""
    from portal.access import service
    from portal.crypto import new_token, token_hash

    runtime, key = _runtime(), new_token()
    runtime.transact(
        lambda session: service.create_api_client(
            session,
            name=name,
            key_hash=token_hash(key),
            may_administer=may_administer,
            actor=_operator(),
            now=runtime.clock(),
        ),
    )
    click.echo(f"The key of {name} is below. It is not kept: write it down now.", err=True)
    click.echo(key)


@main.command("disable-api-client")
@click.argument("name")
def disable_api_client(name: str) -> None:
    """Let a client's key open nothing any more."""
    from portal.access import service

    runtime = _runtime()
    runtime.transact(lambda s: service.disable_api_client(s, name, actor=_operator(), now=runtime.clock()))
    click.echo(f"The key of {name} no longer opens anything.")


@main.command("verify-audit")
def verify_audit() -> None:
    """Check that nobody has altered the log of what people did; exit 1 when somebody has."""
    from portal.events import first_broken_link

    with _runtime().writer() as session:
        broken = first_broken_link(session)
    if broken is not None:
        raise click.ClickException(f"The audit trail is broken at entry {broken}.")
    click.echo("The audit trail is whole.")


_address = click.option("--address", help="A mail address of the person.")
_user_id = click.option("--user-id", type=click.IntRange(min=1), help="The person's user id.")


@main.command("export-person")
@_address
@_user_id
def export_person(address: str | None, user_id: int | None) -> None:
    """Print as JSON all that referrals hold on a person."""
    from portal.referrals import privacy

    _require_one(address, user_id)
    runtime = _runtime()

    def export(session: Session) -> dict[str, object]:
        person = privacy.find_person(session, runtime.cipher, address=address, user_id=user_id)
        return privacy.export_person(
            session, person, cipher=runtime.cipher, actor=_operator(), now=runtime.clock()
        )

    click.echo(json.dumps(runtime.transact(export), indent=2, ensure_ascii=False))


@main.command("erase-person")
@_address
@_user_id
def erase_person(address: str | None, user_id: int | None) -> None:
    """Erase addresses and links of a person from referrals; docs/privacy.md says what stays, and why."""
    from portal.orders import waiting
    from portal.referrals import privacy
    from portal.referrals.mentions import Mentions

    _require_one(address, user_id)
    runtime = _runtime()
    queues, now = runtime.settings.personal_queues, runtime.clock()

    def erase(session: Session) -> tuple[int, int]:
        person = privacy.find_person(session, runtime.cipher, address=address, user_id=user_id)
        mentions = Mentions.of(session, person, runtime.cipher)
        erased = privacy.erase_person(session, person, actor=_operator(), now=now)
        deleted = waiting.erase_waiting(
            session, queues, mentions.are_in, cipher=runtime.cipher, actor=_operator(), now=now
        )
        return erased, deleted

    erased, deleted = runtime.transact(erase)
    click.echo(
        f"Addresses and links of {erased} invitations were erased, and {deleted} waiting messages deleted."
        " Orders are not part of this."
    )


def _require_one(address: str | None, user_id: int | None) -> None:
    if (address is None) == (user_id is None):
        raise click.UsageError("Give either --address or --user-id.")


@main.command("import-orders")
@click.argument(
    "paths", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path), metavar="PATH…"
)
def import_orders(paths: tuple[Path, ...]) -> None:
    """Take in order documents: files, and all *.xml and *.json in folders; exit 1 when one was refused."""
    runtime = _runtime()
    outcomes: Counter[str] = Counter()
    complaints: list[str] = []
    with click.progressbar(list(_documents(paths)), label="Importing", file=sys.stderr) as files:
        for file in files:
            outcome, complaint = _import(runtime, file)
            outcomes[outcome] += 1
            if complaint:
                complaints.append(f"{outcome}: {file}: {complaint}")
    click.echo(
        ", ".join(f"{outcomes[outcome]} {outcome}" for outcome in ("new", "known", "conflicting", "refused"))
    )
    for line in complaints:
        click.echo(line, err=True)
    if complaints:
        sys.exit(1)


@main.command("adopt-referrals")
@click.option("--check", is_flag=True, help="Only say what differs and what would be added.")
@click.option(
    "--currency",
    default="USD",
    show_default=True,
    help="Currency of the rewards of schemes whose conditions name none.",
)
@click.option(
    "--event-type",
    "event_types",
    multiple=True,
    metavar="WORD=MEANING",
    help="What an event type of the old service means, such as kyc=verification; for each of them.",
)
def adopt_referrals(check: bool, currency: str, event_types: tuple[str, ...]) -> None:
    """Take over a database of the old service; its rows stay as they are; exit 1 when it cannot be."""
    from portal.db import migrate as migrate_database
    from portal.db import patient_writer
    from portal.referrals.adoption import conditions as adopted_conditions
    from portal.referrals.adoption import rows as adoption

    if not (len(currency) == 3 and currency.isascii() and currency.isalpha()):
        raise click.BadParameter("A currency has three letters.", param_hint="--currency")
    meanings = adopted_conditions.read_meanings(event_types)
    runtime = _runtime()
    url = runtime.settings.database_writer_url
    with patient_writer(url) as session:
        survey = adoption.survey(session, meanings)
    for difference in survey.differences:
        click.echo(f"{difference.weight}: {difference.said}")
    if not survey.is_possible:
        raise click.ClickException("The database cannot be adopted as it is. Nothing was changed.")
    click.echo(f"{survey.schemes} schemes and {survey.referrals} referrals have no rows of Waybill's yet.")
    click.echo(
        f"adds: {survey.schemes} rows each of referral_scheme_version and referral_scheme_budget,"
        f" {survey.active} of active_referral_scheme, {survey.referrals} of referral_progress,"
        f" {survey.met} of condition_evidence; one of referrer_usage for each referrer under a scheme with"
        " converted referrals; one each of event and audit_entry for each scheme and each meaning."
    )
    if check:
        click.echo("Nothing was changed.")
        return
    with patient_writer(url) as session:
        adoption.add_missing(session, survey.differences)
    migrate_database(url)
    _adopt_rows(runtime, survey.referrals, currency.upper(), meanings)


def _adopt_rows(runtime: Runtime, expected: int, currency: str, meanings: Mapping[str, str]) -> None:
    from portal.referrals.adoption import rows as adoption

    schemes = runtime.transact(
        lambda session: adoption.adopt_schemes(
            session, currency=currency, meanings=meanings, actor=_operator(), now=runtime.clock()
        ),
    )
    statuses: Counter[str] = Counter()
    last: int | None = 0
    with click.progressbar(length=expected, label="Adopting", file=sys.stderr) as bar:
        while last is not None:
            until = runtime.clock()
            batch = runtime.transact(partial(adoption.adopt_referrals, after=last, until=until))
            statuses += batch.statuses
            bar.update(batch.statuses.total())
            last = batch.last_id
            runtime.reached("adoption.batch-committed")
    told = ", ".join(f"{number} {status}" for status, number in sorted(statuses.items()))
    click.echo(
        f"{schemes} schemes and {statuses.total()} referrals were adopted{f': {told}' if told else ''}."
    )


@main.command("import-users")
@click.argument("source", type=click.File("rb"), default="-", metavar="[FILE]")
def import_users(source: IO[bytes]) -> None:
    """Take in users who signed up before, so that nobody invites them, from FILE or stdin.

    Each line is JSON such as {"user_id": 41, "address": "ana@example.com", "signed_up_at":
    "2024-05-01T12:00:00Z"}; the time may be left out. May be repeated: who is known stays as they are.
    """
    from portal.referrals.adoption import user_import

    runtime = _runtime()
    users = news = 0
    for batch in user_import.read_batches(source):
        add = partial(user_import.add_users, users=batch, cipher=runtime.cipher, actor=_operator())
        news += runtime.transact(partial(add, now=runtime.clock()))
        users += len(batch)
    click.echo(f"{users} lines were taken in: {news} users were news.")


def _import(runtime: Runtime, file: Path) -> tuple[str, str | None]:
    """Take one file in; return what became of it, and why when it was not taken."""
    from portal.orders import intake

    try:
        limit = runtime.settings.max_document_bytes
        with file.open("rb") as opened:
            body = opened.read(limit + 1)
        receipt = intake.take_in(runtime, body, source="import", actor=_operator())
    except InvalidInput as refused:
        return "refused", "; ".join(dict.fromkeys([refused.reason, *(e.reason for e in refused.errors)]))
    except OSError as unreadable:
        return "refused", unreadable.strerror or str(unreadable)
    if receipt.outcome == "conflict":
        return "conflicting", f"order {receipt.number} is known with other content; nothing was changed"
    return receipt.outcome, None


def _documents(paths: tuple[Path, ...]) -> Iterator[Path]:
    for path in paths:
        if path.is_dir():
            yield from sorted(file for file in path.rglob("*") if file.suffix.lower() in DOCUMENTS)
        else:
            yield path


def _settings() -> Settings:
    try:
        return load_settings(os.environ)
    except BadSettings as error:
        click.echo(f"The settings cannot be used:\n{error}", err=True)
        sys.exit(2)


def _runtime() -> Runtime:
    from portal.logs import configure_logs
    from portal.runtime import build_runtime

    settings = _settings()
    configure_logs(settings.log_level)
    return build_runtime(settings)


def _new_password_hash(login: str, from_stdin: bool) -> str:
    from portal.access.passwords import Passwords, check_new_password
    from portal.access.service import normal_login

    if from_stdin:
        password = sys.stdin.readline().rstrip("\r\n")
    else:
        password = click.prompt("Password", hide_input=True, confirmation_prompt=True)
    check_new_password(password, normal_login(login))
    return Passwords().hash(password)


def _operator() -> Actor:
    return Actor("person", f"shell:{getpass.getuser()}")


if __name__ == "__main__":
    main(prog_name="python -m portal")
