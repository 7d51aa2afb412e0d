"""Single rewards are pushed, adjusted and cancelled by people, and the budget follows to the cent."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from decimal import Decimal

import pytest
from sqlalchemy import update

from portal.errors import Conflict, InvalidInput, NotFound
from portal.events import Actor, AuditEntry
from portal.referrals.progress.models import ReferralProgress
from portal.referrals.recorder import Recorder
from portal.referrals.rewards.changes import adjust_reward, cancel_reward, push_reward
from portal.referrals.rewards.deliveries import take_deliveries
from portal.referrals.rewards.models import RewardGrant
from portal.referrals.schemes.models import SchemeBudget
from portal.referrals.states import Review, RewardStatus
from portal.work import Work, claim
from tests.referrals.scenes import REFERRER, Scene

ANA, BOB = "ana", "bob"
REFUSED, UNKNOWN = "rewards-account-closed", "rewards-no-answer"


def by(scene: Scene, who: str = ANA) -> Recorder:
    return Recorder(Actor("person", who), scene.now, scene.recorder.new_id, scene.rules)


def failed(scene: Scene, code: str = REFUSED) -> int:
    """Make a referrer's reward whose delivery has failed; return its id."""
    scene.convert()
    grant_id = int(scene.grants()["referrer"].id)
    with scene.database.writer() as session:
        session.execute(
            update(RewardGrant)
            .where(RewardGrant.id == grant_id)
            .values(status=RewardStatus.FAILED, code=code, reason="No.", attempts=1)
        )
        session.query(Work).delete()
    return grant_id


def held(scene: Scene) -> int:
    """Make a referrer's reward that waits for approval; return its id."""
    scene.sign_up(REFERRER, "bob@example.com", device="phone")
    scene.convert(device="phone")
    return int(scene.grants()["referrer"].id)


def push(scene: Scene, grant_id: int, who: str = ANA) -> None:
    with scene.database.writer() as session:
        push_reward(session, grant_id, by(scene, who))


def adjust(scene: Scene, grant_id: int, amount: str, reason: str = "A mistake.") -> None:
    with scene.database.writer() as session:
        adjust_reward(session, grant_id, Decimal(amount), reason, by(scene))


def cancel(scene: Scene, grant_id: int, reason: str = "A mistake.") -> None:
    with scene.database.writer() as session:
        cancel_reward(session, grant_id, reason, by(scene))


def set_total(scene: Scene, total: str) -> None:
    with scene.database.writer() as session:
        session.get_one(SchemeBudget, scene.scheme_id).total = Decimal(total)


def money(scene: Scene) -> list[str]:
    return [str(amount) for amount in scene.budget()]


def test_a_reward_that_failed_is_pushed_and_due_again(scene: Scene) -> None:
    grant_id = failed(scene)
    push(scene, grant_id)
    grant = scene.grants()["referrer"]
    assert (grant.status, grant.pushed_by, grant.pushed_at) == ("earned", ANA, scene.now)
    assert [one.reference for one in scene.all(Work)] == [grant_id]
    assert money(scene) == ["0.00", "15.30", "0.00"]
    (event,) = scene.events("reward.push-requested")
    assert event.data["code"] == REFUSED
    assert event.id in {entry.event_id for entry in scene.all(AuditEntry)}


def test_of_two_who_push_at_once_one_wins_and_the_other_is_told_who_won(scene: Scene) -> None:
    grant_id = failed(scene)
    barrier = threading.Barrier(2)

    def outcome(who: str) -> str:
        barrier.wait(30)
        try:
            push(scene, grant_id, who)
        except Conflict as conflict:
            return conflict.reason
        return who

    with ThreadPoolExecutor(2) as pool:
        outcomes = set(pool.map(outcome, (ANA, BOB)))
    (winner,) = outcomes & {ANA, BOB}
    (told,) = outcomes - {winner}
    assert told == f"{winner} already pushed this reward at 12:00:00 UTC."
    assert len(scene.all(Work)) == 1


def test_a_reward_that_has_not_failed_cannot_be_pushed(scene: Scene) -> None:
    scene.convert()
    with pytest.raises(Conflict) as refused:
        push(scene, scene.grants()["referrer"].id)
    assert refused.value.code == "not-an-exception"


def test_a_reward_in_review_cannot_be_pushed_past_it(scene: Scene) -> None:
    grant_id = held(scene)
    with pytest.raises(Conflict) as refused:
        push(scene, grant_id)
    assert refused.value.code == "in-review"


@pytest.mark.parametrize("review", [Review.DENIED, Review.FLAGGED])
def test_a_failed_reward_of_a_referral_that_is_held_is_only_asked_for_when_it_is_pushed(
    scene: Scene, review: Review
) -> None:
    grant_id = failed(scene, UNKNOWN)
    with scene.database.writer() as session:
        session.execute(update(ReferralProgress).values(review=review))
    push(scene, grant_id)
    with scene.database.writer() as session:
        claims = claim(session, "reward", limit=8, lease=timedelta(minutes=1), token="mine")
        assert [(one.grant_id, one.only_asks) for one in take_deliveries(session, claims)] == [
            (grant_id, True)
        ]


def test_a_reward_without_room_is_earned_when_it_is_pushed_after_the_budget_was_raised(scene: Scene) -> None:
    set_total(scene, "1")
    scene.convert()
    grant_id = scene.grants()["recruit"].id
    with pytest.raises(Conflict) as refused:
        push(scene, grant_id)
    assert refused.value.code == "budget-exhausted"
    set_total(scene, "15.30")
    push(scene, grant_id)
    assert {grant.status for grant in scene.grants().values()} == {"earned"}
    assert money(scene) == ["0.00", "15.30", "0.00"]


def test_one_reward_of_two_without_room_is_not_earned_alone(scene: Scene) -> None:
    set_total(scene, "1")
    scene.convert()
    set_total(scene, "15.29")
    with pytest.raises(Conflict) as refused:
        push(scene, scene.grants()["recruit"].id)
    assert refused.value.code == "budget-exhausted"
    assert money(scene) == ["0.00", "0.00", "0.00"]


def test_there_is_nothing_to_push_of_what_is_not_there(scene: Scene) -> None:
    with pytest.raises(NotFound):
        push(scene, 1)


@pytest.mark.parametrize(("amount", "committed"), [("20.00", "25.20"), ("0.01", "5.21"), ("10.10", "15.30")])
def test_a_reward_that_failed_is_adjusted_under_a_new_key(scene: Scene, amount: str, committed: str) -> None:
    grant_id = failed(scene)
    before = scene.grants()["referrer"].uuid
    adjust(scene, grant_id, amount)
    grant = scene.grants()["referrer"]
    assert (str(grant.amount), grant.uuid != before) == (amount, True)
    assert money(scene) == ["0.00", committed, "0.00"]
    (event,) = scene.events("reward.adjusted")
    assert (event.actor, event.data["before"], event.data["amount"]) == (ANA, "10.10", amount)
    assert event.data["reason"] == "A mistake."


def test_a_reward_in_review_is_adjusted_where_it_is_reserved(scene: Scene) -> None:
    adjust(scene, held(scene), "12.10")
    assert money(scene) == ["17.30", "0.00", "0.00"]


def test_a_reward_is_not_adjusted_beyond_the_budget(scene: Scene) -> None:
    grant_id = failed(scene)
    set_total(scene, "15.40")
    with pytest.raises(Conflict) as refused:
        adjust(scene, grant_id, "10.21")
    assert refused.value.code == "budget-exhausted"
    assert str(scene.grants()["referrer"].amount) == "10.10"
    adjust(scene, grant_id, "10.20")
    assert money(scene) == ["0.00", "15.40", "0.00"]


@pytest.mark.parametrize("amount", ["0", "-1", "0.001", "NaN", "Infinity", "10000000000"])
def test_what_is_no_amount_is_refused(scene: Scene, amount: str) -> None:
    grant_id = failed(scene)
    with pytest.raises(InvalidInput) as refused:
        adjust(scene, grant_id, amount)
    assert refused.value.field == "amount"


@pytest.mark.parametrize("change", ["adjust", "cancel"])
def test_without_a_reason_nothing_is_changed(scene: Scene, change: str) -> None:
    grant_id = failed(scene)
    with pytest.raises(InvalidInput) as refused:
        adjust(scene, grant_id, "1.00", " ") if change == "adjust" else cancel(scene, grant_id, " ")
    assert refused.value.field == "reason"


@pytest.mark.parametrize("change", ["adjust", "cancel"])
def test_a_reward_that_may_be_delivered_is_not_changed(scene: Scene, change: str) -> None:
    grant_id = failed(scene, UNKNOWN)
    with pytest.raises(Conflict) as refused:
        adjust(scene, grant_id, "1.00") if change == "adjust" else cancel(scene, grant_id)
    assert refused.value.code == "may-be-delivered"


@pytest.mark.parametrize("status", [RewardStatus.EARNED, RewardStatus.SENT, RewardStatus.CANCELLED])
def test_a_reward_whose_delivery_has_begun_or_is_over_is_not_changed(
    scene: Scene, status: RewardStatus
) -> None:
    grant_id = failed(scene)
    with scene.database.writer() as session:
        session.execute(update(RewardGrant).values(status=status))
    with pytest.raises(Conflict) as refused:
        cancel(scene, grant_id)
    assert refused.value.code == "delivery-begun"


def test_a_reward_that_is_cancelled_is_released(scene: Scene) -> None:
    grant_id = failed(scene)
    cancel(scene, grant_id)
    grant = scene.grants()["referrer"]
    assert (grant.status, grant.code, grant.reason) == ("cancelled", "cancelled", "A mistake.")
    assert money(scene) == ["0.00", "5.20", "0.00"]
    assert scene.usage() == 0
    assert len(scene.events("reward.cancelled")) == 1


def test_a_reward_that_found_no_room_is_cancelled_without_a_release(scene: Scene) -> None:
    set_total(scene, "1")
    scene.convert()
    cancel(scene, scene.grants()["referrer"].id)
    assert money(scene) == ["0.00", "0.00", "0.00"]
    assert scene.usage() == 0
