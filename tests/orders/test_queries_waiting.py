"""Waiting messages are listed without their bodies, each once."""

from __future__ import annotations

import pytest

from portal.errors import NotFound
from portal.keyset import read_place
from portal.orders.queries_waiting import WAITING_KEY, list_waiting, read_body, read_waiting
from portal.orders.states import WaitingState
from portal.orders.waiting import waiting_passed
from tests.orders.scenes import RUNNER, Scene


def test_pages_hold_every_message_once_the_newest_first(scene: Scene) -> None:
    for number in range(3):
        scene.keep_waiting(f"in/{number}.xml")
    with scene.database.reader() as session:
        first = list_waiting(session, states=[WaitingState.WAITING], size=2)
        place = read_place(first.older, None, WAITING_KEY)
        second = list_waiting(session, states=[WaitingState.WAITING], place=place, size=2)
    assert [row.subject for row in [*first.rows, *second.rows]] == ["in/2.xml", "in/1.xml", "in/0.xml"]


def test_a_message_that_passed_is_listed_among_the_passed_alone(scene: Scene) -> None:
    scene.keep_waiting("in/a.xml")
    with scene.database.writer() as session:
        waiting_passed(session, 1, actor=RUNNER, now=scene.now)
    with scene.database.reader() as session:
        assert list_waiting(session, states=[WaitingState.WAITING]).rows == []
        (row,) = list_waiting(session, states=[WaitingState.PASSED]).rows
    assert row.passed_at == scene.now
    assert not row.is_waiting


def test_a_body_is_read_on_its_own(scene: Scene) -> None:
    scene.keep_waiting("in/a.xml")
    with scene.database.reader() as session:
        assert read_body(session, 1, cipher=scene.cipher) == '{"key": "bad.xml"}'
        with pytest.raises(NotFound):
            read_body(session, 2, cipher=scene.cipher)
        with pytest.raises(NotFound):
            read_waiting(session, 2)
