"""What users do, told in a disorder that a seed decides, and what must come of it in the end."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from random import Random
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from portal.clients.aws import Outgoing
from portal.referrals.addresses import address_index, folded_index
from portal.referrals.invitations.models import Invitation
from portal.referrals.invitations.service import Post, give_link
from portal.referrals.models import Referral, ReferralCondition
from portal.referrals.progress.known_users import device_index, lock_users
from portal.referrals.progress.models import ReferralProgress
from portal.referrals.rewards.models import RewardGrant
from portal.runtime import Runtime
from sandbox.client import SandboxClient
from tests.referrals.inviting import post_of
from tests.referrals.scenes import scheme

LIMIT = 4
RECRUITS_OF_A_REFERRER = 6
# The reward system refuses users whose id ends in 000: one of the first hundred is.
FIRST_RECRUIT = 100_901
TWICE, DISPLACED, LATE = 0.3, 0.3, 0.05


@dataclass(frozen=True, slots=True)
class User:
    """A user and what they do: `by` is how they were invited, if they were."""

    id: int
    referrer: int
    by: str | None
    verified: bool
    on_device_of_referrer: bool

    @property
    def email(self) -> str:
        return f"user{self.id}@example.com"


@dataclass
class Story:
    """All users of a run, in the order in which they sign up."""

    users: list[User]
    began: datetime
    tokens: dict[int, str] = field(default_factory=dict)

    @classmethod
    def tell(cls, random: Random, users: int, began: datetime) -> Story:
        told = []
        for number in range(users):
            by = random.choices(["token", "address", None], [5, 4, 1])[0]
            told.append(
                User(
                    id=FIRST_RECRUIT + number,
                    referrer=1 + number // RECRUITS_OF_A_REFERRER,
                    by=by,
                    verified=random.random() < 0.8,
                    # Once for each referrer at the most, else their device is a burst.
                    on_device_of_referrer=number % RECRUITS_OF_A_REFERRER == 0 and random.random() < 0.3,
                )
            )
        return cls(told, began)

    def referrals(self) -> list[User]:
        return [user for user in self.users if user.by is not None]

    def converted(self) -> list[User]:
        return [user for user in self.referrals() if user.verified]

    def prepare(self, runtime: Runtime) -> None:
        """Make the scheme, the referrers with their devices, and the invitations."""
        scheme_id = runtime.transact(lambda session: scheme(session, "sign-up", "verification", limit=LIMIT))
        for start in range(0, len(self.users), 500):
            part = self.users[start : start + 500]
            runtime.transact(partial(self._prepare, runtime=runtime, scheme_id=scheme_id, users=part))

    def _prepare(self, session: Session, *, runtime: Runtime, scheme_id: int, users: list[User]) -> None:
        long_ago = self.began - timedelta(days=300)
        for referrer, row in lock_users(session, {user.referrer for user in users}).items():
            row.device_index = device_index(runtime.cipher, f"device of {referrer}")
            row.signed_up_at = long_ago
        post = post_of(runtime)
        for user in users:
            if user.by is None:
                continue
            invitation, self.tokens[user.id] = invitation_of(user, scheme_id, post, long_ago)
            session.add(invitation)

    def messages(self, random: Random) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
        """Return what is told, and what is told late, as (topic, text), with copies and out of order."""
        told: list[tuple[str, str]] = []
        for number, user in enumerate(self.users):
            at = self.began + timedelta(seconds=number)
            told.append(("user-sign-ups", json.dumps(self._sign_up(user, at))))
            if user.verified:
                verified = {
                    "type": "user.verified",
                    "user_id": user.id,
                    "at": (at + timedelta(minutes=5)).isoformat(),
                }
                told.append(("user-verifications", json.dumps(verified)))
        told += random.sample(told, int(len(told) * TWICE))
        for _ in range(int(len(told) * DISPLACED)):
            told.insert(random.randrange(len(told)), told.pop(random.randrange(len(told))))
        late = set(random.sample(range(len(told)), int(len(told) * LATE)))
        prompt = [one for number, one in enumerate(told) if number not in late]
        return prompt, [told[number] for number in sorted(late)]

    def _sign_up(self, user: User, at: datetime) -> dict[str, Any]:
        number = user.id - FIRST_RECRUIT
        device = f"device of {user.referrer if user.on_device_of_referrer else user.id}"
        return {
            "type": "user.signed-up",
            "user_id": user.id,
            "email": user.email if user.by != "token" else f"other{user.id}@example.com",
            "token": self.tokens[user.id] if user.by == "token" else None,
            "ip": f"10.{number // 256 % 256}.{number % 256}.7",
            "device": device,
            "at": at.isoformat(),
        }


def invitation_of(user: User, scheme_id: int, post: Post, now: datetime) -> tuple[Invitation, str]:
    """Make an invitation without its mail; return it and its token."""
    invitation = Invitation(
        uuid=post.new_id(),
        scheme_id=scheme_id,
        referrer_user_id=user.referrer,
        address=post.cipher.encrypt(user.email.encode()),
        address_index=address_index(post.cipher, user.email),
        folded_index=folded_index(post.cipher, user.email),
        status="invited",
        sends=0,
        clicks=0,
        created_at=now,
    )
    give_link(invitation, post)
    assert invitation.token is not None
    return invitation, post.cipher.decrypt(invitation.token).decode()


def publish(runtime: Runtime, sns: Any, topics: dict[str, str], messages: Iterable[tuple[str, str]]) -> None:
    """Tell messages: every other one by its topic, the rest as raw delivery would put it on the queue."""
    raw: dict[str, list[Outgoing]] = {topic: [] for topic in topics}
    for number, (topic, text) in enumerate(messages):
        if number % 2:
            raw[topic].append(Outgoing(text))
        else:
            sns.publish(TopicArn=topics[topic], Message=text)
    for topic, outgoing in raw.items():
        runtime.queues.send(topic, outgoing)


def assert_rows_as_submitted(runtime: Runtime, story: Story) -> None:
    """Hold referrals, conditions, statuses and flags against the story."""
    with runtime.writer() as session:
        referrals = dict(session.execute(select(Referral.user_id, Referral.referrer_user_id)).all())
        met = Counter(
            session.scalars(
                select(Referral.user_id).join(ReferralCondition, ReferralCondition.referral_id == Referral.id)
            )
        )
        progress = {row.user_id: row for row in session.scalars(select(ReferralProgress))}
    assert referrals == {user.id: user.referrer for user in story.referrals()}
    assert met == {user.id: 2 if user.verified else 1 for user in story.referrals()}
    assert {user_id: row.status for user_id, row in progress.items()} == {
        user.id: "converted" if user.verified else "started" for user in story.referrals()
    }
    flagged = {user_id for user_id, row in progress.items() if row.review == "flagged"}
    assert flagged == {user.id for user in story.referrals() if user.on_device_of_referrer}


def assert_rewards_as_submitted(runtime: Runtime, client: SandboxClient, story: Story) -> None:
    """Hold rewards against the story, and the ledger of the reward system against the rewards."""
    with runtime.writer() as session:
        rows = session.execute(
            select(RewardGrant, Referral.user_id).join(Referral, Referral.id == RewardGrant.referral_id)
        ).all()
    by_side = Counter((user_id, grant.side) for grant, user_id in rows)
    converted = [(user.id, side) for user in story.converted() for side in ("referrer", "recruit")]
    assert by_side == dict.fromkeys(converted, 1)
    flagged = {user.id for user in story.converted() if user.on_device_of_referrer}
    held = {user_id for grant, user_id in rows if grant.code == "in-review"}
    assert held == flagged
    within = Counter(
        grant.user_id for grant, _ in rows if grant.side == "referrer" and grant.code != "limit-reached"
    )
    conversions = Counter(user.referrer for user in story.converted())
    assert within == {referrer: min(LIMIT, number) for referrer, number in conversions.items()}
    failed = {grant.id for grant, _ in rows if grant.status == "failed"}
    assert failed == {
        grant.id for grant, _ in rows if grant.user_id % 1000 == 0 and grant.status != "pending"
    }
    assert_ledger_is_of(client, [grant for grant, _ in rows if grant.status == "sent"])


def assert_ledger_is_of(client: SandboxClient, sent: list[RewardGrant]) -> None:
    """Hold the effects of the reward system against the rewards that were delivered: each once."""
    effects: list[dict[str, Any]] = []
    while page := client.effects("rewards", after=effects[-1]["id"] if effects else 0):
        effects += page
    assert sorted(effect["key"] for effect in effects) == sorted(grant.uuid for grant in sent)
    assert {effect["key"]: effect["external_id"] for effect in effects} == {
        grant.uuid: grant.external_id for grant in sent
    }
