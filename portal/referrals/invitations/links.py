"""Links of invitations: what a click does, and where it leads."""

import re
from datetime import datetime
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from sqlalchemy import CursorResult, case, select, update
from sqlalchemy.orm import Session

from portal import events
from portal.crypto import token_hash
from portal.events import Actor, NewEvent
from portal.referrals.invitations.models import Invitation
from portal.referrals.invitations.service import SUBJECT
from portal.referrals.states import REFERRAL_TRANSITIONS, ReferralStatus
from portal.transitions import origins

_PARAMETER = "token"
# As `new_link_token` makes them.
_TOKEN = re.compile(r"[A-Za-z0-9_-]{22}")
_WHO_CLICKS = Actor("customer", "link")


def link_to(public_url: str, token: str) -> str:
    """Return the address that a mail carries."""
    return f"{public_url.rstrip('/')}/r/{token}"


def sign_up_link(sign_up_url: str, token: str | None) -> str:
    """Return the sign-up address, with the token as a parameter of it when there is one."""
    if token is None:
        return sign_up_url
    parts = urlsplit(sign_up_url)
    parameters = [*parse_qsl(parts.query, keep_blank_values=True), (_PARAMETER, token)]
    return urlunsplit(parts._replace(query=urlencode(parameters)))


def has_form_of_token(text: str) -> bool:
    """Tell whether a text may be the token of a link, whether or not there is such a link."""
    return _TOKEN.fullmatch(text) is not None


def record_click(session: Session, token: str, now: datetime) -> bool:
    """Count a click on a link; return whether there is an invitation with that token."""
    hashed = token_hash(token)
    is_first = _count_click(session, hashed, now, first=True)
    if is_first:
        row = session.execute(select(Invitation.id).where(Invitation.token_hash == hashed)).one()
        events.record(session, NewEvent(SUBJECT, row.id, "invitation.clicked", _WHO_CLICKS, now))
    return is_first or _count_click(session, hashed, now, first=False)


def is_known(session: Session, token: str) -> bool:
    """Tell whether there is an invitation with that token."""
    found = session.scalar(select(Invitation.id).where(Invitation.token_hash == token_hash(token)))
    return found is not None


def _count_click(session: Session, hashed: str, now: datetime, *, first: bool) -> bool:
    clickable = Invitation.status.in_(origins(REFERRAL_TRANSITIONS, ReferralStatus.CLICKED))
    once = {"clicked_at": now, "status": case((clickable, ReferralStatus.CLICKED), else_=Invitation.status)}
    counted = session.execute(
        update(Invitation)
        .where(
            Invitation.token_hash == hashed,
            Invitation.clicked_at.is_(None) if first else Invitation.clicked_at.is_not(None),
        )
        .values(clicks=Invitation.clicks + 1, **(once if first else {})),
        execution_options={"synchronize_session": False},
    )
    return isinstance(counted, CursorResult) and counted.rowcount == 1
