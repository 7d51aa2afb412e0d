"""Whether a message tells of a person: by their user id, an address of theirs, or their link."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from portal.crypto import DataCipher, token_hash
from portal.referrals.addresses import address_index
from portal.referrals.invitations.models import Invitation
from portal.referrals.privacy import Person

# What may stand around an address or a token, also in `Ana <ana@example.com>` or `rfc822;ana@example.com`.
# Half of a surrogate pair, which JSON may hold, is part of no word: it cannot be encoded, nor so be hashed.
_WORD = re.compile(r"[^\s\"'<>()\[\]{},;:\\\ud800-\udfff]+")
_USER_ID = re.compile(r"user_id[\\\"]*\s*:\s*[\\\"]*(\d{1,20})")


@dataclass(frozen=True, slots=True)
class Mentions:
    """What tells of a person in the text of a message."""

    cipher: DataCipher
    user_ids: frozenset[str]
    indexes: frozenset[str]
    token_hashes: frozenset[str]

    @classmethod
    def of(cls, session: Session, person: Person, cipher: DataCipher) -> "Mentions":
        """Read what tells of a person; before they are erased, for their links are then not known."""
        hashes = session.scalars(select(Invitation.token_hash).where(person.received))
        user_ids = frozenset(map(str, person.user_ids))
        return cls(cipher, user_ids, person.indexes, frozenset(hashed for hashed in hashes if hashed))

    def are_in(self, text: str) -> bool:
        """Tell whether a message is about the person, be it in an envelope, or no JSON at all."""
        return any(self._are_in_plain(part) for part in (text, *_strings(text)))

    def _are_in_plain(self, text: str) -> bool:
        if not self.user_ids.isdisjoint(_USER_ID.findall(text)):
            return True
        return any(self._is_theirs(word) for word in _WORD.findall(text))

    def _is_theirs(self, word: str) -> bool:
        is_address = "@" in word and address_index(self.cipher, word) in self.indexes
        return is_address or token_hash(word) in self.token_hashes


def _strings(text: str) -> Iterator[str]:
    """Give every string within JSON, and within JSON that such a string holds: there, nothing is escaped."""
    try:
        found = [json.loads(text)]
    except (ValueError, RecursionError):
        return
    while found:
        value = found.pop()
        if isinstance(value, dict):
            found += value.values()
        elif isinstance(value, list):
            found += value
        elif isinstance(value, str):
            yield value
            yield from _strings(value)
