"""Passwords: argon2id hashes, made and checked beside the event loop, never inside a transaction."""

import threading

from argon2 import PasswordHasher
from argon2.exceptions import VerificationError
from gevent import get_hub

from portal.errors import InvalidInput

SHORTEST_PASSWORD = 12
LONGEST_PASSWORD = 256
# Each takes 64 MiB while it runs.
_HASHES_AT_ONCE = 4


class Passwords:
    """Hash and check passwords by argon2id (RFC 9106), by default with its second recommended option.

    A hash takes 0.1 s of a core: it runs in a thread of its own, so that other requests go on.
    """

    def __init__(self, hasher: PasswordHasher | None = None) -> None:
        self._hasher = hasher or PasswordHasher()
        self._slots = threading.BoundedSemaphore(_HASHES_AT_ONCE)
        self._of_nobody = self._hasher.hash("")

    def hash(self, password: str) -> str:
        """Return argon2's encoded form, which carries its parameters and a new salt."""
        with self._slots:
            return str(get_hub().threadpool.apply(self._hasher.hash, (password,)))

    def matches(self, stored: str | None, password: str) -> bool:
        """Tell whether a password is that of a hash; it takes as long when there is no account at all."""
        with self._slots:
            same = get_hub().threadpool.apply(self._verify, (stored or self._of_nobody, password))
        return bool(same) and stored is not None

    def is_outdated(self, stored: str) -> bool:
        """Tell whether a hash was made with other parameters than those of today."""
        return self._hasher.check_needs_rehash(stored)

    def _verify(self, stored: str, password: str) -> bool:
        try:
            return self._hasher.verify(stored, password)
        except VerificationError:
            return False


def check_new_password(password: str, login: str) -> None:
    """Refuse a password that is too easily guessed (NIST SP 800-63B: length, no rules about characters)."""
    if len(password) < SHORTEST_PASSWORD:
        raise InvalidInput(f"A password has at least {SHORTEST_PASSWORD} characters.", field="password")
    if len(password) > LONGEST_PASSWORD:
        raise InvalidInput(f"A password has at most {LONGEST_PASSWORD} characters.", field="password")
    if login in password.lower() or len(set(password)) < 4:
        raise InvalidInput(
            "This password is too easily guessed: take one without the login, of several characters.",
            field="password",
        )
