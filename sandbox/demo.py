"""The demo people of the embedded portal, and the API client that is given its key."""

from __future__ import annotations

import hashlib
from datetime import datetime
from enum import Enum

from argon2 import PasswordHasher
from argon2.exceptions import VerificationError
from sqlalchemy import select
from sqlalchemy.orm import Session

from portal.access import service
from portal.access.models import ApiClient, Person, Role
from portal.db import Database
from portal.events import Actor
from portal.settings import Settings

_ACTOR = Actor("system", "sandbox")
_CLIENT = "demo"


class DemoPerson(Enum):
    """A login, a name and a role; two support people, since two may push the same order."""

    EXECUTIVE = ("executive", "Elena Executive", Role.EXECUTIVE)
    SUPPORT = ("support", "Sam Support", Role.SUPPORT)
    SUPPORT_TWO = ("support2", "Sofia Support", Role.SUPPORT)
    ADMIN = ("admin", "Ada Admin", Role.ADMIN)

    def __init__(self, login: str, title: str, role: Role) -> None:
        self.login = login
        self.title = title
        self.role = role


def make_demo_people(settings: Settings, password: str, api_key: str, now: datetime) -> None:
    """Make the people and the client who are missing, and let password and key be these."""
    database = Database(settings.database_writer_url, settings.database_writer_url)
    try:
        with database.writer() as session:
            _make_people(session, password, now)
            _make_client(session, api_key, now)
    finally:
        database.dispose()


def _make_people(session: Session, password: str, now: datetime) -> None:
    hasher = PasswordHasher()
    known = {person.login: person for person in session.scalars(select(Person))}
    # One hash tells for all: they are only ever given their password here, together.
    first = known.get(DemoPerson.EXECUTIVE.login)
    same = first is not None and _matches(hasher, first.password_hash, password)
    for one in DemoPerson:
        if one.login not in known:
            service.create_person(
                session,
                login=one.login,
                name=one.title,
                role=one.role,
                password_hash=hasher.hash(password),
                actor=_ACTOR,
                now=now,
            )
        elif not same:
            service.set_password(session, one.login, hasher.hash(password), actor=_ACTOR, now=now)


def _make_client(session: Session, api_key: str, now: datetime) -> None:
    key_hash = hashlib.sha256(api_key.encode()).hexdigest()
    client = session.scalar(select(ApiClient).where(ApiClient.name == _CLIENT))
    if client is None:
        service.create_api_client(session, name=_CLIENT, key_hash=key_hash, actor=_ACTOR, now=now)
    else:
        client.key_hash = key_hash


def _matches(hasher: PasswordHasher, stored: str, password: str) -> bool:
    try:
        return hasher.verify(stored, password)
    except VerificationError:
        return False
