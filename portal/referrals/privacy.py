"""What referrals hold on a person: all of it told, or its addresses and links erased.

What stays after an erasure, and for which purpose, is written in docs/privacy.md.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any, cast

from sqlalchemy import ColumnElement, LargeBinary, case, or_, select, update
from sqlalchemy.orm import InstrumentedAttribute, Session

from portal import events
from portal.crypto import DataCipher
from portal.db import Base
from portal.events import Actor, Event, NewEvent
from portal.referrals import invitations
from portal.referrals.addresses import address_index
from portal.referrals.invitation_models import Invitation, InvitationDay
from portal.referrals.known_users import lock_users
from portal.referrals.models import Referral, ReferralCondition
from portal.referrals.progress_models import (
    ConditionEvidence,
    KnownUser,
    ReferralProgress,
    SpendSeen,
    UserFact,
)
from portal.referrals.recorder import SUBJECT as REFERRAL
from portal.referrals.reward_models import Exposure, ReferralFlag, RewardGrant
from portal.referrals.scheme_models import ReferrerUsage
from portal.referrals.states import WAITS_FOR_SIGN_UP, ReferralStatus

USER = "user"

Rows = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Part:
    """Rows of a table that belong to a person by a column; `others` are columns that tell of other people."""

    name: str
    key: InstrumentedAttribute[int]
    others: frozenset[str] = frozenset()

    @property
    def model(self) -> type[Base]:
        return cast(type[Base], self.key.class_)


OF_USERS = (
    Part("users", KnownUser.user_id),
    Part("facts", UserFact.user_id),
    Part("signed_up_by_referral", Referral.user_id, frozenset({"referrer_user_id"})),
    Part("referrals", ReferralProgress.user_id, frozenset({"referrer_user_id", "invitation_id"})),
    Part("referred_others", Referral.referrer_user_id, frozenset({"user_id"})),
    Part("referrals_of_others", ReferralProgress.referrer_user_id, frozenset({"user_id"})),
    Part("rewards", RewardGrant.user_id),
    Part("invitations_sent", Invitation.referrer_user_id, frozenset({"clicked_at", "clicks"})),
    Part("invitations_sent_by_day", InvitationDay.referrer_user_id),
    Part("rewards_counted", ReferrerUsage.referrer_user_id),
    Part("experiments", Exposure.user_id),
)
OF_REFERRALS = (
    Part("conditions", ReferralCondition.referral_id),
    Part("evidence", ConditionEvidence.referral_id),
    Part("spends", SpendSeen.referral_id),
    Part("flags", ReferralFlag.referral_id),
)
_NOT_INCLUDED = {
    "orders": "Orders are not part of this: ask for them by order number or e-mail in the portal.",
    "other_people": "Addresses and user ids of others are left out, also of those whom the person invited.",
    "hashes": "Addresses, networks and devices of users are kept as keyed hashes only, which tell nothing.",
    "waiting_messages": "Messages that could not be taken in, and wait for a person, are not searched.",
}


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody, by the user ids and by the look-up hashes of the addresses that are known of them."""

    user_ids: frozenset[int]
    indexes: frozenset[str]


def find_person(
    session: Session, cipher: DataCipher, *, address: str | None = None, user_id: int | None = None
) -> Person:
    """Find the one who has an address or a user id, by both when the one leads to the other."""
    users, indexes = set[int](), set[str]()
    if address is not None:
        indexes.add(address_index(cipher, address))
        users |= set(session.scalars(select(KnownUser.user_id).where(KnownUser.address_index.in_(indexes))))
    if user_id is not None:
        users.add(user_id)
        known = session.get(KnownUser, user_id)
        indexes |= {known.address_index} if known is not None and known.address_index else set()
    return Person(frozenset(users), frozenset(indexes))


def export_person(
    session: Session, person: Person, *, cipher: DataCipher, actor: Actor, now: datetime
) -> Rows:
    """Return all that is held on a person, ready for JSON, and record that it was handed out."""
    found: Rows = {part.name: _rows(session, part, person.user_ids) for part in OF_USERS}
    referrals = [row["id"] for row in found["signed_up_by_referral"]]
    found |= {part.name: _rows(session, part, referrals) for part in OF_REFERRALS}
    received = _received(session, person.indexes)
    found["invitations_received"] = [_invitation(row, cipher) for row in received]
    found["history"] = [
        *_history(session, invitations.SUBJECT, [row.id for row in received]),
        *_history(session, REFERRAL, referrals),
    ]
    exported = [NewEvent(USER, user, "person.exported", actor, now) for user in sorted(person.user_ids)]
    exported += [NewEvent(invitations.SUBJECT, row.id, "invitation.exported", actor, now) for row in received]
    events.record_all(session, exported)
    return {"made_at": now.isoformat(), "held": found, "not_included": _NOT_INCLUDED}


def erase_person(session: Session, person: Person, *, actor: Actor, now: datetime) -> int:
    """Erase addresses and links of a person's invitations, sent and received; return how many there were.

    Of the person's users, network, device and details go too. Erased already, nothing happens.
    """
    users = lock_users(session, person.user_ids & _known(session, person.user_ids))
    theirs = or_(
        Invitation.address_index.in_(person.indexes), Invitation.referrer_user_id.in_(person.user_ids)
    )
    erased = _erase_invitations(session, theirs)
    happened = [NewEvent(invitations.SUBJECT, each, "invitation.erased", actor, now) for each in erased]
    for user in users.values():
        if user.network_index is None and user.device_index is None and not erased:
            continue
        user.network_index = user.device_index = None
        happened.append(NewEvent(USER, user.user_id, "person.erased", actor, now))
    session.flush()
    session.execute(update(UserFact).where(UserFact.user_id.in_(person.user_ids)).values(data={}))
    events.record_all(session, happened)
    return len(erased)


def _erase_invitations(session: Session, theirs: ColumnElement[bool]) -> Sequence[int]:
    held = or_(Invitation.address.is_not(None), Invitation.token_hash.is_not(None))
    ids = session.scalars(select(Invitation.id).where(theirs, held).with_for_update()).all()
    is_open = Invitation.status.in_(WAITS_FOR_SIGN_UP)
    session.execute(
        update(Invitation)
        .where(Invitation.id.in_(ids))
        .values(
            address=None,
            token=None,
            token_hash=None,
            mail_reason=None,
            status=case((is_open, ReferralStatus.CANCELLED), else_=Invitation.status),
        ),
        execution_options={"synchronize_session": False},
    )
    return ids


def _known(session: Session, user_ids: Iterable[int]) -> frozenset[int]:
    return frozenset(session.scalars(select(KnownUser.user_id).where(KnownUser.user_id.in_(user_ids))))


def _rows(session: Session, part: Part, ids: Iterable[int]) -> list[Rows]:
    found = session.scalars(select(part.model).where(part.key.in_(ids)))
    return [_plain(row, part.others) for row in found]


def _plain(row: Base, others: frozenset[str]) -> Rows:
    """Return a row without secrets, hashes, and what tells of other people."""
    columns = [column for column in row.__table__.columns if not isinstance(column.type, LargeBinary)]
    kept = [column.key for column in columns if not column.key.endswith(("_index", "_hash", "_key"))]
    return {name: _json(getattr(row, name)) for name in kept if name not in others}


def _json(value: object) -> object:
    if isinstance(value, datetime | date):
        return value.isoformat()
    return str(value) if isinstance(value, Decimal) else value


def _received(session: Session, indexes: Iterable[str]) -> Sequence[Invitation]:
    mine = Invitation.address_index.in_(indexes)
    return session.scalars(select(Invitation).where(mine).order_by(Invitation.id)).all()


def _invitation(row: Invitation, cipher: DataCipher) -> Rows:
    address = cipher.decrypt(row.address).decode() if row.address else None
    return _plain(row, frozenset({"referrer_user_id"})) | {"address": address}


def _history(session: Session, subject: str, ids: Sequence[int]) -> list[Rows]:
    of_them = (Event.subject == subject, Event.subject_id.in_(ids))
    found = session.execute(select(Event.subject_id, Event.kind, Event.at).where(*of_them).order_by(Event.id))
    return [
        {"subject": subject, "id": row.subject_id, "kind": row.kind, "at": row.at.isoformat()}
        for row in found
    ]
