"""The demo of the embedded portal: people, an API client that is given its key, and a referral scheme."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from decimal import Decimal
from enum import Enum

from argon2 import PasswordHasher
from argon2.exceptions import VerificationError
from sqlalchemy import select
from sqlalchemy.orm import Session

from portal.access import service
from portal.access.models import ApiClient, Person, Role
from portal.db import Database
from portal.events import Actor
from portal.referrals.models import ReferralScheme
from portal.referrals.progress.service import SIGN_UP, SPEND, VERIFICATION
from portal.referrals.schemes import catalogue
from portal.referrals.schemes import service as schemes
from portal.referrals.schemes.catalogue import NewCondition, NewReward
from portal.referrals.schemes.proposals import Ask, SchemeTerms
from portal.settings import Settings

_ACTOR = Actor("system", "sandbox")
_CLIENT = "demo"
_REWARDS = (
    ("Brought a friend", "For whoever brought a friend", "25.00"),
    ("Was brought", "For the friend", "10.00"),
)
_CONDITIONS = (("Signed up", SIGN_UP), ("Verified", VERIFICATION), ("Spent enough", SPEND))


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
    with _writer(settings) as session:
        _make_people(session, password, now)
        _make_client(session, api_key, now)


def make_demo_scheme(settings: Settings, now: datetime) -> None:
    """Make an active scheme where nobody has made one yet."""
    with _writer(settings) as session:
        if session.scalar(select(ReferralScheme.id).limit(1)) is None:
            _make_scheme(session, now)


@contextmanager
def _writer(settings: Settings) -> Iterator[Session]:
    database = Database(settings.database_writer_url, settings.database_writer_url)
    try:
        with database.writer() as session:
            yield session
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


def _make_scheme(session: Session, now: datetime) -> None:
    referrer, recruit = (
        catalogue.create_reward(session, NewReward(name, told, Decimal(amount)), actor=_ACTOR, now=now)
        for name, told, amount in _REWARDS
    )
    asks = [
        Ask(
            catalogue.create_condition(session, NewCondition(name, None, event_type), actor=_ACTOR, now=now),
            {"threshold": "100.00", "currency": "USD"} if event_type == SPEND else {},
        )
        for name, event_type in _CONDITIONS
    ]
    terms = SchemeTerms("Bring a friend", "accounts", "USD", "days", 30, 50, recruit, referrer, tuple(asks))
    scheme_id = schemes.create_scheme(session, terms, budget=Decimal(50_000), actor=_ACTOR, now=now)
    schemes.activate_scheme(session, scheme_id, replaces=None, actor=_ACTOR, now=now)


def _matches(hasher: PasswordHasher, stored: str, password: str) -> bool:
    try:
        return hasher.verify(stored, password)
    except VerificationError:
        return False
