"""People, their sessions and API clients change in one transaction with what is recorded about it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select

from portal.access import queries, service
from portal.access.models import LoginSession, Role
from portal.access.queries import Credentials
from portal.access.service import NewSession
from portal.db import Database
from portal.errors import Conflict, InvalidInput, NotFound
from portal.events import Actor, Event, first_broken_link

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
SHELL = Actor("person", "shell:operator")
ADA = Actor("person", "ada")


@pytest.fixture
def ada(database: Database) -> Credentials:
    with database.writer() as session:
        service.create_person(
            session, login="Ada", name="Ada A", role=Role.SUPPORT, password_hash="old", actor=SHELL, now=NOW
        )
        found = queries.find_credentials(session, "ada")
    assert found
    return found


def log_in(
    database: Database, person: Credentials, session_id: str = "1" * 64, replaces: str | None = None
) -> bool:
    begun = NewSession(session_id, NOW + timedelta(hours=1), replaces)
    with database.writer() as session:
        return service.log_in(session, person, begun, now=NOW)


def alive(database: Database, session_id: str = "1" * 64, at: datetime = NOW) -> bool:
    with database.writer() as session:
        return queries.find_session(session, session_id, at) is not None


def kinds(database: Database) -> Sequence[str]:
    with database.writer() as session:
        assert first_broken_link(session) is None
        return session.scalars(select(Event.kind).order_by(Event.id)).all()


def test_a_session_lives_until_it_expires(database: Database, ada: Credentials) -> None:
    assert log_in(database, ada)
    assert alive(database, at=NOW + timedelta(minutes=59))
    assert not alive(database, at=NOW + timedelta(hours=1))


def test_who_logs_in_is_known_with_name_and_role(database: Database, ada: Credentials) -> None:
    log_in(database, ada)
    with database.writer() as session:
        found = queries.find_session(session, "1" * 64, NOW)
    assert found is not None
    assert (found.login, found.name, found.role, found.writes) == ("ada", "Ada A", Role.SUPPORT, 0)


def test_a_login_replaces_the_session_of_its_browser(database: Database, ada: Credentials) -> None:
    log_in(database, ada)
    log_in(database, ada, "2" * 64, replaces="1" * 64)
    assert not alive(database)
    assert alive(database, "2" * 64)


def test_a_login_removes_the_persons_expired_sessions(database: Database, ada: Credentials) -> None:
    log_in(database, ada)
    later = NewSession("2" * 64, NOW + timedelta(hours=3))
    with database.writer() as session:
        service.log_in(session, ada, later, now=NOW + timedelta(hours=2))
        assert session.scalars(select(LoginSession.id)).all() == ["2" * 64]


def test_a_person_who_was_disabled_meanwhile_is_not_logged_in(database: Database, ada: Credentials) -> None:
    with database.writer() as session:
        service.disable_person(session, "ada", actor=SHELL, now=NOW)
    assert not log_in(database, ada)
    assert not alive(database)


def test_a_password_that_was_replaced_meanwhile_logs_nobody_in(database: Database, ada: Credentials) -> None:
    with database.writer() as session:
        service.set_password(session, "ada", "new", actor=SHELL, now=NOW)
    assert not log_in(database, ada)


def test_logout_ends_the_session_once(database: Database, ada: Credentials) -> None:
    log_in(database, ada)
    for _ in range(2):
        with database.writer() as session:
            service.log_out(session, "1" * 64, ada.person_id, actor=ADA, now=NOW)
    assert not alive(database)
    assert kinds(database) == ["person.created", "person.logged-in", "person.logged-out"]


@pytest.mark.parametrize("kind", ["disabled", "password-set", "password-changed"])
def test_all_sessions_end_when_a_person_is_disabled_or_gets_another_password(
    database: Database, ada: Credentials, kind: str
) -> None:
    log_in(database, ada)
    log_in(database, ada, "2" * 64)
    with database.writer() as session:
        if kind == "disabled":
            service.disable_person(session, "ADA ", actor=SHELL, now=NOW)
        elif kind == "password-set":
            service.set_password(session, "ADA ", "new", actor=SHELL, now=NOW)
        else:
            begun = NewSession("3" * 64, NOW + timedelta(hours=1))
            service.change_password(session, ada, "new", begun, actor=ADA, now=NOW)
    with database.writer() as session:
        left = session.scalars(select(LoginSession.id)).all()
    assert left == (["3" * 64] if kind == "password-changed" else [])
    assert kinds(database)[-1] == f"person.{kind}"


def test_a_password_that_was_changed_meanwhile_is_not_changed_again(
    database: Database, ada: Credentials
) -> None:
    with database.writer() as session:
        service.set_password(session, "ada", "newer", actor=SHELL, now=NOW)
    begun = NewSession("3" * 64, NOW + timedelta(hours=1))
    with database.writer() as session, pytest.raises(Conflict):
        service.change_password(session, ada, "new", begun, actor=ADA, now=NOW)


def test_a_write_is_counted_while_its_session_lives(database: Database, ada: Credentials) -> None:
    log_in(database, ada)
    with database.writer() as session:
        assert service.count_write(session, "1" * 64)
    with database.writer() as session:
        assert queries.writes_of_session(session, "1" * 64) == 1
        service.log_out(session, "1" * 64, ada.person_id, actor=ADA, now=NOW)
        assert not service.count_write(session, "1" * 64)


def test_a_failed_login_is_recorded_without_what_was_typed(database: Database, ada: Credentials) -> None:
    with database.writer() as session:
        service.record_failed_login(session, ada, now=NOW)
        service.record_failed_login(session, None, now=NOW)
        events = session.scalars(select(Event).where(Event.kind == "person.login-failed")).all()
        told = [(event.actor, event.subject_id, event.data) for event in events]
    assert told == [("ada", ada.person_id, {}), ("(unknown)", 0, {})]


def test_a_login_is_taken_once_however_it_is_typed(database: Database, ada: Credentials) -> None:
    with database.writer() as session, pytest.raises(Conflict):
        service.create_person(
            session, login=" ADA", name="Other", role=Role.ADMIN, password_hash="x", actor=SHELL, now=NOW
        )


@pytest.mark.parametrize("login", ["", "-ada", "a b", "(unknown)", "jösé", "a" * 255, "shell:operator"])
def test_a_login_that_could_be_mistaken_is_refused(database: Database, login: str) -> None:
    with database.writer() as session, pytest.raises(InvalidInput) as refused:
        service.create_person(
            session, login=login, name="Ada", role=Role.ADMIN, password_hash="x", actor=SHELL, now=NOW
        )
    assert refused.value.field == "login"


def test_nobody_is_disabled_who_is_not_there(database: Database) -> None:
    with database.writer() as session, pytest.raises(NotFound):
        service.disable_person(session, "nobody", actor=SHELL, now=NOW)


def test_a_client_is_found_by_its_key_until_it_is_disabled(database: Database) -> None:
    with database.writer() as session:
        service.create_api_client(session, name="shop", key_hash="k" * 64, actor=SHELL, now=NOW)
    with database.writer() as session:
        found = queries.find_client(session, "k" * 64)
        assert found is not None
        assert found.name == "shop"
        service.disable_api_client(session, "shop", actor=SHELL, now=NOW)
        assert queries.find_client(session, "k" * 64) is None


def test_a_clients_name_is_taken_once(database: Database) -> None:
    with database.writer() as session:
        service.create_api_client(session, name="shop", key_hash="k" * 64, actor=SHELL, now=NOW)
        with pytest.raises(Conflict):
            service.create_api_client(session, name="shop", key_hash="l" * 64, actor=SHELL, now=NOW)
