"""A scheme with its conditions, people who were invited, and what the services tell of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from itertools import count
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from portal.crypto import DataCipher, new_link_token
from portal.db import Database
from portal.events import Actor, Event
from portal.referrals.invitations.models import Invitation
from portal.referrals.invitations.service import Post, Request, invite
from portal.referrals.models import Condition, ReferralScheme, Reward, SchemeCondition
from portal.referrals.progress.known_users import lock_users
from portal.referrals.progress.messages import SignUp, Verification
from portal.referrals.progress.models import ReferralProgress
from portal.referrals.progress.service import SPEND, Evidence, Outcome, meet_condition
from portal.referrals.progress.sign_ups import (
    Recorded,
    SignedUp,
    Verified,
    record_sign_ups,
    record_verifications,
)
from portal.referrals.recorder import FraudRules, Recorder
from portal.referrals.rewards.models import ReferralFlag, RewardGrant
from portal.referrals.schemes.models import ReferrerUsage, SchemeBudget, SchemeVersion

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
RULES = FraudRules(timedelta(hours=1), sign_ups_of_network=3, sign_ups_of_device=2, referrals_a_day=4)
REFERRER, RECRUIT = 41, 1001
LISTENER = Actor("job", "sign-ups")
EVENT_TYPES = ("sign-up", "verification", "spend")


def scheme(
    session: Session,
    *event_types: str,
    limit: int = 0,
    total: str | None = None,
    period: tuple[str, int] = ("days", 30),
    rewards: tuple[str, str] = ("10.10", "5.20"),
) -> int:
    """Make a scheme with these conditions (by default all) and rewards (referrer's, recruit's)."""
    number = len(session.scalars(select(ReferralScheme.id)).all()) + 1
    both = [
        Reward(name=f"{side} {number}", amount=Decimal(amount))
        for side, amount in zip("ab", rewards, strict=True)
    ]
    session.add_all(both)
    session.flush()
    made = ReferralScheme(
        product="loans",
        expiry_period_type=period[0],
        expiry_period_length=period[1],
        limit_rewards=limit,
        referrer_reward_id=both[0].id,
        recruit_reward_id=both[1].id,
        active=True,
        activated_at=NOW,
    )
    session.add(made)
    session.flush()
    _add_version(session, made.id, total)
    for ordinal, event_type in enumerate(event_types or EVENT_TYPES, start=1):
        condition_id = _condition(session, event_type)
        asked = SchemeCondition(referral_scheme_id=made.id, condition_id=condition_id, ordinal=ordinal)
        asked.data = "{}"
        session.add(asked)
    session.flush()
    return made.id


def _add_version(session: Session, scheme_id: int, total: str | None) -> None:
    version = SchemeVersion(scheme_id=scheme_id, family_id=scheme_id, version=1, name="Loans")
    version.state, version.currency = "active", "USD"
    version.created_by, version.created_at = "admin", NOW
    budget = SchemeBudget(family_id=scheme_id, total=None if total is None else Decimal(total))
    budget.reserved = budget.committed = budget.spent = Decimal(0)
    session.add_all([version, budget])


def _condition(session: Session, event_type: str) -> int:
    known = session.scalar(select(Condition.id).where(Condition.event_type == event_type))
    if known is not None:
        return known
    condition = Condition(name=event_type, event_type=event_type)
    session.add(condition)
    session.flush()
    return condition.id


@dataclass
class Scene:
    """A database with one scheme, and short ways to let things happen in it at `now`."""

    database: Database
    scheme_id: int
    cipher: DataCipher
    now: datetime = NOW
    rules: FraudRules = RULES
    new_id: Callable[[], str] = field(default_factory=lambda: partial(_numbered, count(1)))

    @property
    def recorder(self) -> Recorder:
        return Recorder(LISTENER, self.now, self.new_id, self.rules)

    def invite(self, address: str, referrer: int = REFERRER, scheme_id: int | None = None) -> str:
        """Let a referrer invite an address; return the token of its link."""
        token = new_link_token()
        post = Post(self.cipher, 1000, self.new_id, lambda: token)
        request = Request(referrer, [address], scheme_id or self.scheme_id)
        with self.database.writer() as session:
            (answer,) = invite(session, request, post, actor=Actor("client", "shop"), now=self.now)
            assert answer.refusal is None
        return token

    def sign_up(
        self,
        user_id: int = RECRUIT,
        email: str = "ana@example.com",
        at: datetime | None = None,
        **more: str | None,
    ) -> Recorded:
        """Let a user sign up now, or at `at`."""
        told = {"type": "user.signed-up", "user_id": user_id, "email": email} | more
        message = SignUp.model_validate(told | {"at": (at or self.now).isoformat()})
        with self.database.writer() as session:
            signed_up = [SignedUp(message, f"sign-up-{user_id}")]
            (done,) = record_sign_ups(session, signed_up, cipher=self.cipher, recorder=self.recorder)
        return done

    def verify(self, user_id: int = RECRUIT, at: datetime | None = None) -> Recorded:
        """Let a user be verified now, or at `at`."""
        told = {"type": "user.verified", "user_id": user_id, "at": (at or self.now).isoformat()}
        verified = [Verified(Verification.model_validate(told), f"verification-{user_id}")]
        with self.database.writer() as session:
            (done,) = record_verifications(session, verified, recorder=self.recorder)
        return done

    def spend(self, user_id: int = RECRUIT, at: datetime | None = None) -> Outcome:
        """Let a poll see that a user spent enough."""
        evidence = Evidence("poll", "1", at or self.now, Decimal(120), Decimal(100), "USD")
        with self.database.writer() as session:
            lock_users(session, [user_id])
            progress = session.scalars(
                select(ReferralProgress).where(ReferralProgress.user_id == user_id)
            ).one()
            return meet_condition(session, progress.referral_id, SPEND, evidence, self.recorder)

    def convert(self, user_id: int = RECRUIT, email: str | None = None, **more: Any) -> int:
        """Lead a user from the invitation to the conversion; return the referral's id."""
        address = email or f"u{user_id}@example.com"
        referrer = more.pop("referrer", REFERRER)
        self.sign_up(user_id, address, token=self.invite(address, referrer), **more)
        self.verify(user_id)
        assert self.spend(user_id) == "converted"
        return self.progress(user_id).referral_id

    def progress(self, user_id: int = RECRUIT) -> ReferralProgress:
        return self.one(ReferralProgress, ReferralProgress.user_id == user_id)

    def grants(self, user_id: int = RECRUIT) -> dict[str, RewardGrant]:
        """Return the rewards of a user's referral by side."""
        of_referral = RewardGrant.referral_id == self.progress(user_id).referral_id
        return {grant.side: grant for grant in self.all(RewardGrant, of_referral)}

    def flags(self, user_id: int = RECRUIT) -> list[str]:
        """Return the rules that flagged a user's referral."""
        of_referral = ReferralFlag.referral_id == self.progress(user_id).referral_id
        return [flag.rule for flag in self.all(ReferralFlag, of_referral)]

    def budget(self) -> tuple[Decimal, Decimal, Decimal]:
        """Return what is reserved, committed and spent."""
        row = self.one(SchemeBudget)
        return row.reserved, row.committed, row.spent

    def usage(self, referrer: int = REFERRER) -> int:
        """Return how many rewards of a referrer count."""
        return sum(row.rewards for row in self.all(ReferrerUsage, ReferrerUsage.referrer_user_id == referrer))

    def events(self, kind: str) -> list[Event]:
        return self.all(Event, Event.kind == kind)

    def invitation(self, token: str) -> Invitation:
        rows = self.all(Invitation)
        return next(row for row in rows if row.token and self.cipher.decrypt(row.token).decode() == token)

    def all(self, model: Any, *conditions: Any) -> list[Any]:
        with self.database.writer() as session:
            return list(session.scalars(select(model).where(*conditions)))

    def one(self, model: Any, *conditions: Any) -> Any:
        (row,) = self.all(model, *conditions)
        return row


def _numbered(ids: count[int]) -> str:
    return f"{next(ids):036d}"


def kinds(events: Sequence[Event]) -> list[str]:
    return [event.kind for event in events]
