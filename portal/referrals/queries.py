"""What other domains ask about referrals: users and invitations by what a person has in hand."""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, exists, literal, select, union_all
from sqlalchemy.orm import Session

from portal.crypto import DataCipher, token_hash
from portal.events import Event
from portal.keyset import newest_of_each
from portal.referrals.addresses import address_index, open_address
from portal.referrals.invitations.models import Invitation
from portal.referrals.privacy import ERASED, USER
from portal.referrals.progress.models import KnownUser, ReferralProgress
from portal.referrals.rewards.models import RewardGrant

_USER_ID = re.compile(r"[0-9]{1,18}")
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
# The link of a mail, the sign-up address that it leads to, or a token alone.
_LINK = re.compile(r"(?:.*/r/|.*[?&]token=)?([A-Za-z0-9_-]{20,64})(?:[?&#].*)?")


@dataclass(frozen=True, slots=True)
class FoundUser:
    """A user, and what makes them known."""

    user_id: int
    signed_up_at: datetime | None
    was_referred: bool
    has_brought: bool
    has_invited: bool
    has_rewards: bool


@dataclass(frozen=True, slots=True)
class FoundInvitation:
    """An invitation; its address is masked or whole, or None when it was erased or cannot be read."""

    id: int
    address: str | None
    referrer_user_id: int
    referral_id: int | None
    status: str
    mail_status: str
    created_at: datetime


_INVITATION = (
    Invitation.id,
    Invitation.address,
    Invitation.referrer_user_id,
    Invitation.referral_id,
    Invitation.status,
    Invitation.mail_status,
    Invitation.created_at,
)


def search_users(
    session: Session, pieces: Sequence[str], *, cipher: DataCipher, most: int
) -> Mapping[str, list[FoundUser]]:
    """Return by piece the users with it as their id or address, of whom anything is known."""
    pieces_of: dict[int, list[str]] = defaultdict(list)
    for piece in pieces:
        if _USER_ID.fullmatch(piece):
            pieces_of[int(piece)].append(piece)
    by_address = _by_address(pieces, cipher)
    # The hash of an address is kept after an erasure, but finds nobody.
    known = select(KnownUser.user_id).where(~_was_erased())
    of_addresses = newest_of_each(
        session, known, KnownUser.address_index, KnownUser.user_id, by_address, most
    )
    for index, rows in of_addresses.items():
        for (user_id,) in rows:
            pieces_of[user_id] += by_address[index]
    found: dict[str, list[FoundUser]] = defaultdict(list)
    for user in _known(session, list(pieces_of)):
        for piece in pieces_of[user.user_id]:
            found[piece].append(user)
    return found


def search_invitations(
    session: Session, pieces: Sequence[str], *, cipher: DataCipher, masked: bool, most: int
) -> Mapping[str, list[FoundInvitation]]:
    """Return by piece the invitations with it as link, token or id, and the newest `most` to an address."""
    by_uuid = _grouped((piece.lower(), piece) for piece in pieces if _UUID.fullmatch(piece.lower()))
    links = ((_LINK.fullmatch(piece), piece) for piece in pieces)
    by_token = _grouped((token_hash(link[1]), piece) for link, piece in links if link)
    by_address = _by_address(pieces, cipher)
    found: dict[str, list[FoundInvitation]] = defaultdict(list)

    def keep(pieces: Iterable[str], one: int, stored: bytes | None, *rest: Any) -> None:
        address = open_address(stored, cipher, masked=masked)
        for piece in pieces:
            found[piece].append(FoundInvitation(one, address, *rest))

    for column, by_value in ((Invitation.uuid, by_uuid), (Invitation.token_hash, by_token)):
        if by_value:
            wanted: Select[*tuple[Any, ...]] = select(column, *_INVITATION).where(column.in_(by_value))
            for value, *row in session.execute(wanted):
                keep(by_value[value], *row)
    with_address = select(*_INVITATION).where(Invitation.address.is_not(None))
    newest = newest_of_each(session, with_address, Invitation.address_index, Invitation.id, by_address, most)
    for index, rows in newest.items():
        for row in rows:
            keep(by_address[index], *row)
    return found


def _was_erased() -> ColumnElement[bool]:
    return exists().where(Event.subject == USER, Event.subject_id == KnownUser.user_id, Event.kind == ERASED)


def _by_address(pieces: Sequence[str], cipher: DataCipher) -> Mapping[str, list[str]]:
    """Return by its keyed hash the pieces that are an address, and no link with an @ in it."""
    addresses = [piece for piece in pieces if "@" in piece and "/" not in piece.partition("@")[0]]
    return _grouped((address_index(cipher, piece), piece) for piece in addresses)


def _grouped(pairs: Iterable[tuple[str, str]]) -> Mapping[str, list[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    for value, piece in pairs:
        found[value].append(piece)
    return found


def _known(session: Session, ids: Sequence[int]) -> list[FoundUser]:
    """Return those users of whom anything is known, in this order."""
    if not ids:
        return []
    asked = union_all(*(select(literal(user_id).label("user_id")) for user_id in ids)).subquery()
    user_id = asked.c.user_id
    facts = (
        exists().where(ReferralProgress.user_id == user_id),
        exists().where(ReferralProgress.referrer_user_id == user_id),
        exists().where(Invitation.referrer_user_id == user_id),
        exists().where(RewardGrant.user_id == user_id),
    )
    rows = session.execute(
        select(user_id, KnownUser.user_id, KnownUser.signed_up_at, *facts).outerjoin_from(
            asked, KnownUser, KnownUser.user_id == user_id
        )
    )
    users = {row[0]: FoundUser(row[0], row[2], *map(bool, row[3:])) for row in rows if row[1] or any(row[3:])}
    return [users[one] for one in ids if one in users]
