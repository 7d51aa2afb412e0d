"""Finding users and invitations by what a support person has: a user id, an address, a link."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, exists, or_, select
from sqlalchemy.orm import Session

from portal.crypto import DataCipher, token_hash
from portal.events import Event
from portal.orders.queries import count_up_to
from portal.referrals.addresses import address_index
from portal.referrals.invitation_models import Invitation
from portal.referrals.privacy import ERASED, USER
from portal.referrals.progress_models import KnownUser, ReferralProgress
from portal.referrals.reward_models import RewardGrant

MOST_FOUND = 50
_USER_ID = re.compile(r"[0-9]{1,18}")
_LINK = re.compile(r"(?:.*/r/)?([A-Za-z0-9_-]{20,64})(?:[?#].*)?")


@dataclass(frozen=True, slots=True)
class FoundUser:
    """A user, and what makes them known."""

    user_id: int
    signed_up_at: datetime | None
    referrals: int
    invitations: int


@dataclass(frozen=True, slots=True)
class Found:
    """What a search found: `by` says as what the text was read; None when it is none of them."""

    by: str | None
    users: Sequence[FoundUser] = ()
    invitations: Sequence[Invitation] = ()


def search(session: Session, text: str, cipher: DataCipher) -> Found:
    """Find by a user id, an address (also one that was invited and never signed up), or a link's token."""
    text = text.strip()
    if _USER_ID.fullmatch(text):
        return Found("user id", _users(session, [int(text)]))
    if "@" in text and "/" not in text.partition("@")[0]:
        return _by_address(session, address_index(cipher, text))
    link = _LINK.fullmatch(text)
    if link is None:
        return Found(None)
    invitations = _invitations(session, Invitation.token_hash == token_hash(link[1]))
    return Found("link", (), invitations)


def _by_address(session: Session, index: str) -> Found:
    """Find who has an address; whoever was erased is found by it no more, though its hash is kept."""
    erased = exists().where(
        Event.subject == USER, Event.subject_id == KnownUser.user_id, Event.kind == ERASED
    )
    known = select(KnownUser.user_id).where(KnownUser.address_index == index, ~erased).limit(MOST_FOUND)
    users = _users(session, session.scalars(known).all())
    has_address = (Invitation.address_index == index) & Invitation.address.is_not(None)
    return Found("address", users, _invitations(session, has_address))


def _invitations(session: Session, wanted: ColumnElement[bool]) -> Sequence[Invitation]:
    found = select(Invitation).where(wanted).order_by(Invitation.id.desc()).limit(MOST_FOUND)
    return session.scalars(found).all()


def _users(session: Session, ids: Sequence[int]) -> list[FoundUser]:
    """Return those users of whom anything is known; the counts are bounded by the page that shows them."""
    return [found for user_id in ids if (found := _user(session, user_id)) is not None]


def _user(session: Session, user_id: int) -> FoundUser | None:
    known = session.get(KnownUser, user_id)
    sides = or_(ReferralProgress.user_id == user_id, ReferralProgress.referrer_user_id == user_id)
    referrals = count_up_to(session, select(ReferralProgress.referral_id).where(sides), MOST_FOUND)
    sent = select(Invitation.id).where(Invitation.referrer_user_id == user_id)
    invitations = count_up_to(session, sent, MOST_FOUND)
    granted = select(RewardGrant.id).where(RewardGrant.user_id == user_id).limit(1)
    if known is None and not referrals and not invitations and session.scalar(granted) is None:
        return None
    return FoundUser(user_id, known.signed_up_at if known else None, referrals, invitations)
