"""Invitations: each address gets a link of its own, once from each referrer, within the referrer's day."""

import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import CursorResult, select, update
from sqlalchemy.dialects import mysql, sqlite
from sqlalchemy.orm import Session

from portal import events, work
from portal.clients.mail import can_be_sent_to
from portal.crypto import DataCipher, token_hash
from portal.db import database_now
from portal.events import Actor, NewEvent
from portal.referrals.addresses import address_index, folded_index
from portal.referrals.invitations.models import Invitation, InvitationDay
from portal.referrals.progress.models import KnownUser
from portal.referrals.states import MailStatus, ReferralStatus

SUBJECT = "invitation"
MAIL_WORK = "invitation-mail"
MAIL_LANE = "mail"
_COMPLAINED = Invitation.mail_status == MailStatus.COMPLAINED
_MAIL_KEY = re.compile(r"(\w{8})(\w{4})(\w{4})(\w{4})(\w{12})-invitation-\d+", re.ASCII)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why an address was not invited: `code` for machines, `reason` for people."""

    code: str
    reason: str


INVALID = Refusal("address-invalid", "This is no address that mail can be sent to.")
OWN = Refusal("own-address", "This is the address of the person who invites.")
COMPLAINED = Refusal("recipient-complained", "The recipient complained, and is sent no other mail.")
SIGNED_UP = Refusal("already-signed-up", "Whoever has this address has signed up already.")
INVITED = Refusal("already-invited", "This person has invited this address already.")
DAILY_LIMIT = Refusal("daily-limit", "This person may send no more invitations today (UTC).")
NO_SCHEME = Refusal("no-active-scheme", "No referral scheme is active.")


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of one address: the invitation's public id, or why there is none."""

    address: str
    invitation: str | None = None
    refusal: Refusal | None = None


@dataclass(frozen=True, slots=True)
class Post:
    """What invitations are made with: keys, ids, tokens, and how many one referrer may send on a day."""

    cipher: DataCipher
    daily_limit: int
    new_id: Callable[[], str]
    new_token: Callable[[], str]


@dataclass(frozen=True, slots=True)
class Request:
    """Who invites whom, under which scheme; `own_address` is the referrer's, where the caller knows it."""

    referrer_user_id: int
    addresses: Sequence[str]
    scheme_id: int | None
    own_address: str | None = None


def invite(session: Session, request: Request, post: Post, *, actor: Actor, now: datetime) -> list[Answer]:
    """Invite those addresses that may be invited, and say of each in turn what became of it.

    Of two requests at once the database decides: the row of the referrer's day is locked first, and over
    midnight the key of referrer and address makes the later one an IntegrityError, to be run again.
    """
    if request.scheme_id is None:
        return [Answer(address, refusal=NO_SCHEME) for address in request.addresses]
    _lock_day(session, request.referrer_user_id, now)
    known = _Known.read(session, request, post.cipher)
    answers = []
    for address in (given.strip() for given in request.addresses):
        index = address_index(post.cipher, address)
        refusal = INVALID if not can_be_sent_to(address) else known.refusal(index)
        if refusal is None and not _take_from_day(session, request.referrer_user_id, post.daily_limit, now):
            refusal = DAILY_LIMIT
        if refusal is not None:
            answers.append(Answer(address, refusal=refusal))
            continue
        invitation = add_invitation(session, request, request.scheme_id, address, post, actor, now)
        known.invited.add(index)
        answers.append(Answer(address, invitation.uuid))
    return answers


def refusal_of(session: Session, request: Request, cipher: DataCipher) -> Refusal | None:
    """Return why the one address of a request may not be invited, or None."""
    known = _Known.read(session, request, cipher)
    return known.refusal(address_index(cipher, request.addresses[0]))


def add_invitation(
    session: Session,
    request: Request,
    scheme_id: int,
    address: str,
    post: Post,
    actor: Actor,
    now: datetime,
    *,
    predecessor_id: int | None = None,
) -> Invitation:
    """Add an invitation and the work of mailing it; `predecessor_id` is the one that it corrects."""
    invitation = Invitation(
        uuid=post.new_id(),
        scheme_id=scheme_id,
        referrer_user_id=request.referrer_user_id,
        address=post.cipher.encrypt(address.encode()),
        address_index=address_index(post.cipher, address),
        folded_index=folded_index(post.cipher, address),
        status=ReferralStatus.INVITED,
        sends=0,
        clicks=0,
        created_at=now,
    )
    give_link(invitation, post)
    session.add(invitation)
    session.flush()
    queue_mail(session, invitation)
    data = {"referrer_user_id": invitation.referrer_user_id, "scheme_id": scheme_id}
    data |= {"predecessor_id": predecessor_id} if predecessor_id else {}
    events.record(session, NewEvent(SUBJECT, invitation.id, "invitation.created", actor, now, data))
    return invitation


def give_link(invitation: Invitation, post: Post) -> None:
    """Give an invitation a new link and a new mail; the link that it had leads nowhere from then on."""
    token = post.new_token()
    invitation.token, invitation.token_hash = post.cipher.encrypt(token.encode()), token_hash(token)
    invitation.sends += 1
    invitation.mail_key = f"{invitation.uuid.replace('-', '')}-invitation-{invitation.sends}"
    invitation.mail_status, invitation.mail_reason = MailStatus.QUEUED, None


def mailed_invitation(mail_key: str) -> str | None:
    """Return the uuid of the invitation that a mail was of, whichever sending it was; else None."""
    found = _MAIL_KEY.fullmatch(mail_key)
    return "-".join(found.groups()) if found else None


def who_complained(session: Session, indexes: Collection[str]) -> set[str]:
    """Return those of some addresses whose owner complained about an invitation, from whomever it was."""
    found = select(Invitation.address_index).where(Invitation.address_index.in_(indexes), _COMPLAINED)
    return set(session.scalars(found))


def queue_mail(session: Session, invitation: Invitation) -> None:
    """Let the mail of an invitation be sent."""
    work.enqueue(session, MAIL_WORK, [work.New(invitation.id, MAIL_LANE)], database_now(session))


@dataclass(frozen=True, slots=True)
class _Known:
    """What is known of the addresses of a request, by their look-up hashes."""

    own: set[str]
    signed_up: set[str]
    complained: set[str]
    invited: set[str]

    @classmethod
    def read(cls, session: Session, request: Request, cipher: DataCipher) -> "_Known":
        indexes = {address_index(cipher, address) for address in request.addresses}
        own = select(KnownUser.address_index).where(KnownUser.user_id == request.referrer_user_id)
        signed_up = select(KnownUser.address_index).where(KnownUser.address_index.in_(indexes))
        theirs = Invitation.referrer_user_id == request.referrer_user_id
        told = select(Invitation.address_index, theirs.label("is_theirs"), _COMPLAINED.label("complained"))
        rows = session.execute(told.where(Invitation.address_index.in_(indexes), theirs | _COMPLAINED)).all()
        found = cls(
            own={index for index in session.scalars(own) if index},
            signed_up={index for index in session.scalars(signed_up) if index},
            complained={row.address_index for row in rows if row.complained},
            invited={row.address_index for row in rows if row.is_theirs},
        )
        if request.own_address:
            found.own.add(address_index(cipher, request.own_address))
        return found

    def refusal(self, index: str) -> Refusal | None:
        if index in self.own:
            return OWN
        if index in self.signed_up:
            return SIGNED_UP
        if index in self.complained:
            return COMPLAINED
        return INVITED if index in self.invited else None


def _lock_day(session: Session, referrer_user_id: int, now: datetime) -> None:
    """Make the row of the referrer's day if it is missing; whoever else invites for them waits for us."""
    values = {"referrer_user_id": referrer_user_id, "day": now.date(), "sent": 0}
    same = {"sent": InvitationDay.sent}
    if session.get_bind().dialect.name == "sqlite":
        upsert = sqlite.insert(InvitationDay).values(values)
        session.execute(upsert.on_conflict_do_update(index_elements=["referrer_user_id", "day"], set_=same))
    else:
        session.execute(mysql.insert(InvitationDay).values(values).on_duplicate_key_update(same))


def _take_from_day(session: Session, referrer_user_id: int, limit: int, now: datetime) -> bool:
    taken = session.execute(
        update(InvitationDay)
        .where(
            InvitationDay.referrer_user_id == referrer_user_id,
            InvitationDay.day == now.date(),
            InvitationDay.sent < limit,
        )
        .values(sent=InvitationDay.sent + 1),
        execution_options={"synchronize_session": False},
    )
    return isinstance(taken, CursorResult) and taken.rowcount == 1
