"""The mail of an invitation: what is to be sent, what came of it, and what the provider tells later."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, CursorResult, case, null, select, update
from sqlalchemy.orm import Session

from portal import events, work
from portal.clients.mail_notices import MailNotice
from portal.crypto import DataCipher
from portal.db import database_now
from portal.errors import Upstream
from portal.events import Actor, NewEvent
from portal.referrals.invitations.models import Invitation
from portal.referrals.invitations.service import (
    COMPLAINED,
    SUBJECT,
    Refusal,
    mailed_invitation,
    who_complained,
)
from portal.referrals.states import MAIL_TRANSITIONS, MailStatus
from portal.transitions import origins
from portal.work import Claimed, Moved

# Seconds before each retry.
RETRY = (10.0, 60.0, 300.0, 1800.0, 7200.0)
# Claims beyond the attempts of a mail that its worker may cost before the mail is held to be the cause.
_CRASHES_ALLOWED = 3
_QUEUED = MailStatus.QUEUED
# Errors whose reasons are not our own words: events, which stay for ever, do without them.
_WORDS_OF_OTHERS = frozenset({"mail-refused", "mail-address-invalid"})
_ADDRESS = re.compile(r"\S+@\S+")


@dataclass(frozen=True, slots=True)
class Letter:
    """One attempt to send the mail of an invitation: under which key, to whom, with which token."""

    claimed: Claimed
    key: str
    to: str
    token: str

    @property
    def is_given_up(self) -> bool:
        """Tell whether the workers that tried it ended too often for another try."""
        return self.claimed.attempt > len(RETRY) + 1 + _CRASHES_ALLOWED


@dataclass(frozen=True, slots=True)
class Posted:
    """What one attempt came to: the provider's message id, or the error."""

    letter: Letter
    came_of_it: str | Upstream


@dataclass(frozen=True, slots=True)
class Taken:
    """The keys among some notices that are of invitations, and how many of those said something new."""

    keys: frozenset[str]
    new: int


def take_letters(
    session: Session, claims: Sequence[Claimed], cipher: DataCipher, *, actor: Actor, now: datetime
) -> list[Letter]:
    """Return what is to be sent for claimed work, and end the work for which there is nothing to send.

    Such is a mail that the provider's notices have told of meanwhile, one whose person was erased, and one
    to somebody who complained meanwhile about another's invitation.
    """
    ids = [claimed.reference for claimed in claims]
    found = {row.id: row for row in session.scalars(select(Invitation).where(Invitation.id.in_(ids)))}
    complained = who_complained(session, [row.address_index for row in found.values()])
    letters, idle = [], []
    for claimed in claims:
        row = found.get(claimed.reference)
        if row is None or not (row.address and row.token and row.mail_key) or row.mail_status != _QUEUED:
            idle.append(claimed.id)
            continue
        if row.address_index in complained:
            idle.append(claimed.id)
            _refuse(session, row.id, COMPLAINED, actor, now)
            continue
        to, token = cipher.decrypt(row.address).decode(), cipher.decrypt(row.token).decode()
        letters.append(Letter(claimed, row.mail_key, to, token))
    work.finish(session, idle)
    return letters


def keep_posted(session: Session, posted: Sequence[Posted], *, actor: Actor, now: datetime) -> None:
    """Keep what attempts came to; of those whose lease has run out to somebody else, nothing."""
    owned = work.still_owned(session, [one.letter.claimed for one in posted])
    clock = database_now(session)
    for one in posted:
        if one.letter.claimed.id not in owned:
            continue
        if isinstance(one.came_of_it, Upstream):
            _keep_failure(session, one.letter, one.came_of_it, clock, actor, now)
        else:
            work.finish(session, [one.letter.claimed.id])
            if _set(session, Invitation.mail_key == one.letter.key, MailStatus.SENT, None):
                data: dict[str, object] = {"message_id": one.came_of_it}
                _tell(session, one.letter.claimed.reference, "invitation.mail-sent", data, actor, now)


def take_notices(session: Session, notices: Sequence[MailNotice], *, actor: Actor) -> Taken:
    """Show on invitations what the provider says of their mails.

    A notice about an earlier mail says nothing of the newest, but a complaint is about all of them.
    """
    of_invitations = {notice.effect_key: mailed_invitation(notice.effect_key) for notice in notices}
    wanted = Invitation.uuid.in_([uuid for uuid in of_invitations.values() if uuid])
    ids = {row.uuid: row.id for row in session.execute(select(Invitation.uuid, Invitation.id).where(wanted))}
    keys = frozenset(key for key, uuid in of_invitations.items() if uuid in ids)
    new = 0
    for notice in sorted(notices, key=lambda notice: notice.effect_key):
        if notice.effect_key not in keys:
            continue
        invitation_id = ids[str(of_invitations[notice.effect_key])]
        is_complaint = notice.kind == "complaint"
        which = Invitation.id == invitation_id if is_complaint else Invitation.mail_key == notice.effect_key
        status = _status_of(notice)
        if _set(session, which, status, without_addresses(notice.full_reason)):
            new += 1
            data: dict[str, object] = {"reason": notice.reason} if notice.reason else {}
            _tell(session, invitation_id, f"invitation.mail-{status}", data, actor, notice.at)
    return Taken(keys, new)


def _status_of(notice: MailNotice) -> MailStatus:
    if notice.kind == "bounce":
        return MailStatus.BOUNCED if notice.permanent else MailStatus.SOFT_BOUNCED
    return MailStatus.DELIVERED if notice.kind == "delivery" else MailStatus.COMPLAINED


def without_addresses(said: str | None) -> str | None:
    """Take the mail addresses out of what an outside system said: reasons hold no personal data."""
    return _ADDRESS.sub("the address", said) if said else None


def _keep_failure(
    session: Session, letter: Letter, error: Upstream, clock: datetime, actor: Actor, now: datetime
) -> None:
    mail, reason = Invitation.mail_key == letter.key, without_addresses(error.reason)
    attempt = letter.claimed.attempt
    # What may be there is not sent again by itself: only its notice tells, or else a person decides.
    retries = error.retryable and not error.outcome_unknown and attempt <= len(RETRY)
    data: dict[str, object] = {"code": error.code, "attempt": attempt}
    if error.code not in _WORDS_OF_OTHERS:
        data["reason"] = reason
    if retries:
        # It says why the mail is still to be sent.
        _update(session, (mail, Invitation.mail_status == _QUEUED), None, reason)
        due_at = clock + timedelta(seconds=RETRY[attempt - 1])
        work.move_on(session, [Moved(letter.claimed.id, letter.claimed.lane, attempt, due_at)])
        data["next_at"] = due_at.isoformat()
    else:
        work.finish(session, [letter.claimed.id])
        _set(session, mail, MailStatus.UNKNOWN if error.outcome_unknown else MailStatus.FAILED, reason)
    kind = "invitation.mail-unknown" if error.outcome_unknown else "invitation.mail-failed"
    _tell(session, letter.claimed.reference, kind, data, actor, now)


def _refuse(session: Session, invitation_id: int, refusal: Refusal, actor: Actor, now: datetime) -> None:
    """Say why the mail of an invitation is not sent after all."""
    _set(session, Invitation.id == invitation_id, MailStatus.FAILED, refusal.reason)
    data: dict[str, object] = {"code": refusal.code, "reason": refusal.reason}
    _tell(session, invitation_id, "invitation.mail-failed", data, actor, now)


def _set(session: Session, which: ColumnElement[bool], status: MailStatus, reason: str | None) -> bool:
    allowed = Invitation.mail_status.in_(origins(MAIL_TRANSITIONS, status))
    return _update(session, (which, allowed), status, reason)


def _update(
    session: Session, which: Sequence[ColumnElement[bool]], status: MailStatus | None, reason: str | None
) -> bool:
    # What others say may name the person: once they were erased, it is kept no more.
    told = case((Invitation.address.is_not(None), reason), else_=null())
    changed = session.execute(
        update(Invitation)
        .where(*which)
        .values(mail_reason=told, **({"mail_status": status} if status else {})),
        execution_options={"synchronize_session": False},
    )
    return isinstance(changed, CursorResult) and changed.rowcount == 1


def _tell(
    session: Session, invitation_id: int, kind: str, data: dict[str, object], actor: Actor, at: datetime
) -> None:
    events.record(session, NewEvent(SUBJECT, invitation_id, kind, actor, at, data))
