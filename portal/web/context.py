"""What a view works with: the runtime, who is asking, and sessions that show what they have written."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar, cast

from flask import current_app, g
from sqlalchemy.orm import Session
from werkzeug.exceptions import Unauthorized

from portal.access import queries, service
from portal.access.queries import KnownClient, LoggedIn
from portal.events import Actor
from portal.runtime import Runtime

T = TypeVar("T")


def runtime() -> Runtime:
    """Return the runtime of this application."""
    return cast(Runtime, current_app.extensions["waybill"])


def current_person() -> LoggedIn:
    """Return who is logged in; raises Unauthorized when nobody is."""
    person = found_person()
    if person is None:
        raise Unauthorized
    return person


def found_person() -> LoggedIn | None:
    """Return who is logged in, or None."""
    return cast(LoggedIn | None, g.get("person"))


def current_client() -> KnownClient:
    """Return the client of the API that is asking; raises Unauthorized when there is none."""
    client = cast(KnownClient | None, g.get("client"))
    if client is None:
        raise Unauthorized
    return client


def actor() -> Actor:
    """Return who is asking as the one who does things: the person, or the client of the API."""
    if "client" in g:
        return Actor("client", current_client().name)
    return Actor("person", current_person().login)


@contextmanager
def newest() -> Iterator[Session]:
    """Give a session for reading that lags behind nothing."""
    with runtime().newest() as session:
        yield session


@contextmanager
def reading() -> Iterator[Session]:
    """Give a session on the reader, or on the writer while the reader lacks what this person has written."""
    if not runtime().database.has_reader:
        with runtime().reader() as session:
            yield session
        return
    with runtime().reader() as session:
        caught_up = _has_caught_up(session)
        if caught_up:
            yield session
    if not caught_up:
        with runtime().writer() as session:
            yield session


@contextmanager
def writing() -> Iterator[Session]:
    """Give a session in a writer transaction, committed at the end.

    It counts the write in the login session first, for `reading`; that is also the fence: who was logged
    out, disabled or given another password meanwhile writes nothing. Within it, call no outside system.
    """
    with runtime().writer() as session:
        _count_write(session)
        yield session


def write(act: Callable[[Session], T]) -> T:
    """Act as within `writing`, from the start again when the transaction lost a race (`Runtime.transact`)."""

    def counted(session: Session) -> T:
        _count_write(session)
        return act(session)

    return runtime().transact(counted)


def _count_write(session: Session) -> None:
    if not service.count_write(session, current_person().session_id):
        raise Unauthorized


def _has_caught_up(session: Session) -> bool:
    person = found_person()
    return person is None or queries.writes_of_session(session, person.session_id) == person.writes
