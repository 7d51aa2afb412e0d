"""Users are locked for whoever records something about them, and known by keyed hashes only."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from random import Random

import pytest

from portal.crypto import DataCipher
from portal.db import Database
from portal.referrals.progress.known_users import device_index, lock_users, network_index
from portal.referrals.progress.models import KnownUser
from tests.referrals.scenes import Scene


@pytest.fixture
def cipher(scene: Scene) -> DataCipher:
    return scene.cipher


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("192.0.2.1", "192.0.2.254", True),
        ("192.0.2.1", "192.0.3.1", False),
        ("192.0.2.1", "::ffff:192.0.2.9", True),
        ("2001:db8:1:2::1", "2001:db8:1:ffff::9", True),
        ("2001:db8:1::1", "2001:db8:2::1", False),
    ],
)
def test_addresses_of_one_block_have_one_hash(cipher: DataCipher, one: str, other: str, same: bool) -> None:
    assert (network_index(cipher, one) == network_index(cipher, other)) is same


def test_hashes_of_devices_and_networks_do_not_meet(cipher: DataCipher) -> None:
    assert device_index(cipher, "192.0.2.0/24") != network_index(cipher, "192.0.2.1")


def test_users_that_are_locked_are_made_where_they_are_missing(database: Database) -> None:
    with database.writer() as session:
        session.add(KnownUser(user_id=2, address_index="kept"))
    with database.writer() as session:
        users = lock_users(session, [3, 2, 2])
    assert {user.user_id: user.address_index for user in users.values()} == {2: "kept", 3: None}


def test_who_locks_a_user_waits_for_whoever_has_it(database: Database) -> None:
    with database.writer() as session:
        session.add(KnownUser(user_id=7))
    locked = threading.Event()

    def lock() -> None:
        with database.writer() as other:
            lock_users(other, [7])
            locked.set()

    with ThreadPoolExecutor(1) as pool:
        with database.writer() as session:
            lock_users(session, [7])
            waiting = pool.submit(lock)
            assert not locked.wait(1)
        waiting.result(30)
    assert locked.is_set()


def test_those_who_lock_several_do_not_wait_in_a_circle(database: Database) -> None:
    barrier = threading.Barrier(4)

    def lock(seed: int) -> int:
        random = Random(seed)
        barrier.wait(30)
        for _turn in range(10):
            with database.writer() as session:
                lock_users(session, random.sample(range(1, 7), 4))
        return 10

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(lock, range(4))) == 40
