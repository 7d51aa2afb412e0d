"""What changes people, their sessions and the clients of the API."""

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import CursorResult, Executable, delete, select, update
from sqlalchemy.orm import Session

from portal import events
from portal.access.models import ApiClient, LoginSession, Person, Role
from portal.access.queries import Credentials
from portal.errors import Conflict, InvalidInput, NotFound
from portal.events import Actor, NewEvent

_LOGIN = re.compile(r"[a-z0-9][a-z0-9._@+-]{0,253}")
# No account can have this name: see _LOGIN.
SOMEBODY = Actor("person", "(unknown)")


@dataclass(frozen=True, slots=True)
class NewSession:
    """A session to begin: `id` is the hash of its token; `replaces` the one that its browser had before."""

    id: str
    expires_at: datetime
    replaces: str | None = None


def normal_login(login: str) -> str:
    """Return the one form of a login, however it was typed."""
    return login.strip().lower()


def log_in(session: Session, checked: Credentials, begun: NewSession, *, now: datetime) -> bool:
    """Begin a session for credentials that were checked; False when they have changed since.

    The password is checked outside of any transaction: meanwhile the person may have been disabled.
    """
    person = session.scalar(
        select(Person)
        .where(Person.id == checked.person_id, Person.active, Person.password_hash == checked.password_hash)
        .with_for_update()
    )
    if person is None:
        return False
    dead = (LoginSession.person_id == person.id) & (LoginSession.expires_at <= now)
    session.execute(delete(LoginSession).where(dead | (LoginSession.id == (begun.replaces or ""))))
    _begin_session(session, person.id, begun, now)
    _record(session, person.id, "person.logged-in", Actor("person", person.login), now)
    return True


def record_failed_login(session: Session, person: Credentials | None, *, now: datetime) -> None:
    """Record that somebody failed to log in.

    What was typed as the login of no account may be a password: it is not kept.
    """
    actor = Actor("person", person.login) if person else SOMEBODY
    _record(session, person.person_id if person else 0, "person.login-failed", actor, now)


def replace_password_hash(session: Session, checked: Credentials, password_hash: str) -> None:
    """Keep the same password in a newer hash, unless it has changed meanwhile."""
    session.execute(
        update(Person)
        .where(Person.id == checked.person_id, Person.password_hash == checked.password_hash)
        .values(password_hash=password_hash)
    )


def log_out(session: Session, session_id: str, person_id: int, *, actor: Actor, now: datetime) -> None:
    """End a session; ended already, nothing happens."""
    if _changed(session, delete(LoginSession).where(LoginSession.id == session_id)):
        _record(session, person_id, "person.logged-out", actor, now)


def count_write(session: Session, session_id: str) -> bool:
    """Count a write in its login session, locking it; False when the session has ended."""
    counted = update(LoginSession).where(LoginSession.id == session_id).values(writes=LoginSession.writes + 1)
    return _changed(session, counted)


def change_password(
    session: Session,
    checked: Credentials,
    password_hash: str,
    begun: NewSession,
    *,
    actor: Actor,
    now: datetime,
) -> None:
    """Give a person a new password, end all their sessions, and begin the one that goes on.

    Raises Conflict when the password has changed since it was checked.
    """
    changed = (
        update(Person)
        .where(Person.id == checked.person_id, Person.active, Person.password_hash == checked.password_hash)
        .values(password_hash=password_hash)
    )
    if not _changed(session, changed):
        raise Conflict("The password has changed meanwhile. Log in again.")
    _end_sessions(session, checked.person_id)
    _begin_session(session, checked.person_id, begun, now)
    _record(session, checked.person_id, "person.password-changed", actor, now)


def create_person(
    session: Session,
    *,
    login: str,
    name: str,
    role: Role,
    password_hash: str,
    actor: Actor,
    now: datetime,
) -> int:
    """Create a person who may log in, and return the id.

    Raises InvalidInput for a login or name that cannot be one, Conflict when the login is taken.
    """
    login = normal_login(login)
    if not _LOGIN.fullmatch(login):
        raise InvalidInput(
            "A login has up to 254 letters a to z, digits and . _ @ + -, and begins with a letter or digit.",
            field="login",
        )
    if not (name.strip() and name.isprintable() and len(name) <= 100):
        raise InvalidInput("A name has 1 to 100 printable characters.", field="name")
    if session.scalar(select(Person.id).where(Person.login == login)) is not None:
        raise Conflict(f"There is a person with the login {login} already.", code="login-taken")
    person = Person(
        login=login,
        name=name.strip(),
        role=role,
        password_hash=password_hash,
        active=True,
        created_at=now,
    )
    session.add(person)
    session.flush()
    _record(session, person.id, "person.created", actor, now, {"role": role})
    return person.id


def set_password(session: Session, login: str, password_hash: str, *, actor: Actor, now: datetime) -> None:
    """Give a person another password and end all their sessions; raises NotFound."""
    person = _find_person(session, login)
    person.password_hash = password_hash
    _end_sessions(session, person.id)
    _record(session, person.id, "person.password-set", actor, now)


def disable_person(session: Session, login: str, *, actor: Actor, now: datetime) -> None:
    """Let a person no longer log in, and end all their sessions; raises NotFound."""
    person = _find_person(session, login)
    person.active = False
    _end_sessions(session, person.id)
    _record(session, person.id, "person.disabled", actor, now)


def create_api_client(
    session: Session,
    *,
    name: str,
    key_hash: str,
    actor: Actor,
    now: datetime,
    may_administer: bool = False,
) -> int:
    """Create a client of the API whose key has this hash, and return its id.

    Raises InvalidInput for a name that cannot be one, Conflict when it is taken.
    """
    if not (name.strip() and name.isprintable() and len(name) <= 100):
        raise InvalidInput("A name has 1 to 100 printable characters.", field="name")
    if session.scalar(select(ApiClient.id).where(ApiClient.name == name)) is not None:
        raise Conflict(f"There is an API client {name} already.", code="name-taken")
    client = ApiClient(
        name=name, key_hash=key_hash, active=True, created_at=now, may_administer=may_administer
    )
    session.add(client)
    session.flush()
    facts = {"may_administer": True} if may_administer else {}
    events.record(session, NewEvent("api-client", client.id, "api-client.created", actor, now, facts))
    return client.id


def disable_api_client(session: Session, name: str, *, actor: Actor, now: datetime) -> None:
    """Let a client's key open nothing any more; raises NotFound."""
    client = session.scalar(select(ApiClient).where(ApiClient.name == name))
    if client is None:
        raise NotFound(f"There is no API client {name}.")
    client.active = False
    events.record(session, NewEvent("api-client", client.id, "api-client.disabled", actor, now))


def _find_person(session: Session, login: str) -> Person:
    person = session.scalar(select(Person).where(Person.login == normal_login(login)).with_for_update())
    if person is None:
        raise NotFound(f"There is no person with the login {login}.")
    return person


def _begin_session(session: Session, person_id: int, begun: NewSession, now: datetime) -> None:
    session.add(
        LoginSession(id=begun.id, person_id=person_id, created_at=now, expires_at=begun.expires_at, writes=0)
    )
    session.flush()


def _end_sessions(session: Session, person_id: int) -> None:
    session.execute(delete(LoginSession).where(LoginSession.person_id == person_id))


def _changed(session: Session, statement: Executable) -> bool:
    result = session.execute(statement)
    return isinstance(result, CursorResult) and result.rowcount > 0


def _record(
    session: Session,
    person_id: int,
    kind: str,
    actor: Actor,
    now: datetime,
    data: dict[str, Any] | None = None,
) -> None:
    events.record(session, NewEvent("person", person_id, kind, actor, now, data or {}))
