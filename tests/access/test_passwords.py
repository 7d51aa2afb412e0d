"""Passwords are hashed by argon2id beside the event loop, and weak ones are refused."""

from __future__ import annotations

import time

import gevent
import pytest
from argon2 import PasswordHasher, Type, extract_parameters

from portal.access.passwords import Passwords, check_new_password
from portal.errors import InvalidInput

QUICK = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)


def test_a_password_matches_its_own_hash_only() -> None:
    passwords = Passwords(QUICK)
    stored = passwords.hash("correct horse battery")
    assert passwords.matches(stored, "correct horse battery")
    assert not passwords.matches(stored, "correct horse batterY")


def test_no_password_matches_where_there_is_no_account() -> None:
    assert not Passwords(QUICK).matches(None, "")


def test_the_same_password_never_has_the_same_hash() -> None:
    passwords = Passwords(QUICK)
    assert passwords.hash("correct horse battery") != passwords.hash("correct horse battery")


def test_todays_hashes_are_those_of_rfc_9106() -> None:
    parameters = extract_parameters(Passwords().hash("correct horse battery"))
    assert parameters.type is Type.ID
    assert (parameters.time_cost, parameters.memory_cost) == (3, 64 * 1024)


def test_a_hash_by_other_parameters_is_outdated() -> None:
    stored = Passwords(QUICK).hash("correct horse battery")
    assert not Passwords(QUICK).is_outdated(stored)
    assert Passwords(PasswordHasher(time_cost=2, memory_cost=64, parallelism=1)).is_outdated(stored)


def test_an_unknown_account_takes_as_long_as_a_wrong_password() -> None:
    passwords = Passwords(PasswordHasher(time_cost=4, memory_cost=16 * 1024, parallelism=1))
    stored = passwords.hash("correct horse battery")

    def seconds(of: str | None) -> float:
        began = time.perf_counter()
        passwords.matches(of, "wrong horse battery")
        return time.perf_counter() - began

    assert min(seconds(None) for _ in range(5)) > min(seconds(stored) for _ in range(5)) / 3


def test_other_requests_go_on_while_a_password_is_hashed() -> None:
    passwords, ended = Passwords(), []

    def hash_one() -> None:
        passwords.hash("correct horse battery")
        ended.append("hash")

    hashing = gevent.spawn(hash_one)
    other = gevent.spawn(ended.append, "other")
    gevent.joinall([hashing, other], raise_error=True)
    assert ended == ["other", "hash"]


@pytest.mark.parametrize(
    "password", ["short horse", "x" * 257, "aaaaaaaaaaaaaa", "ababababababab", "my name is ADA!"]
)
def test_a_password_that_is_easily_guessed_is_refused(password: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        check_new_password(password, "ada")
    assert refused.value.field == "password"


def test_a_long_password_of_any_characters_is_taken() -> None:
    check_new_password("ein längerer Satz, ganz ohne Ziffern", "ada")
