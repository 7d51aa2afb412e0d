"""Addresses are found again however they are written, and those of two people are never one."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from portal.crypto import DataCipher
from portal.referrals.addresses import address_index, fold, folded_index, normalise

ADDRESSES = st.builds(
    "{}@{}".format, st.text(min_size=1, max_size=20), st.from_regex(r"[a-z]{1,8}\.[a-z]{2}")
)
LOCALS = st.from_regex(r"[a-z0-9]{1,10}", fullmatch=True)


@given(st.text(max_size=40) | ADDRESSES)
def test_what_was_normalised_or_folded_once_stays_as_it_is(address: str) -> None:
    assert normalise(normalise(address)) == normalise(address)
    assert fold(fold(address)) == fold(address)


@given(ADDRESSES)
def test_case_and_blanks_around_it_make_no_other_address(address: str) -> None:
    assert normalise(f" {normalise(address)}\n") == normalise(address)
    assert normalise(address.lower()) == normalise(address)


@given(LOCALS, LOCALS)
def test_two_mailboxes_are_never_folded_into_one(one: str, other: str) -> None:
    assume(one != other)
    for domain in ("gmail.com", "outlook.com", "waybill.example"):
        assert fold(f"{one}@{domain}") != fold(f"{other}@{domain}")


@given(st.text(alphabet="abc.+", min_size=1, max_size=12))
def test_addresses_of_other_providers_are_folded_no_further_than_normalised(local: str) -> None:
    assert fold(f"{local}@waybill.example") == normalise(f"{local}@waybill.example")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("josé@example.com", "jose@example.com"),
        ("straße@example.com", "strasse@example.com"),
        ("ana@example.com", "ana@example.org"),
        ("ana+1@gmail.com", "ana@gmail.com"),
        ("a.na@gmail.com", "ana@gmail.com"),
    ],
)
def test_addresses_that_differ_are_looked_up_apart(one: str, other: str) -> None:
    assert normalise(one) != normalise(other)


def test_a_composed_and_a_decomposed_accent_are_the_same_address() -> None:
    assert normalise("jose\u0301@example.com") == normalise("jos\u00e9@example.com")


@pytest.mark.parametrize(
    ("address", "mailbox"),
    [
        ("A.n.a+shop@GMail.com", "ana@gmail.com"),
        ("ana@googlemail.com", "ana@gmail.com"),
        ("a.na+x@outlook.com", "a.na@outlook.com"),
        ("ana+x@icloud.com", "ana@icloud.com"),
        ("ana+x@waybill.example", "ana+x@waybill.example"),
        ("+x@gmail.com", "+x@gmail.com"),
        ("no address", "no address"),
    ],
)
def test_what_big_providers_ignore_is_folded_away(address: str, mailbox: str) -> None:
    assert fold(address) == mailbox


def test_an_address_is_found_by_a_hash_that_does_not_tell_it() -> None:
    cipher = DataCipher("A" * 43 + "=")
    assert address_index(cipher, " Ana@Example.com") == address_index(cipher, "ana@example.com")
    assert folded_index(cipher, "a.na+1@gmail.com") == folded_index(cipher, "ana@gmail.com")
    assert address_index(cipher, "ana@example.com") != address_index(
        DataCipher("B" * 43 + "="), "ana@example.com"
    )
