"""Schemes are kept for a second, read once for all who wait, and nobody fills the memory."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import pytest
from sqlalchemy.orm import Session

from portal.db import Database
from portal.referrals.schemes.cache import SchemeCache
from tests.referrals.scheme_scene import activate, create, usable_terms


@dataclass
class Scene:
    """A cache over a database, whose readings are counted, with a clock that is set by hand."""

    database: Database
    readings: int = 0
    now: float = 100.0
    held: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.held.set()
        self.cache = SchemeCache(self._session, lambda: self.now)

    @contextmanager
    def _session(self) -> Iterator[Session]:
        self.readings += 1
        self.held.wait(30)
        with self.database.reader() as session:
            yield session


@pytest.fixture
def scene(database: Database) -> Scene:
    """Give two schemes, 1 and 2, of which the first is active for the product card."""
    terms = usable_terms(database)
    activate(database, create(database, terms), None)
    create(database, replace(terms, name="Winter"))
    return Scene(database)


def test_what_was_asked_is_not_read_again_within_a_second(scene: Scene) -> None:
    first = scene.cache.schemes([1, 2, 99])
    assert [json.loads(first[one] or b"{}").get("name") for one in (1, 2)] == ["Autumn", "Winter"]
    assert first[99] is None
    assert scene.cache.active("card") == first[1]
    assert scene.cache.active("loan") is None
    read = scene.readings
    scene.now += 0.9
    assert (scene.cache.schemes([99, 2]), scene.cache.active("loan")) == ({99: None, 2: first[2]}, None)
    assert scene.readings == read


def test_all_that_was_asked_in_a_second_is_read_at_once_for_the_next(scene: Scene) -> None:
    scene.cache.schemes([1])
    scene.cache.schemes([2])
    scene.cache.active("card")
    activate(scene.database, 2, 1)
    read = scene.readings
    scene.now += 1.0
    assert json.loads(scene.cache.active("card") or b"{}")["id"] == 2
    assert [json.loads(told or b"{}")["state"] for told in scene.cache.schemes([1, 2]).values()] == [
        "historic",
        "active",
    ]
    assert scene.readings == read + 1


def test_one_reads_for_all_who_wait(scene: Scene) -> None:
    scene.cache.schemes([1])
    scene.now += 1.0
    scene.held.clear()
    read = scene.readings
    with ThreadPoolExecutor(8) as pool:
        waiting = [pool.submit(scene.cache.schemes, [1]) for _ in range(8)]
        deadline = threading.Event()
        while scene.readings == read and not deadline.wait(0.01):
            pass
        scene.held.set()
        assert {len(one.result(30)) for one in waiting} == {1}
    assert scene.readings == read + 1


def test_questions_for_what_does_not_exist_do_not_fill_the_memory(scene: Scene) -> None:
    for first in range(1_000, 31_000, 100):
        scene.cache.schemes(range(first, first + 100))
    assert scene.readings > 300
    second = scene.cache._second
    assert len(second.schemes) <= 10_200
    assert len(second.asked_ids) <= 1_100
    assert json.loads(scene.cache.schemes([1])[1] or b"{}")["name"] == "Autumn"
