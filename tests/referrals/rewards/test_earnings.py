"""Both sides earn by a conversion, within the referrer's limit and the scheme's budget."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from decimal import Decimal

import pytest

from portal.referrals.rewards.models import RewardGrant
from portal.referrals.schemes.models import ReferrerUsage, SchemeBudget
from portal.work import Work
from tests.referrals.scenes import RECRUIT, REFERRER, Scene, scheme


def money(*amounts: str) -> tuple[Decimal, ...]:
    return tuple(Decimal(amount) for amount in amounts)


def state(scene: Scene, user_id: int = RECRUIT) -> dict[str, tuple[str, str | None]]:
    return {side: (grant.status, grant.code) for side, grant in scene.grants(user_id).items()}


EARNED = {"referrer": ("earned", None), "recruit": ("earned", None)}


def other_scheme(scene: Scene, **terms: object) -> None:
    """Let the scene go on with a scheme of other terms."""
    with scene.database.writer() as session:
        session.query(SchemeBudget).delete()
        scene.scheme_id = scheme(session, **terms)  # type: ignore[arg-type]


def test_both_sides_earn_and_are_due_for_delivery(scene: Scene) -> None:
    scene.convert()
    grants = scene.grants()
    assert state(scene) == EARNED
    assert {side: (str(grant.amount), grant.user_id) for side, grant in grants.items()} == {
        "referrer": ("10.10", REFERRER),
        "recruit": ("5.20", RECRUIT),
    }
    assert scene.budget() == money("0", "15.30", "0")
    due = scene.all(Work, Work.kind == "reward")
    assert {(one.reference, one.lane) for one in due} == {(grant.id, "rewards") for grant in grants.values()}
    assert len(scene.events("reward.earned")) == 2
    assert [row.referrer_user_id for row in scene.all(ReferrerUsage)] == [REFERRER]


def test_the_budget_holds_to_the_cent(scene: Scene) -> None:
    other_scheme(scene, total="0.60", rewards=("0.10", "0.20"))
    for user in (1, 2, 3):
        scene.convert(user)
    assert [state(scene, user)["recruit"] for user in (1, 2, 3)] == [
        ("earned", None),
        ("earned", None),
        ("pending", "budget-exhausted"),
    ]
    assert scene.budget() == money("0", "0.60", "0")


def test_without_room_for_both_neither_is_earned_and_the_limit_is_not_used(scene: Scene) -> None:
    other_scheme(scene, total="15.29", limit=1)
    scene.convert()
    assert state(scene) == dict.fromkeys(EARNED, ("pending", "budget-exhausted"))
    assert scene.budget() == money("0", "0", "0")
    assert scene.usage() == 0
    assert not scene.all(Work, Work.kind == "reward")
    (reason,) = {event.data["reason"] for event in scene.events("reward.pending")}
    assert "budget" in reason


def test_over_the_limit_the_referrer_waits_and_the_recruit_earns(scene: Scene) -> None:
    other_scheme(scene, limit=1)
    scene.convert(1)
    scene.convert(2)
    assert state(scene, 1) == EARNED
    assert state(scene, 2) == {"referrer": ("pending", "limit-reached"), "recruit": ("earned", None)}
    assert scene.budget() == money("0", "20.50", "0")
    assert scene.usage() == 1


def test_the_limit_is_of_each_referrer(scene: Scene) -> None:
    other_scheme(scene, limit=1)
    scene.convert(1, referrer=41)
    scene.convert(2, referrer=42)
    assert state(scene, 2) == EARNED


def test_a_limit_of_zero_is_none(scene: Scene) -> None:
    for user in (1, 2, 3):
        scene.convert(user)
    assert state(scene, 3) == EARNED
    assert scene.usage() == 3


def test_a_flagged_referral_reserves_and_waits_for_approval(scene: Scene) -> None:
    scene.sign_up(REFERRER, "bob@example.com", device="phone")
    scene.convert(device="phone")
    assert state(scene) == dict.fromkeys(EARNED, ("pending", "in-review"))
    assert scene.budget() == money("15.30", "0", "0")
    assert scene.usage() == 1
    assert not scene.all(Work, Work.kind == "reward")


@pytest.mark.parametrize(("total", "limit", "paid"), [("31", 0, 2), (None, 2, 2)])
def test_conversions_at_once_stay_within_budget_and_limit(
    scene: Scene, total: str | None, limit: int, paid: int
) -> None:
    other_scheme(scene, total=total, limit=limit)
    scene.rules = replace(scene.rules, referrals_a_day=1000)
    users = range(1, 9)
    for user in users:
        scene.sign_up(user, f"u{user}@example.com", token=scene.invite(f"u{user}@example.com"))
        scene.verify(user)
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(scene.spend, users)) == ["converted"] * len(users)
    earned = scene.all(RewardGrant, RewardGrant.status == "earned", RewardGrant.side == "referrer")
    assert len(earned) == paid
    assert scene.usage() == paid
