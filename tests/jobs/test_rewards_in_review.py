"""A delivery that has begun is only asked for while a review holds its referral."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from sqlalchemy import update

from jobs.rewards import Courier
from portal.referrals.progress.models import ReferralProgress
from portal.referrals.progress.review import approve, deny
from portal.referrals.rewards.changes import push_reward
from portal.referrals.rewards.models import RewardGrant
from portal.referrals.states import Review
from portal.runtime import Runtime
from portal.work import Work
from tests.jobs.test_rewards import (
    REWARDS,
    courier,
    due,
    earn,
    ledger,
    let_time_pass,
    money,
    more_settings,
    pool,
    scene,
    statuses,
    writer_url,
)
from tests.referrals.scenes import Scene
from tests.sandbox.running import RunningSandbox

__all__ = ["courier", "more_settings", "pool", "scene", "writer_url"]


def begin(
    courier: Courier, pool: ThreadPoolExecutor, scene: Scene, sandbox: RunningSandbox, fault: str
) -> int:
    """Let both deliveries of a referral fail once, and flag it; return its id."""
    referral_id = earn(scene)
    sandbox.client.put_fault(REWARDS, fault, times=2)
    courier.deliver_due(pool)
    with scene.database.writer() as session:
        session.get_one(ReferralProgress, referral_id).review = Review.FLAGGED
    let_time_pass(scene)
    return referral_id


def test_a_delivery_that_has_begun_goes_on_only_when_its_flagged_referral_is_approved(
    courier: Courier, pool: ThreadPoolExecutor, scene: Scene, sandbox: RunningSandbox
) -> None:
    referral_id = begin(courier, pool, scene, sandbox, "500")
    assert courier.deliver_due(pool) == 2
    assert {(one.status, one.code, one.attempts) for one in scene.all(RewardGrant)} == {
        ("pending", "in-review", 2)
    }
    assert money(scene) == ["15.30", "0.00", "0.00"]
    assert not due(scene)
    assert not ledger(sandbox, scene)
    with scene.database.writer() as session:
        approve(session, referral_id, "A family.", scene.recorder)
    assert courier.deliver_due(pool) == 2
    assert statuses(scene) == {"sent"}
    assert money(scene) == ["0.00", "0.00", "15.30"]


def test_a_denied_reward_whose_delivery_had_begun_is_not_paid_and_its_money_is_free(
    courier: Courier, pool: ThreadPoolExecutor, scene: Scene, sandbox: RunningSandbox
) -> None:
    referral_id = begin(courier, pool, scene, sandbox, "500")
    with scene.database.writer() as session:
        deny(session, referral_id, "A ring.", scene.recorder)
    assert statuses(scene) == {"earned"}
    courier.deliver_due(pool)
    assert {(one.status, one.code) for one in scene.all(RewardGrant)} == {("pending", "denied")}
    assert money(scene) == ["0.00", "0.00", "0.00"]
    assert scene.usage() == 0
    assert not due(scene)
    assert scene.all(Work, Work.kind == "reward-room")
    assert not ledger(sandbox, scene)


def test_a_denied_reward_that_is_there_after_all_is_told_as_sent(
    courier: Courier, pool: ThreadPoolExecutor, scene: Scene, sandbox: RunningSandbox
) -> None:
    referral_id = begin(courier, pool, scene, sandbox, "lost-answer")
    with scene.database.writer() as session:
        deny(session, referral_id, "A ring.", scene.recorder)
    courier.deliver_due(pool)
    assert statuses(scene) == {"sent"}
    assert len(ledger(sandbox, scene)) == 2
    assert money(scene) == ["0.00", "0.00", "15.30"]


def test_a_reward_that_is_approved_while_it_is_asked_for_is_delivered_at_once(
    courier: Courier, pool: ThreadPoolExecutor, scene: Scene, sandbox: RunningSandbox, runtime: Runtime
) -> None:
    referral_id = begin(courier, pool, scene, sandbox, "500")
    outcomes = [courier._deliver(one) for one in runtime.transact(lambda session: courier._claim(session, 8))]
    with scene.database.writer() as session:
        approve(session, referral_id, "A family.", scene.recorder)
    courier._keep(outcomes)
    assert {(work.attempt, work.lease_token) for work in due(scene)} == {(1, None)}
    courier.deliver_due(pool)
    assert statuses(scene) == {"sent"}
    assert money(scene) == ["0.00", "0.00", "15.30"]


def test_a_failed_reward_of_a_denied_referral_is_only_asked_for_when_it_is_pushed(
    courier: Courier, pool: ThreadPoolExecutor, scene: Scene, sandbox: RunningSandbox
) -> None:
    referral_id = begin(courier, pool, scene, sandbox, "500")
    failed = {"status": "failed", "code": "rewards-no-answer"}
    with scene.database.writer() as session:
        session.execute(update(RewardGrant).values(failed))
        session.query(Work).delete()
        deny(session, referral_id, "A ring.", scene.recorder)
    for grant in scene.all(RewardGrant):
        with scene.database.writer() as session:
            push_reward(session, grant.id, scene.recorder)
    courier.deliver_due(pool)
    assert {(one.status, one.code) for one in scene.all(RewardGrant)} == {("pending", "denied")}
    assert money(scene) == ["0.00", "0.00", "0.00"]
    assert not ledger(sandbox, scene)
