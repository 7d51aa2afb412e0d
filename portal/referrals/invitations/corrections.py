"""Sending an invitation again, to the same address or to the right one."""

from datetime import datetime

from sqlalchemy import CursorResult, select, update
from sqlalchemy.orm import Session

from portal import events
from portal.clients.mail import can_be_sent_to
from portal.errors import Conflict, InvalidInput, NotFound
from portal.events import Actor, NewEvent
from portal.referrals.addresses import address_index
from portal.referrals.invitations.models import Invitation
from portal.referrals.invitations.service import (
    COMPLAINED,
    INVALID,
    INVITED,
    MAIL_WORK,
    SUBJECT,
    Post,
    Request,
    add_invitation,
    give_link,
    queue_mail,
    refusal_of,
    who_complained,
)
from portal.referrals.states import (
    MAIL_TRANSITIONS,
    REFERRAL_TRANSITIONS,
    WAITS_FOR_SIGN_UP,
    MailStatus,
    ReferralStatus,
)
from portal.transitions import origins
from portal.work import Work


def send_again(
    session: Session, invitation_id: int, address: str | None, post: Post, *, actor: Actor, now: datetime
) -> int:
    """Send an invitation with a new link, to a corrected `address` if there is one; return its id.

    To the same address it stays the same invitation. Another address is another person: the invitation is
    cancelled, its link leads nowhere, and a successor takes its place; the events of both name the other.
    The successor is new, or that which an earlier correction cancelled, so that a mistake can be taken back.
    Raises Conflict when nothing may be sent now, InvalidInput for an address that cannot be sent to.
    """
    invitation = session.get(Invitation, invitation_id, with_for_update=True, populate_existing=True)
    if invitation is None:
        raise NotFound("There is no such invitation.")
    _require_open(session, invitation)
    if address is None or address_index(post.cipher, address) == invitation.address_index:
        return _send_to_the_same(session, invitation, address, post, actor, now)
    return _send_to_another(session, invitation, address.strip(), post, actor, now)


def _require_open(session: Session, invitation: Invitation) -> None:
    if invitation.address is None:
        raise Conflict("The person who was invited was erased.", code="erased")
    if invitation.status not in WAITS_FOR_SIGN_UP:
        raise Conflict(f"The invitation is {invitation.status}.", code="invitation-closed")
    waiting = select(Work.id).where(Work.kind == MAIL_WORK, Work.reference == invitation.id)
    if session.scalar(waiting) is not None:
        raise Conflict("Its mail is still on its way.", code="mail-on-its-way")


def _send_to_the_same(
    session: Session, invitation: Invitation, address: str | None, post: Post, actor: Actor, now: datetime
) -> int:
    can_be_queued = invitation.mail_status in origins(MAIL_TRANSITIONS, MailStatus.QUEUED)
    if not can_be_queued or who_complained(session, [invitation.address_index]):
        raise Conflict(COMPLAINED.reason, code=COMPLAINED.code)
    if address is not None:
        # It may differ in what look-ups ignore.
        invitation.address = post.cipher.encrypt(_checked(address.strip()).encode())
    give_link(invitation, post)
    queue_mail(session, invitation)
    event = NewEvent(SUBJECT, invitation.id, "invitation.sent-again", actor, now, {"send": invitation.sends})
    events.record(session, event)
    return invitation.id


def _send_to_another(
    session: Session, invitation: Invitation, address: str, post: Post, actor: Actor, now: datetime
) -> int:
    request = Request(invitation.referrer_user_id, [_checked(address)], invitation.scheme_id)
    refusal = refusal_of(session, request, post.cipher)
    earlier = _find_cancelled(session, request, post) if refusal is INVITED else None
    if refusal is not None and earlier is None:
        raise Conflict(refusal.reason, code=refusal.code)
    cancelled = session.execute(
        update(Invitation)
        .where(
            Invitation.id == invitation.id,
            Invitation.status.in_(origins(REFERRAL_TRANSITIONS, ReferralStatus.CANCELLED)),
        )
        .values(status=ReferralStatus.CANCELLED, token=None, token_hash=None)
    )
    if not isinstance(cancelled, CursorResult) or cancelled.rowcount != 1:
        raise Conflict("The invitation was answered meanwhile.", code="invitation-closed")
    if earlier is not None:
        successor = _reopen(session, earlier, invitation, address, post, actor, now)
    else:
        successor = add_invitation(
            session, request, invitation.scheme_id, address, post, actor, now, predecessor_id=invitation.id
        )
    data = {"successor_id": successor.id}
    events.record(session, NewEvent(SUBJECT, invitation.id, "invitation.corrected", actor, now, data))
    return successor.id


def _find_cancelled(session: Session, request: Request, post: Post) -> Invitation | None:
    """Return the invitation to the one address of a request if a correction has cancelled it."""
    wanted = select(Invitation).where(
        Invitation.referrer_user_id == request.referrer_user_id,
        Invitation.address_index == address_index(post.cipher, request.addresses[0]),
        Invitation.status.in_(origins(REFERRAL_TRANSITIONS, ReferralStatus.INVITED)),
        # Whoever was erased is invited no more.
        Invitation.address.is_not(None),
    )
    return session.scalar(wanted.with_for_update().execution_options(populate_existing=True))


def _reopen(
    session: Session,
    earlier: Invitation,
    predecessor: Invitation,
    address: str,
    post: Post,
    actor: Actor,
    now: datetime,
) -> Invitation:
    earlier.status, earlier.clicked_at = ReferralStatus.INVITED, None
    earlier.scheme_id = predecessor.scheme_id
    earlier.address = post.cipher.encrypt(address.encode())
    give_link(earlier, post)
    queue_mail(session, earlier)
    data = {"predecessor_id": predecessor.id, "send": earlier.sends}
    events.record(session, NewEvent(SUBJECT, earlier.id, "invitation.reopened", actor, now, data))
    return earlier


def _checked(address: str) -> str:
    if not can_be_sent_to(address):
        raise InvalidInput(INVALID.reason, code=INVALID.code, field="address")
    return address
