"""What referrals hold on a person: all of it told, or its addresses and links erased.

What stays after an erasure, and for which purpose, is written in docs/privacy.md.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any, cast

from sqlalchemy import ColumnElement, LargeBinary, Select, case, or_, select, update
from sqlalchemy.orm import InstrumentedAttribute, Session

from portal import events
from portal.crypto import DataCipher
from portal.db import Base
from portal.events import Actor, Event, NewEvent
from portal.referrals.addresses import address_index
from portal.referrals.invitations import service as invitations
from portal.referrals.invitations.models import Invitation, InvitationDay
from portal.referrals.models import Referral, ReferralCondition
from portal.referrals.progress.known_users import lock_users
from portal.referrals.progress.models import (
    ConditionEvidence,
    KnownUser,
    ReferralProgress,
    SpendSeen,
    UserFact,
)
from portal.referrals.recorder import SUBJECT as REFERRAL
from portal.referrals.rewards.earnings import REFERRER
from portal.referrals.rewards.models import Exposure, ReferralFlag, RewardGrant
from portal.referrals.schemes.models import ReferrerUsage
from portal.referrals.states import WAITS_FOR_SIGN_UP, ReferralStatus

USER, ERASED = "user", "person.erased"

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


# Of an invitation, what whoever got it did, and what the server of their mail said.
_BY_OTHERS = frozenset({"clicked_at", "clicks", "mail_reason"})
OF_USERS = (
    Part("users", KnownUser.user_id),
    Part("facts", UserFact.user_id),
    Part("signed_up_by_referral", Referral.user_id, frozenset({"referrer_user_id"})),
    Part("referrals", ReferralProgress.user_id, frozenset({"referrer_user_id", "invitation_id"})),
    Part("referred_others", Referral.referrer_user_id, frozenset({"user_id"})),
    Part("referrals_of_others", ReferralProgress.referrer_user_id, frozenset({"user_id"})),
    Part("rewards", RewardGrant.user_id, frozenset({"pushed_by"})),
    Part("invitations_sent", Invitation.referrer_user_id, _BY_OTHERS),
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
# What is told of an event: no ids of others, and no free words of staff, which may tell of others.
_TOLD_OF_EVENTS = frozenset(
    {"condition", "event_type", "source", "source_id", "amount", "threshold", "currency", "at", "expires_at"}
    | {"scheme_id", "send", "rule", "side", "code", "attempt", "next_at"}
)
# What the sender of an invitation is told of it; the rest was done by whoever got it.
_BY_THE_SENDER = tuple(
    f"invitation.{what}" for what in ("created", "sent-again", "corrected", "reopened", "mail-")
)
_NOT_INCLUDED = {
    "orders": "Orders are not part of this: ask for them by order number or e-mail in the portal.",
    "other_people": "Addresses and user ids of others are left out, also of those whom the person invited.",
    "hashes": "Addresses, networks and devices of users are kept as keyed hashes only, which tell nothing.",
    "waiting_messages": "Messages that could not be taken in, and wait for a person, are not told.",
}


@dataclass(frozen=True, slots=True)
class Sought:
    """Whom somebody asks for: a user id, or the look-up hash of an address."""

    user_id: int | None
    index: str | None


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody: their user ids, their addresses' look-up hashes, and the invitations that they answered.

    Whoever signs up by a link is held to be the person whom it was sent to, whatever their address then.
    """

    sought: Sought
    user_ids: frozenset[int]
    indexes: frozenset[str]
    invitation_ids: frozenset[int]

    @property
    def received(self) -> ColumnElement[bool]:
        """The condition for the invitations that the person got."""
        return or_(Invitation.address_index.in_(self.indexes), Invitation.id.in_(self.invitation_ids))


def find_person(
    session: Session, cipher: DataCipher, *, address: str | None = None, user_id: int | None = None
) -> Person:
    """Find the one who has an address or a user id, by both when the one leads to the other."""
    index = None if address is None else address_index(cipher, address)
    return _find(session, Sought(user_id, index))


def _find(session: Session, sought: Sought) -> Person:
    users = set[int]() if sought.user_id is None else {sought.user_id}
    indexes = set[str]() if sought.index is None else {sought.index}
    users |= set(session.scalars(select(KnownUser.user_id).where(KnownUser.address_index.in_(indexes))))
    users |= set(session.scalars(_who_answered(Invitation.address_index.in_(indexes))))
    own = select(KnownUser.address_index).where(KnownUser.user_id.in_(users))
    indexes |= {index for index in session.scalars(own) if index}
    answered = (
        select(Invitation.id, Invitation.address_index)
        .join(ReferralProgress, ReferralProgress.invitation_id == Invitation.id)
        .where(ReferralProgress.user_id.in_(users))
    )
    invitations_answered = session.execute(answered).all()
    # Others may have invited them at the same address.
    indexes |= {row.address_index for row in invitations_answered}
    invitation_ids = frozenset(row.id for row in invitations_answered)
    return Person(sought, frozenset(users), frozenset(indexes), invitation_ids)


def _who_answered(wanted: ColumnElement[bool]) -> Select[int]:
    return (
        select(ReferralProgress.user_id)
        .join(Invitation, Invitation.referral_id == ReferralProgress.referral_id)
        .where(wanted)
    )


def export_person(
    session: Session, person: Person, *, cipher: DataCipher, actor: Actor, now: datetime
) -> Rows:
    """Return all that is held on a person, ready for JSON, and record that it was handed out."""
    found: Rows = {part.name: _rows(session, part, person.user_ids) for part in OF_USERS}
    referrals = [row["id"] for row in found["signed_up_by_referral"]]
    found |= {part.name: _rows(session, part, referrals) for part in OF_REFERRALS}
    received = _received(session, person)
    found["invitations_received"] = [_invitation(row, cipher) for row in received]
    sent = [row["id"] for row in found["invitations_sent"]]
    found["history"] = [
        *_history(session, USER, person.user_ids),
        *_history(session, invitations.SUBJECT, sent, _BY_THE_SENDER),
        *_history(session, invitations.SUBJECT, [row.id for row in received]),
        *_history(session, REFERRAL, referrals),
    ]
    exported = [NewEvent(USER, user, "person.exported", actor, now) for user in sorted(person.user_ids)]
    exported += [NewEvent(invitations.SUBJECT, row.id, "invitation.exported", actor, now) for row in received]
    events.record_all(session, exported)
    return {"made_at": now.isoformat(), "held": found, "not_included": _NOT_INCLUDED}


def erase_person(session: Session, person: Person, *, actor: Actor, now: datetime) -> int:
    """Erase addresses and links of a person's invitations, sent and received; return how many there were.

    Of the person's users, network, device and details go too. Erased already, it is only recorded again.
    """
    erased = _erase(session, person)
    # A sign-up that held one of these invitations has ended by now, and may have made a user of the person.
    person = _find(session, person.sought)
    erased += _erase(session, person)
    happened = [NewEvent(invitations.SUBJECT, each, "invitation.erased", actor, now) for each in erased]
    happened += [NewEvent(USER, user, ERASED, actor, now) for user in sorted(person.user_ids)]
    events.record_all(session, happened)
    return len(erased)


def _erase(session: Session, person: Person) -> list[int]:
    """Erase what is there of a person; return the invitations of which something was left."""
    known = session.scalars(select(KnownUser.user_id).where(KnownUser.user_id.in_(person.user_ids)))
    for user in lock_users(session, known).values():
        user.network_index = user.device_index = None
    session.flush()
    session.execute(update(UserFact).where(UserFact.user_id.in_(person.user_ids)).values(data={}))
    sent = Invitation.referrer_user_id.in_(person.user_ids)
    return _erase_invitations(session, or_(person.received, sent))


def _erase_invitations(session: Session, theirs: ColumnElement[bool]) -> list[int]:
    held = or_(Invitation.address.is_not(None), Invitation.token_hash.is_not(None))
    found = session.scalars(select(Invitation.id).where(theirs, held)).all()
    # By their keys only: a lock by what several indexes give together could pass over the whole table.
    by_key = select(Invitation.id).where(Invitation.id.in_(found), held).order_by(Invitation.id)
    ids = session.scalars(by_key.with_for_update()).all()
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
    return list(ids)


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


def _received(session: Session, person: Person) -> Sequence[Invitation]:
    return session.scalars(select(Invitation).where(person.received).order_by(Invitation.id)).all()


def _invitation(row: Invitation, cipher: DataCipher) -> Rows:
    address = cipher.decrypt(row.address).decode() if row.address else None
    return _plain(row, frozenset({"referrer_user_id"})) | {"address": address}


def _history(
    session: Session, subject: str, ids: Iterable[int], kinds: tuple[str, ...] = ("",)
) -> list[Rows]:
    """Return the events of some subjects whose kinds begin with these; not those of the referrer's reward."""
    of_them = select(Event).where(Event.subject == subject, Event.subject_id.in_(ids)).order_by(Event.id)
    return [
        {"subject": subject, "id": event.subject_id, "kind": event.kind, "at": event.at.isoformat()}
        | {"data": {name: value for name, value in event.data.items() if name in _TOLD_OF_EVENTS}}
        for event in session.scalars(of_them)
        if event.kind.startswith(kinds) and event.data.get("side") != REFERRER
    ]
