"""The log keeps the order of what happened, and the chain over people's events shows every tampering."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from portal.db import Database
from portal.events import Actor, NewEvent, first_broken_link, record, record_all, timeline

NOW = datetime(2026, 11, 20, 12, 0, 0, 123456, UTC)
ANA, BO, RUNNER = Actor("person", "ana"), Actor("person", "bo"), Actor("job", "runner")


def happened(kind: str, actor: Actor = RUNNER, subject_id: int = 1, **data: Any) -> NewEvent:
    return NewEvent("order", subject_id, kind, actor, NOW, data)


def kinds(session: Session, subject_id: int = 1, limit: int = 500) -> list[str]:
    return [event.kind for event in timeline(session, "order", subject_id, limit)]


def broken_link(database: Database) -> int | None:
    with database.writer() as session:
        return first_broken_link(session)


def audit(database: Database, *pushes: str) -> None:
    with database.writer() as session:
        record_all(session, [happened(push, ANA, amount=1.5, name="josé") for push in pushes])


def tamper(database: Database, *statements: str) -> None:
    with database.writer() as session:
        for statement in statements:
            session.execute(text(statement))


def test_events_of_people_and_machines_are_kept_in_the_order_given(database: Database) -> None:
    given = [("a", RUNNER), ("b", ANA), ("c", RUNNER), ("d", RUNNER), ("e", BO), ("f", ANA), ("g", RUNNER)]
    with database.writer() as session:
        record_all(session, [happened(kind, actor) for kind, actor in given])
    with database.reader() as session:
        assert "".join(kinds(session)) == "abcdefg"


def test_a_timeline_is_of_one_subject_and_its_newest_events_oldest_first(database: Database) -> None:
    with database.writer() as session:
        record_all(session, [happened(kind, subject_id=1 + place % 2) for place, kind in enumerate("abcdef")])
        record(session, NewEvent("waiting-message", 1, "x", RUNNER, NOW))
    with database.reader() as session:
        assert kinds(session, 1) == ["a", "c", "e"]
        assert kinds(session, 2, limit=2) == ["d", "f"]


def test_what_an_event_holds_comes_back_as_it_was(database: Database) -> None:
    data: dict[str, Any] = {
        "reason": "“josé” 日本",
        "status": 502,
        "seconds": 0.003,
        "answer": {"ids": ["1", None, True]},
    }
    with database.writer() as session:
        record(session, happened("step.failed", **data))
    with database.reader() as session:
        (event,) = timeline(session, "order", 1)
    assert (event.at, event.actor_kind, event.actor, event.data) == (NOW, "job", "runner", data)


def test_no_events_are_no_statement(database: Database) -> None:
    with database.writer() as session:
        record_all(session, [])
    assert broken_link(database) is None


def test_only_what_people_do_is_linked(database: Database) -> None:
    with database.writer() as session:
        record_all(session, [happened("step.passed"), happened("step.push-requested", ANA)])
        assert session.scalar(text("SELECT COUNT(*) FROM audit_entry")) == 1
    assert broken_link(database) is None


def test_a_time_given_in_another_zone_is_linked_as_it_is_kept(database: Database) -> None:
    local = NOW.astimezone(timezone(timedelta(hours=-3)))
    with database.writer() as session:
        record(session, NewEvent("order", 1, "step.push-requested", ANA, local))
    assert broken_link(database) is None


@pytest.mark.parametrize(
    ("statements", "found"),
    [
        (["UPDATE event SET actor='bo' WHERE kind='b'"], 2),
        (["UPDATE event SET actor_kind='job' WHERE kind='b'"], 2),
        (["UPDATE event SET subject_id=7 WHERE kind='c'"], 3),
        (["UPDATE event SET at='2026-11-20 12:00:00.123457' WHERE kind='a'"], 1),
        (['UPDATE event SET data=\'{"amount": 1.6, "name": "josé"}\' WHERE kind=\'d\''], 4),
        (["DELETE FROM audit_entry WHERE sequence=2"], 2),
        (["DELETE FROM audit_entry WHERE sequence=2", "DELETE FROM event WHERE kind='b'"], 2),
        (["DELETE FROM audit_entry WHERE sequence=4", "DELETE FROM event WHERE kind='d'"], 4),
        (["DELETE FROM audit_entry"], 1),
        (["UPDATE audit_head SET sequence=3"], 4),
        (
            [
                "UPDATE audit_entry SET event_id=event_id + 100 WHERE sequence IN (2, 3)",
                "UPDATE audit_entry SET event_id=event_id - 99 WHERE sequence=2",
                "UPDATE audit_entry SET event_id=event_id - 101 WHERE sequence=3",
            ],
            2,
        ),
        (
            [
                "UPDATE audit_entry SET sequence=9 WHERE sequence=2",
                "UPDATE audit_entry SET sequence=2 WHERE sequence=3",
                "UPDATE audit_entry SET sequence=3 WHERE sequence=9",
            ],
            2,
        ),
    ],
    ids=[
        "another actor",
        "no person any more",
        "another subject",
        "another time",
        "other data",
        "a deleted link",
        "a deleted event",
        "the last one deleted",
        "all deleted",
        "an older head",
        "events that change places",
        "links that change places",
    ],
)
def test_whoever_tampers_with_the_audit_trail_is_found_out(
    database: Database, statements: list[str], found: int
) -> None:
    audit(database, "a", "b", "c", "d")
    assert broken_link(database) is None
    on_mysql = database.writer_engine.dialect.name == "mysql"
    unchecked = "SET foreign_key_checks=0" if on_mysql else "PRAGMA defer_foreign_keys=ON"
    tamper(database, unchecked, *statements)
    assert broken_link(database) == found


def test_the_chain_goes_on_after_it_was_broken(database: Database) -> None:
    audit(database, "a", "b")
    tamper(database, "UPDATE event SET actor='bo' WHERE kind='a'")
    audit(database, "c")
    assert broken_link(database) == 1


def test_people_who_act_at_once_all_get_their_links(database: Database) -> None:
    barrier = threading.Barrier(4)
    errors: list[BaseException] = []

    def act(name: str) -> None:
        barrier.wait()
        try:
            for number in range(5):
                with database.writer() as session:
                    record(session, happened(f"{name}-{number}", Actor("person", name)))
        except BaseException as error:
            errors.append(error)
            raise

    people = [threading.Thread(target=act, args=(name,)) for name in ("ana", "bo", "cy", "di")]
    for person in people:
        person.start()
    for person in people:
        person.join(60)
    assert not errors
    with database.writer() as session:
        assert session.scalar(text("SELECT COUNT(*) FROM audit_entry")) == 20
        assert session.scalar(text("SELECT sequence FROM audit_head")) == 20
        assert first_broken_link(session) is None


def test_a_link_that_is_added_during_the_check_is_no_tampering(database: Database) -> None:
    """The check walks as far as the head that it has read, however far the chain has grown meanwhile."""
    audit(database, "a", "b")
    stop = threading.Event()

    def go_on() -> None:
        while not stop.is_set():
            audit(database, "more")

    writer = threading.Thread(target=go_on)
    writer.start()
    try:
        with database.reader() as session:
            found = set()
            for _ in range(200):
                found.add(first_broken_link(session))
                session.rollback()
    finally:
        stop.set()
        writer.join(60)
    assert found == {None}
