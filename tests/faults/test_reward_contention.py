"""People, conversions and deliveries at the rewards of one scheme at once: nobody waits for each other."""

from __future__ import annotations

import secrets
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from decimal import Decimal
from itertools import count
from random import Random
from threading import Barrier

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from portal import work
from portal.errors import Conflict, InvalidInput, Upstream
from portal.events import Actor, first_broken_link
from portal.referrals.invitations.service import Post, Request, invite
from portal.referrals.progress import review
from portal.referrals.progress.messages import SignUp, Verification
from portal.referrals.progress.sign_ups import SignedUp, Verified, record_sign_ups, record_verifications
from portal.referrals.recorder import FraudRules, Recorder
from portal.referrals.rewards import changes as reward_changes
from portal.referrals.rewards import earnings
from portal.referrals.rewards import room as reward_room
from portal.referrals.rewards.deliveries import Delivered, Outcome, record_outcomes, take_deliveries
from portal.referrals.rewards.earnings import Hold
from portal.referrals.rewards.models import RewardGrant
from portal.referrals.schemes.models import ReferrerUsage, SchemeBudget
from portal.referrals.schemes.service import set_budget
from portal.referrals.states import RewardStatus
from portal.runtime import Runtime, build_runtime
from tests.clients.settings import settings_for
from tests.referrals.scenes import REFERRER, scheme
from tests.servers.urls import Urls

SECONDS = 3.0
LEASE = timedelta(seconds=1)
RULES = FraudRules(timedelta(hours=1), sign_ups_of_network=2, sign_ups_of_device=2, referrals_a_day=10_000)
REFUSED = Upstream("Refused.", code="rewards-account-closed", retryable=False)
COMMITTED = (RewardStatus.EARNED, RewardStatus.FAILED)


@pytest.fixture
def busy(migrated_urls: Urls) -> Iterator[Runtime]:
    urls = {"DATABASE_WRITER_URL": migrated_urls.writer, "DATABASE_READER_URL": migrated_urls.writer}
    runtime = build_runtime(settings_for("http://127.0.0.1:9", "1", **urls))
    yield runtime
    runtime.database.dispose()


class Crowd:
    """All who change the rewards of one scheme, each in a thread, for some seconds."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        self.done = Counter[str]()
        self.scheme_id = runtime.transact(
            lambda session: scheme(session, "verification", limit=5, total="200")
        )
        self._user_ids = count(1000)

    def for_a_while(self, act: Callable[[Random], str], start: Barrier, seed: int) -> None:
        random = Random(seed)
        start.wait(30)
        ends_at = time.monotonic() + SECONDS
        while time.monotonic() < ends_at:
            self.done[act(random)] += 1

    def convert(self, random: Random) -> str:
        """Let somebody sign up and be verified, which converts; a rule may flag those who came before."""
        user_id, referrer = next(self._user_ids), REFERRER + random.randrange(3)
        address, now = f"u{user_id}@example.com", self.runtime.clock()
        post = Post(self.runtime.cipher, 10_000, self.runtime.new_id, secrets.token_urlsafe)
        told = {"type": "user.signed-up", "user_id": user_id, "email": address, "at": now.isoformat()}
        message = SignUp.model_validate(told | {"device": f"phone {random.randrange(40)}"})

        def sign_up(session: Session) -> None:
            recorder = self._by("job", "sign-ups")
            request = Request(referrer, [address], self.scheme_id)
            invite(session, request, post, actor=recorder.actor, now=now)
            signed_up = [SignedUp(message, f"sign-up-{user_id}")]
            record_sign_ups(session, signed_up, cipher=self.runtime.cipher, recorder=recorder)

        def verify(session: Session) -> None:
            told = {"type": "user.verified", "user_id": user_id, "at": now.isoformat()}
            verified = [Verified(Verification.model_validate(told), f"verification-{user_id}")]
            record_verifications(session, verified, recorder=self._by("job", "verifications"))

        self.runtime.transact(sign_up)
        self.runtime.transact(verify)
        return "convert"

    def deliver(self, random: Random) -> str:
        """Deliver as the job does, with more refusals."""
        token = self.runtime.new_id()

        def claim(session: Session) -> list[Outcome]:
            kind = earnings.WORK_KIND
            deliveries = take_deliveries(
                session, work.claim(session, kind, limit=4, lease=LEASE, token=token)
            )
            return [Outcome(one, random.choice((Delivered(one.key, False), REFUSED))) for one in deliveries]

        outcomes = self.runtime.transact(claim)
        recorder = self._by("job", "rewards")
        self.runtime.transact(lambda session: record_outcomes(session, outcomes, recorder))
        return "deliver"

    def find_room(self, random: Random | None = None) -> str:
        token, kind = self.runtime.new_id(), reward_room.WORK_KIND
        claims = self.runtime.transact(
            lambda session: work.claim(session, kind, limit=1, lease=LEASE, token=token)
        )
        for claimed in claims:
            self.runtime.transact(
                lambda session, claimed=claimed: reward_room.find_room(  # type: ignore[misc]
                    session, claimed, self._by("job", "rewards"), limit=10
                )
            )
        return "room"

    def review(self, random: Random) -> str:
        how = random.choice((review.approve, review.deny, review.reopen))
        grant = self._any_grant(random)
        return self._as_a_person(how.__name__, lambda s, by: how(s, grant.referral_id, "So.", by))

    def change(self, random: Random) -> str:
        grant, amount = self._any_grant(random), Decimal(random.randrange(1, 2000)) / 100
        acts: dict[str, Callable[[Session, Recorder], None]] = {
            "push": lambda s, by: reward_changes.push_reward(s, grant.id, by),
            "adjust": lambda s, by: reward_changes.adjust_reward(s, grant.id, amount, "So.", by),
            "cancel": lambda s, by: reward_changes.cancel_reward(s, grant.id, "So.", by),
        }
        (name,) = random.choices(list(acts), (4, 4, 1))
        return self._as_a_person(name, acts[name])

    def set_total(self, random: Random) -> str:
        total = Decimal(random.randrange(200, 2000))
        return self._as_a_person("budget", lambda s, by: self.give_total(s, total, by))

    def give_total(self, session: Session, total: Decimal | None, by: Recorder) -> None:
        set_budget(session, self.scheme_id, total, actor=by.actor, now=by.now)

    def _as_a_person(self, name: str, act: Callable[[Session, Recorder], None]) -> str:
        try:
            # Not begun anew when it lost a race: a deadlock would fail this test.
            with self.runtime.writer() as session:
                act(session, self._by("person", "ana"))
        except (Conflict, InvalidInput):
            return f"{name} refused"
        return name

    def _any_grant(self, random: Random) -> RewardGrant:
        with self.runtime.reader() as session:
            newest = select(RewardGrant).order_by(RewardGrant.id.desc()).limit(30)
            return random.choice(session.scalars(newest).all())

    def _by(self, kind: str, name: str) -> Recorder:
        return Recorder(Actor(kind, name), self.runtime.clock(), self.runtime.new_id, RULES)  # type: ignore[arg-type]


@pytest.mark.parametrize("migrated_urls", ["mariadb"], indirect=True)
def test_whoever_changes_rewards_of_one_scheme_at_once_never_waits_for_who_waits_for_them(
    busy: Runtime,
) -> None:
    seed = secrets.randbelow(2**32)
    print(f"seed={seed}")
    crowd = Crowd(busy)
    for _ in range(8):
        crowd.convert(Random(seed))
    people = [*[crowd.review] * 2, *[crowd.change] * 2, crowd.set_total]
    acts = [*people, crowd.convert, crowd.convert, crowd.deliver, crowd.find_room]
    start = Barrier(len(acts))
    with ThreadPoolExecutor(len(acts)) as pool:
        running = [pool.submit(crowd.for_a_while, act, start, seed + n) for n, act in enumerate(acts)]
        for one in running:
            one.result(60)

    print(crowd.done)
    assert crowd.done["convert"] > 0
    assert sum(crowd.done[act] for act in ("approve", "deny", "reopen")) > 0
    assert sum(crowd.done[act] for act in ("push", "adjust", "cancel", "budget")) > 0
    with busy.writer() as session:
        assert first_broken_link(session) is None
        assert_money_and_counts_agree(session)
        crowd.give_total(session, None, crowd._by("person", "ana"))
    while busy.transact(lambda session: session.scalar(select(work.Work.id).where(is_call_for_room))):
        crowd.find_room()
    with busy.writer() as session:
        assert_money_and_counts_agree(session)
        assert not session.scalar(select(func.count()).where(RewardGrant.code == Hold.BUDGET_EXHAUSTED))


is_call_for_room = work.Work.kind == reward_room.WORK_KIND


def assert_money_and_counts_agree(session: Session) -> None:
    """Compare the budget and the counts of referrers with what their rewards say."""
    money, counted = Counter[str](), Counter[int]()
    for grant in session.scalars(select(RewardGrant)):
        part = "spent" if grant.status == RewardStatus.SENT else earnings.set_aside_as(grant)
        if part is not None:
            money[part] += grant.amount  # type: ignore[assignment]
            counted[grant.user_id] += grant.side == earnings.REFERRER
    row = session.scalars(select(SchemeBudget)).one()
    assert [row.reserved, row.committed, row.spent] == [
        money["reserved"],
        money["committed"],
        money["spent"],
    ]
    usage = {row.referrer_user_id: row.rewards for row in session.scalars(select(ReferrerUsage))}
    assert usage == {user_id: counted[user_id] for user_id in usage}
