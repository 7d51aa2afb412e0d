"""Rewards that found no room are earned once there is some: oldest first, both sides together."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal

import pytest
from sqlalchemy import update
from sqlalchemy.orm import Session

from portal import work
from portal.events import Actor
from portal.referrals.models import ReferralScheme
from portal.referrals.progress.models import ReferralProgress
from portal.referrals.progress.review import deny
from portal.referrals.recorder import Recorder
from portal.referrals.rewards import room as reward_room
from portal.referrals.rewards.changes import adjust_reward, cancel_reward
from portal.referrals.rewards.models import RewardGrant
from portal.referrals.schemes.models import SchemeBudget
from portal.referrals.schemes.service import set_budget
from portal.referrals.states import Review, RewardStatus
from portal.work import Claimed, Work
from tests.referrals.scenes import Scene

ANA = Actor("person", "ana")
COURIER = Actor("job", "rewards")
LEASE = timedelta(minutes=1)
EARNED, WITHOUT_ROOM = ("earned", None), ("pending", "budget-exhausted")


def by(scene: Scene, actor: Actor = ANA) -> Recorder:
    return Recorder(actor, scene.now, scene.recorder.new_id, scene.rules)


def with_total(scene: Scene, total: str | None) -> None:
    """Let the budget have had this total from the start."""
    with scene.database.writer() as session:
        session.get_one(SchemeBudget, scene.scheme_id).total = None if total is None else Decimal(total)


def raise_total(scene: Scene, total: str | None) -> None:
    amount = None if total is None else Decimal(total)
    with scene.database.writer() as session:
        set_budget(session, scene.scheme_id, amount, actor=ANA, now=scene.now)


def calls(scene: Scene) -> list[int]:
    """Return the schemes in which room is to be looked for."""
    return [row.reference for row in scene.all(Work, Work.kind == reward_room.WORK_KIND)]


def claim(scene: Scene) -> list[Claimed]:
    with scene.database.writer() as session:
        return work.claim(session, reward_room.WORK_KIND, limit=1, lease=LEASE, token="courier")


def find_room(scene: Scene, limit: int = 100) -> int:
    """Let room be found until nothing calls for it; return in how many batches."""
    batches = 0
    while claims := claim(scene):
        with scene.database.writer() as session:
            reward_room.find_room(session, claims[0], by(scene, COURIER), limit)
        batches += 1
    return batches


def sides(scene: Scene, user_id: int) -> list[tuple[str, str | None]]:
    """Return what became of the rewards of a user's referral: the referrer's, then the recruit's."""
    grants = scene.grants(user_id)
    return [(grants[side].status, grants[side].code) for side in ("referrer", "recruit")]


def test_after_the_total_was_raised_the_oldest_are_earned_as_far_as_it_goes(scene: Scene) -> None:
    with_total(scene, "1")
    for user in (1, 2, 3):
        scene.convert(user)
    raise_total(scene, "45.89")
    assert calls(scene) == [scene.scheme_id]
    find_room(scene)
    assert [sides(scene, user) for user in (1, 2, 3)] == [[EARNED] * 2, [EARNED] * 2, [WITHOUT_ROOM] * 2]
    assert scene.budget()[:2] == (Decimal(0), Decimal("30.60"))
    assert scene.usage() == 2
    assert not calls(scene)
    assert {event.actor for event in scene.events("reward.earned")} == {COURIER.name}
    assert len(scene.all(Work, Work.kind == "reward")) == 4


def test_one_that_does_not_fit_lets_no_younger_one_pass(scene: Scene) -> None:
    with_total(scene, "1")
    for user in (1, 2):
        scene.convert(user)
    with scene.database.writer() as session:
        session.get_one(RewardGrant, scene.grants(1)["recruit"].id).amount = Decimal(100)
    raise_total(scene, "50")
    find_room(scene)
    assert [sides(scene, user) for user in (1, 2)] == [[WITHOUT_ROOM] * 2] * 2


def test_many_are_earned_in_batches(scene: Scene) -> None:
    with_total(scene, "1")
    for user in (1, 2, 3):
        scene.convert(user)
    raise_total(scene, None)
    assert find_room(scene, limit=2) == 4
    assert [sides(scene, user) for user in (1, 2, 3)] == [[EARNED] * 2] * 3


def test_a_batch_that_ends_between_two_sides_does_not_part_them(scene: Scene) -> None:
    with_total(scene, "1")
    scene.convert()
    with_total(scene, "10.10")
    with scene.database.writer() as session:
        reward_room.call_for_room(session, scene.scheme_id)
    find_room(scene, limit=1)
    assert {grant.code for grant in scene.grants().values()} == {"budget-exhausted"}


def _deny(session: Session, scene: Scene, grant: RewardGrant) -> None:
    deny(session, grant.referral_id, "Fraud.", by(scene))


def _cancel(session: Session, scene: Scene, grant: RewardGrant) -> None:
    cancel_reward(session, grant.id, "A mistake.", by(scene))


def _adjust(session: Session, scene: Scene, grant: RewardGrant) -> None:
    adjust_reward(session, grant.id, Decimal("0.01"), "A mistake.", by(scene))


@pytest.mark.parametrize("free", [_deny, _cancel, _adjust])
@pytest.mark.parametrize("first_has_room", [True, False])
def test_who_frees_money_or_shortens_the_line_calls_for_room(
    scene: Scene, free: Callable[[Session, Scene, RewardGrant], None], first_has_room: bool
) -> None:
    with_total(scene, "20" if first_has_room else "1")
    scene.convert(1)
    scene.convert(2)
    grant = scene.grants(1)["referrer"]
    if first_has_room:
        with scene.database.writer() as session:
            failed = {"status": RewardStatus.FAILED, "code": "rewards-account-closed"}
            session.execute(update(RewardGrant).where(RewardGrant.id == grant.id).values(failed))
    assert not calls(scene)
    with scene.database.writer() as session:
        free(session, scene, grant)
    assert calls(scene) == [scene.scheme_id]


def test_a_limit_that_was_given_back_is_taken_by_the_next(scene: Scene) -> None:
    with scene.database.writer() as session:
        session.get_one(ReferralScheme, scene.scheme_id).limit_rewards = 1
    for user in (1, 2, 3):
        scene.convert(user)
    first = scene.grants(1)["referrer"]
    with scene.database.writer() as session:
        session.get_one(RewardGrant, first.id).status = RewardStatus.FAILED
    with scene.database.writer() as session:
        _cancel(session, scene, first)
    assert find_room(scene, limit=1) == 2
    assert [sides(scene, user)[0] for user in (2, 3)] == [EARNED, ("pending", "limit-reached")]
    assert scene.usage() == 1


def test_room_for_a_flagged_referral_is_reserved_and_its_rewards_wait_for_approval(scene: Scene) -> None:
    with_total(scene, "1")
    scene.convert()
    with scene.database.writer() as session:
        session.get_one(ReferralProgress, scene.progress().referral_id).review = Review.FLAGGED
    raise_total(scene, "100")
    find_room(scene)
    assert {grant.code for grant in scene.grants().values()} == {"in-review"}
    assert scene.budget()[:2] == (Decimal("15.30"), Decimal(0))


def test_room_that_is_called_for_meanwhile_is_looked_for_again(scene: Scene) -> None:
    raise_total(scene, "100")
    (claimed,) = claim(scene)
    raise_total(scene, "200")
    with scene.database.writer() as session:
        reward_room.find_room(session, claimed, by(scene, COURIER))
    assert calls(scene) == [scene.scheme_id]
