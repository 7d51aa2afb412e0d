"""What is asked about people, their sessions and the clients of the API."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from portal.access.models import ApiClient, LoginSession, Person, Role


@dataclass(frozen=True, slots=True)
class LoggedIn:
    """A person within a login session; `writes` counts what was written in it."""

    id: int
    login: str
    name: str
    role: Role
    session_id: str
    writes: int

    @property
    def is_authenticated(self) -> bool:
        """Tell templates that somebody is logged in."""
        return True

    @property
    def is_administrator(self) -> bool:
        """Tell whether this person may do what administrators do."""
        return self.role == Role.ADMIN

    @property
    def is_support(self) -> bool:
        """Tell whether this person may do what support staff does."""
        return self.role in (Role.SUPPORT, Role.ADMIN)


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a login is checked against."""

    person_id: int
    login: str
    password_hash: str
    active: bool


@dataclass(frozen=True, slots=True)
class KnownClient:
    """A client of the API whose key was shown."""

    id: int
    name: str
    may_administer: bool = False


def find_session(session: Session, session_id: str, now: datetime) -> LoggedIn | None:
    """Return who is logged in by a session that is alive; on a replica a dead one may still live."""
    row = session.get(LoginSession, session_id)
    if row is None or row.expires_at <= now or not row.person.active:
        return None
    person = row.person
    return LoggedIn(person.id, person.login, person.name, Role(person.role), row.id, row.writes)


def writes_of_session(session: Session, session_id: str) -> int | None:
    """Return how much was written in a login session, as far as this database knows."""
    return session.scalar(select(LoginSession.writes).where(LoginSession.id == session_id))


def find_credentials(session: Session, login: str) -> Credentials | None:
    """Return what the login of an account is checked against, or None when there is no such account."""
    row = session.scalar(select(Person).where(Person.login == login))
    return Credentials(row.id, row.login, row.password_hash, row.active) if row else None


def find_client(session: Session, key_hash: str) -> KnownClient | None:
    """Return the active client of the API that has this key, or None."""
    row = session.scalar(select(ApiClient).where(ApiClient.key_hash == key_hash, ApiClient.active))
    return KnownClient(row.id, row.name, row.may_administer) if row else None


def client_id_of(session: Session, name: str) -> int:
    """Return the id of the client of the API with this name, which one has."""
    return session.scalars(select(ApiClient.id).where(ApiClient.name == name)).one()
