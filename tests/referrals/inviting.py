"""What invitations need around them: an active scheme, a referrer's request, and a look at the rows."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal

from sqlalchemy import select
from sqlalchemy.orm import Session

from portal.clients.aws import Message
from portal.crypto import DataCipher, new_link_token
from portal.db import Base, Database
from portal.events import Actor, Event
from portal.referrals.invitations.models import Invitation
from portal.referrals.invitations.service import Answer, Post, Request, invite
from portal.referrals.models import ReferralScheme, Reward
from portal.referrals.schemes.models import ActiveScheme, SchemeVersion
from portal.runtime import Runtime

REFERRER = 41
PRODUCT = "loans"
CLIENT = Actor("client", "shop")
NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


def post_of(runtime: Runtime, daily_limit: int | None = None) -> Post:
    """Return what the portal makes invitations with."""
    limit = daily_limit or runtime.settings.invitations_per_day
    return Post(runtime.cipher, limit, runtime.new_id, new_link_token)


def add_active_scheme(session: Session, product: str = PRODUCT) -> int:
    """Make a scheme with its rewards, and make it the active one of its product; return its id."""
    rewards = [Reward(name=f"{product}-{side}", amount=Decimal(10)) for side in ("a", "b")]
    session.add_all(rewards)
    session.flush()
    scheme = ReferralScheme(
        product=product,
        expiry_period_type="days",
        expiry_period_length=30,
        limit_rewards=5,
        recruit_reward_id=rewards[0].id,
        referrer_reward_id=rewards[1].id,
        active=True,
        activated_at=NOW,
    )
    session.add(scheme)
    session.flush()
    session.add(
        SchemeVersion(
            scheme_id=scheme.id,
            family_id=scheme.id,
            version=1,
            name=product.title(),
            state="active",
            currency="USD",
            created_by="admin",
            created_at=NOW,
        )
    )
    session.add(ActiveScheme(product=product, scheme_id=scheme.id))
    session.flush()
    return scheme.id


def invite_all(
    runtime: Runtime,
    *addresses: str,
    scheme_id: int | None = 1,
    referrer: int = REFERRER,
    own_address: str | None = None,
    daily_limit: int | None = None,
    now: datetime = NOW,
) -> list[Answer]:
    """Invite in one transaction."""
    request = Request(referrer, addresses, scheme_id, own_address)
    post = post_of(runtime, daily_limit)
    return runtime.transact(lambda session: invite(session, request, post, actor=CLIENT, now=now))


def codes(answers: list[Answer]) -> list[str | None]:
    """Return the code of each refusal, None where there was none."""
    return [answer.refusal.code if answer.refusal else None for answer in answers]


def invitations(runtime: Runtime) -> list[Invitation]:
    """Return all invitations, oldest first."""
    with runtime.writer() as session:
        return list(session.scalars(select(Invitation).order_by(Invitation.id)))


def token_of(runtime: Runtime, invitation: Invitation) -> str:
    """Return the token of an invitation's link."""
    assert invitation.token is not None
    return runtime.cipher.decrypt(invitation.token).decode()


def notice(invitation: Invitation, kind: str, **about: object) -> Message:
    """Return a notice of SES about the mail of an invitation."""
    body = {
        "notificationType": kind,
        "mail": {"source": f"bounce+{invitation.mail_key}@mail.waybill.example", "messageId": "m"},
        kind.lower(): {"timestamp": "2026-11-20T12:00:00.000Z", **about},
    }
    return Message("m", "r", json.dumps(body), 1)


def kinds(runtime: Runtime) -> list[str]:
    """Return what happened to invitations, oldest first."""
    with runtime.writer() as session:
        return list(
            session.scalars(select(Event.kind).where(Event.subject == "invitation").order_by(Event.id))
        )


def readable(database: Database, cipher: DataCipher) -> str:
    """Return all that a database holds, as whoever has the key can read it."""
    with database.writer() as session:
        rows = [row for table in Base.metadata.sorted_tables for row in session.execute(select(table))]
    told = [cipher.decrypt(one) if isinstance(one, bytes) and one else one for row in rows for one in row]
    return repr(told)
