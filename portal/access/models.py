"""The rows of access: people, their sessions, failed logins, API clients."""

from datetime import datetime
from enum import StrEnum

from sqlalchemy import ForeignKey, Index, Integer, String, false
from sqlalchemy.orm import Mapped, mapped_column, relationship

from portal.db import Base, BigId, Key, UtcTime


class Role(StrEnum):
    EXECUTIVE = "executive"
    SUPPORT = "support"
    ADMIN = "admin"


class Person(Base):
    """Someone who may log in; `password_hash` is argon2id's encoded form."""

    __tablename__ = "person"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    login: Mapped[str] = mapped_column(Key(254), unique=True)
    name: Mapped[str] = mapped_column(String(100))
    role: Mapped[str] = mapped_column(String(16))
    password_hash: Mapped[str] = mapped_column(String(255))
    active: Mapped[bool]
    created_at: Mapped[datetime] = mapped_column(UtcTime)


class LoginSession(Base):
    """A person's session: gone from here, it is dead, whatever its cookie says.

    `id` is the SHA-256 of the cookie's token. `writes` counts what was written within the session: a
    reader that shows the same number has caught up with it.
    """

    __tablename__ = "login_session"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    person_id: Mapped[int] = mapped_column(BigId, ForeignKey("person.id"), index=True)
    created_at: Mapped[datetime] = mapped_column(UtcTime)
    expires_at: Mapped[datetime] = mapped_column(UtcTime)
    writes: Mapped[int] = mapped_column(Integer, default=0)
    person: Mapped[Person] = relationship(lazy="joined")


class LoginFailure(Base):
    """A login that failed, kept for as long as it counts against its address and account."""

    __tablename__ = "login_failure"
    __table_args__ = (
        Index("ix_login_failure_address_at", "address", "at"),
        Index("ix_login_failure_login_hash_at", "login_hash", "at"),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    address: Mapped[str] = mapped_column(String(45))
    login_hash: Mapped[str] = mapped_column(String(64))
    at: Mapped[datetime] = mapped_column(UtcTime)


class ApiClient(Base):
    """A machine that may use the API; only the SHA-256 of its key is kept.

    One that may administer also changes schemes, rewards and conditions of referrals.
    """

    __tablename__ = "api_client"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    name: Mapped[str] = mapped_column(Key(100), unique=True)
    key_hash: Mapped[str] = mapped_column(String(64), unique=True)
    active: Mapped[bool]
    created_at: Mapped[datetime] = mapped_column(UtcTime)
    may_administer: Mapped[bool] = mapped_column(default=False, server_default=false())


class ApiUsage(Base):
    """How many requests a client of the API has sent in a minute."""

    __tablename__ = "api_usage"

    client_id: Mapped[int] = mapped_column(BigId, ForeignKey("api_client.id"), primary_key=True)
    minute: Mapped[datetime] = mapped_column(UtcTime, primary_key=True)
    requests: Mapped[int] = mapped_column(Integer)
