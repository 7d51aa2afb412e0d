"""The append-only log of all that happened, and the hash chain over what people did."""

import hashlib
import hmac
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import groupby
from typing import Any, Literal

from sqlalchemy import JSON, ForeignKey, Index, Integer, String, insert, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from portal.db import Base, BigId, Key, UtcTime

ActorKind = Literal["person", "job", "system", "customer", "client"]


@dataclass(frozen=True, slots=True)
class Actor:
    """Who did something: `name` is a person's login, a job's name, an API client's name, …"""

    kind: ActorKind
    name: str


@dataclass(frozen=True, slots=True)
class NewEvent:
    """Something that happened to a subject, not yet in the log; `data` holds no personal data."""

    subject: str
    subject_id: int
    kind: str
    actor: Actor
    at: datetime
    data: dict[str, Any] = field(default_factory=dict)


class Event(Base):
    """One row of the log. Rows commit out of id order: who follows the log must wait for late ones."""

    __tablename__ = "event"
    __table_args__ = (
        Index("ix_event_subject", "subject", "subject_id", "id"),
        Index("ix_event_actor_kind_id", "actor_kind", "id"),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    at: Mapped[datetime] = mapped_column(UtcTime)
    subject: Mapped[str] = mapped_column(String(32))
    subject_id: Mapped[int] = mapped_column(BigId)
    kind: Mapped[str] = mapped_column(String(48))
    actor_kind: Mapped[str] = mapped_column(String(16))
    actor: Mapped[str] = mapped_column(Key(255))
    data: Mapped[dict[str, Any]] = mapped_column(JSON)


class AuditEntry(Base):
    """One link of the chain over people's events: each hash covers its event and the hash before."""

    __tablename__ = "audit_entry"

    sequence: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=False)
    event_id: Mapped[int] = mapped_column(BigId, ForeignKey("event.id"), unique=True)
    hash: Mapped[str] = mapped_column(String(64))


class AuditHead(Base):
    """The last link of the chain; its single row is locked by whoever adds the next one."""

    __tablename__ = "audit_head"

    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    sequence: Mapped[int] = mapped_column(BigId)
    hash: Mapped[str] = mapped_column(String(64))


def record(session: Session, event: NewEvent) -> None:
    """Append one event; what a person did also becomes a link of the audit chain."""
    record_all(session, [event])


def record_all(session: Session, events: Iterable[NewEvent]) -> None:
    """Append events in the order given, those of machines that follow each other by one statement."""
    for by_person, those in groupby(events, key=lambda event: event.actor.kind == "person"):
        if by_person:
            for event in those:
                _record_audited(session, event)
        else:
            session.execute(insert(Event), [_values(event) for event in those])


def timeline(session: Session, subject: str, subject_id: int, limit: int = 500) -> Sequence[Event]:
    """Return the newest `limit` events of a subject, oldest first."""
    newest = (
        select(Event)
        .where(Event.subject == subject, Event.subject_id == subject_id)
        .order_by(Event.id.desc())
        .limit(limit)
    )
    return session.scalars(newest).all()[::-1]


def first_broken_link(session: Session) -> int | None:
    """Return the sequence number at which the audit chain no longer agrees with its events, or None."""
    hash_before, expected = _HASH_OF_NOTHING, 1
    head = session.get_one(AuditHead, 1, populate_existing=True)
    # No further than the head that was read: people may be adding links meanwhile.
    links = (
        select(AuditEntry, Event)
        .outerjoin(Event, Event.id == AuditEntry.event_id)
        .where(AuditEntry.sequence <= head.sequence)
        .order_by(AuditEntry.sequence)
    )
    for entry, event in session.execute(links).yield_per(1000):
        if entry.sequence != expected or event is None:
            return expected
        if not hmac.compare_digest(entry.hash, _link_hash(hash_before, event)):
            return expected
        hash_before, expected = entry.hash, expected + 1
    return None if (head.sequence, head.hash) == (expected - 1, hash_before) else expected


_HASH_OF_NOTHING = "0" * 64


def _values(event: NewEvent) -> dict[str, Any]:
    return {
        "at": event.at,
        "subject": event.subject,
        "subject_id": event.subject_id,
        "kind": event.kind,
        "actor_kind": event.actor.kind,
        "actor": event.actor.name,
        "data": event.data,
    }


def _record_audited(session: Session, event: NewEvent) -> None:
    head = session.get_one(AuditHead, 1, with_for_update=True, populate_existing=True)
    row = Event(**_values(event))
    session.add(row)
    session.flush()
    link = AuditEntry(sequence=head.sequence + 1, event_id=row.id, hash=_link_hash(head.hash, row))
    session.add(link)
    head.sequence, head.hash = link.sequence, link.hash
    session.flush()


def _link_hash(hash_before: str, event: Event) -> str:
    facts = [
        hash_before,
        event.id,
        event.at.astimezone(UTC).isoformat(timespec="microseconds"),
        event.subject,
        event.subject_id,
    ]
    facts += [event.kind, event.actor_kind, event.actor, event.data]
    return hashlib.sha256(json.dumps(facts, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
