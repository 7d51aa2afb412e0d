"""Personal data at rest is unreadable, unforgeable, and found again only with the key."""

from __future__ import annotations

import base64

import pytest
from cryptography.exceptions import InvalidTag

from portal.crypto import DataCipher

KEY, OTHER_KEY = (base64.b64encode(letter * 32).decode() for letter in (b"k", b"o"))
WORDS = "josé@example.com".encode()


@pytest.fixture
def cipher() -> DataCipher:
    return DataCipher(KEY)


def test_what_was_encrypted_is_decrypted_by_whoever_has_the_key(cipher: DataCipher) -> None:
    assert DataCipher(KEY).decrypt(cipher.encrypt(WORDS)) == WORDS
    assert cipher.decrypt(cipher.encrypt(b"")) == b""


def test_nothing_of_a_value_is_in_its_ciphertext_and_no_two_are_the_same(cipher: DataCipher) -> None:
    first, second = cipher.encrypt(WORDS), cipher.encrypt(WORDS)
    assert first != second
    assert b"example" not in first


@pytest.mark.parametrize("place", [0, 12, -1], ids=["the nonce", "the ciphertext", "the tag"])
def test_an_altered_value_is_refused(cipher: DataCipher, place: int) -> None:
    altered = bytearray(cipher.encrypt(WORDS))
    altered[place] ^= 1
    with pytest.raises(InvalidTag):
        cipher.decrypt(bytes(altered))


@pytest.mark.parametrize("length", [0, 5, 12, 20])
def test_a_value_that_was_cut_is_refused(cipher: DataCipher, length: int) -> None:
    with pytest.raises(InvalidTag):
        cipher.decrypt(cipher.encrypt(WORDS)[:length])


def test_another_key_reads_nothing(cipher: DataCipher) -> None:
    with pytest.raises(InvalidTag):
        DataCipher(OTHER_KEY).decrypt(cipher.encrypt(WORDS))


def test_the_blind_index_finds_the_same_value_and_no_other(cipher: DataCipher) -> None:
    index = cipher.blind_index("josé@example.com")
    assert DataCipher(KEY).blind_index("josé@example.com") == index
    assert len(index) == 64
    others = ("jose@example.com", "josé@example.co", "JOSÉ@example.com", "")
    assert index not in {cipher.blind_index(other) for other in others}


def test_the_blind_index_tells_nothing_to_whoever_lacks_the_key(cipher: DataCipher) -> None:
    assert cipher.blind_index("a") != DataCipher(OTHER_KEY).blind_index("a")
