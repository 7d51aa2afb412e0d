"""Rewards are delivered once, whatever the reward system and the worker do in between."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import select, update

from jobs.job import Job
from jobs.rewards import Courier, find_room
from portal.clients.http import HttpSystem
from portal.errors import Conflict
from portal.events import Actor, Event
from portal.referrals.rewards.changes import adjust_reward, push_reward
from portal.referrals.rewards.deliveries import RETRY
from portal.referrals.rewards.models import RewardGrant
from portal.referrals.schemes.models import SchemeBudget
from portal.referrals.schemes.service import set_budget
from portal.runtime import Runtime
from portal.work import Work
from tests.clients.raw_server import RawServer, answer
from tests.referrals.scenes import RECRUIT, REFERRER, Scene, scheme
from tests.sandbox.running import RunningSandbox
from tests.servers.urls import Urls

LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)
REWARDS = "rewards"


@pytest.fixture
def writer_url(migrated_urls: Urls) -> str:
    return migrated_urls.writer


@pytest.fixture
def more_settings(sandbox: RunningSandbox) -> dict[str, str]:
    return {
        "REWARDS_URL": f"{sandbox.url}/rewards",
        "BREAKER_FAILURES": "3",
        "BREAKER_SECONDS": "60",
        "CALL_DEADLINE_SECONDS": "2",
    }


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as started:
        yield started


@pytest.fixture
def scene(runtime: Runtime) -> Scene:
    """Give a scheme whose referrals convert by the sign-up alone."""
    scheme_id = runtime.transact(lambda session: scheme(session, "sign-up"))
    made = Scene(runtime.database, scheme_id, runtime.cipher)
    made.new_id = runtime.new_id
    return made


@pytest.fixture
def courier(runtime: Runtime) -> Courier:
    return Courier(Job("rewards", runtime))


def earn(scene: Scene, user_id: int = RECRUIT) -> int:
    """Let a user convert; return the id of the referral."""
    scene.sign_up(user_id, f"u{user_id}@example.com", token=scene.invite(f"u{user_id}@example.com"))
    return scene.progress(user_id).referral_id


def due(scene: Scene) -> list[Work]:
    """Return the deliveries that are still to be made."""
    return scene.all(Work, Work.kind == "reward")


def let_time_pass(scene: Scene) -> None:
    """Let retries be due, and leases run out."""
    with scene.database.writer() as session:
        session.execute(update(Work).values(due_at=LONG_AGO))


def ledger(sandbox: RunningSandbox, scene: Scene) -> list[dict[str, Any]]:
    """Return the effects of this test's rewards."""
    keys = {grant.uuid for grant in scene.all(RewardGrant)}
    return [effect for effect in all_effects(sandbox) if effect["key"] in keys]


def all_effects(sandbox: RunningSandbox) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    while page := sandbox.client.effects(REWARDS, after=found[-1]["id"] if found else 0):
        found += page
    return found


def statuses(scene: Scene) -> set[str]:
    return {grant.status for grant in scene.all(RewardGrant)}


def money(scene: Scene) -> list[str]:
    return [str(amount) for amount in scene.budget()]


def kinds(scene: Scene, referral_id: int) -> list[str]:
    with scene.database.writer() as session:
        of_referral = select(Event).where(Event.subject == "referral", Event.subject_id == referral_id)
        return [event.kind for event in session.scalars(of_referral.order_by(Event.id))]


def test_both_rewards_are_delivered_and_spent(
    courier: Courier, pool: ThreadPoolExecutor, scene: Scene, sandbox: RunningSandbox
) -> None:
    referral_id = earn(scene)
    assert courier.deliver_due(pool) == 2
    effects = {effect["request"]["side"]: effect for effect in ledger(sandbox, scene)}
    assert effects["referrer"]["request"] == {
        "user_id": REFERRER,
        "amount": "10.10",
        "currency": "USD",
        "referral_id": referral_id,
        "side": "referrer",
    }
    grants = scene.grants()
    assert statuses(scene) == {"sent"}
    assert {side: grant.external_id for side, grant in grants.items()} == {
        side: effect["external_id"] for side, effect in effects.items()
    }
    assert money(scene) == ["0.00", "0.00", "15.30"]
    assert not due(scene)
    assert kinds(scene, referral_id)[-2:] == ["reward.sent", "reward.sent"]


@pytest.mark.parametrize("fault", ["500", "down", "garbage", "lost-answer"])
def test_a_delivery_that_failed_is_tried_again_and_has_one_effect(
    courier: Courier, pool: ThreadPoolExecutor, scene: Scene, sandbox: RunningSandbox, fault: str
) -> None:
    referral_id = earn(scene)
    sandbox.client.put_fault(REWARDS, fault, times=2)
    courier.deliver_due(pool)
    assert statuses(scene) == {"earned"}
    assert all(grant.code for grant in scene.all(RewardGrant))
    let_time_pass(scene)
    courier.deliver_due(pool)
    assert statuses(scene) == {"sent"}
    assert {(grant.code, grant.attempts) for grant in scene.all(RewardGrant)} == {(None, 2)}
    assert len(ledger(sandbox, scene)) == 2
    asked = [event.data["asked"] for event in scene.events("reward.sent")]
    assert asked == [fault == "lost-answer"] * 2
    assert kinds(scene, referral_id).count("reward.retried") == 2


def test_waits_between_tries_grow(
    courier: Courier, pool: ThreadPoolExecutor, scene: Scene, sandbox: RunningSandbox
) -> None:
    earn(scene)
    sandbox.client.put_fault(REWARDS, "500", times=4)
    waits = []
    for _ in range(2):
        courier._breakers.passed(REWARDS)
        before = datetime.now(UTC)
        courier.deliver_due(pool)
        waits.append((due(scene)[0].due_at - before).total_seconds())
        let_time_pass(scene)
    assert RETRY[0] - 1 < waits[0] < RETRY[1] - 1 < waits[1] < RETRY[2] - 1


def test_a_refusal_fails_with_code_and_reason_and_the_money_stays_committed(
    courier: Courier, pool: ThreadPoolExecutor, scene: Scene
) -> None:
    earn(scene, 5000)
    courier.deliver_due(pool)
    failed = scene.grants(5000)["recruit"]
    assert (failed.status, failed.code) == ("failed", "rewards-account-closed")
    assert failed.reason == "The reward system refused it: The account of the user is closed."
    assert scene.grants(5000)["referrer"].status == "sent"
    assert money(scene) == ["0.00", "5.20", "10.10"]
    assert not due(scene)


def test_after_the_last_try_a_delivery_fails_and_can_be_pushed(
    courier: Courier, pool: ThreadPoolExecutor, scene: Scene, sandbox: RunningSandbox, runtime: Runtime
) -> None:
    earn(scene)
    sandbox.client.put_fault(REWARDS, "500")
    for _ in range(len(RETRY) + 1):
        courier._breakers.passed(REWARDS)
        courier.deliver_due(pool)
        let_time_pass(scene)
    assert statuses(scene) == {"failed"}
    sandbox.client.clear_fault(REWARDS)
    courier._breakers.passed(REWARDS)
    person = scene.recorder
    for grant in scene.all(RewardGrant):
        with scene.database.writer() as session:
            push_reward(session, grant.id, person)
    courier.deliver_due(pool)
    assert statuses(scene) == {"sent"}
    assert len(ledger(sandbox, scene)) == 2
    assert money(scene) == ["0.00", "0.00", "15.30"]


def test_what_a_dead_worker_delivered_is_asked_for_and_not_delivered_twice(
    courier: Courier, pool: ThreadPoolExecutor, scene: Scene, sandbox: RunningSandbox, runtime: Runtime
) -> None:
    earn(scene)
    dead = Courier(Job("rewards", runtime))
    for delivery in runtime.transact(lambda session: dead._claim(session, 8)):
        dead._deliver(delivery)
    let_time_pass(scene)
    courier.deliver_due(pool)
    assert [event.data["asked"] for event in scene.events("reward.sent")] == [True, True]
    assert len(ledger(sandbox, scene)) == 2


def test_a_refused_question_is_no_refusal_of_a_reward_that_may_be_there(
    courier: Courier, pool: ThreadPoolExecutor, scene: Scene, runtime: Runtime
) -> None:
    earn(scene)
    with RawServer(hang_up, hang_up, answer("403 Forbidden")) as server:
        runtime.systems[REWARDS] = HttpSystem(REWARDS, "Rewards", server.url, deadline=5, max_calls=8)
        for attempt in (1, len(RETRY) + 1):
            with scene.database.writer() as session:
                session.execute(update(Work).values(due_at=LONG_AGO, attempt=attempt - 1))
            courier.deliver_due(pool)
    assert {(grant.status, grant.code) for grant in scene.all(RewardGrant)} == {("failed", "rewards-untold")}
    assert {event.data["outcome_unknown"] for event in scene.events("reward.failed")} == {True}
    with pytest.raises(Conflict) as refused, scene.database.writer() as session:
        adjust_reward(session, 1, Decimal(1), "A mistake.", scene.recorder)
    assert refused.value.code == "may-be-delivered"


def hang_up(_connection: socket.socket) -> None:
    """Give no answer to a call."""


def test_the_result_of_a_worker_whose_lease_ran_out_is_dropped(
    courier: Courier, pool: ThreadPoolExecutor, scene: Scene, runtime: Runtime
) -> None:
    earn(scene)
    slow = Courier(Job("rewards", runtime))
    outcomes = [slow._deliver(one) for one in runtime.transact(lambda session: slow._claim(session, 8))]
    let_time_pass(scene)
    courier.deliver_due(pool)
    slow._keep(outcomes)
    assert money(scene) == ["0.00", "0.00", "15.30"]
    assert len(scene.events("reward.sent")) == 2


def test_a_failure_that_is_known_too_late_leaves_the_lease_of_who_took_over(
    pool: ThreadPoolExecutor, scene: Scene, sandbox: RunningSandbox, runtime: Runtime
) -> None:
    earn(scene)
    slow, other = (Courier(Job("rewards", runtime)) for _ in range(2))
    sandbox.client.put_fault(REWARDS, "500", times=2)
    outcomes = [slow._deliver(one) for one in runtime.transact(lambda session: slow._claim(session, 8))]
    let_time_pass(scene)
    taken = runtime.transact(lambda session: other._claim(session, 8))
    slow._keep(outcomes)
    assert {work.lease_token for work in due(scene)} == {taken[0].claimed.token}
    assert {grant.attempts for grant in scene.all(RewardGrant)} == {0}


def test_a_delivery_that_kills_its_worker_each_time_fails_in_the_end(
    courier: Courier, pool: ThreadPoolExecutor, scene: Scene, sandbox: RunningSandbox
) -> None:
    earn(scene)
    with scene.database.writer() as session:
        session.execute(
            update(Work)
            .where(Work.kind == "reward")
            .values(attempt=len(RETRY) + 4, lease_token="dead", due_at=LONG_AGO)
        )
    courier.deliver_due(pool)
    assert {(grant.status, grant.code) for grant in scene.all(RewardGrant)} == {("failed", "worker-stopped")}
    assert not ledger(sandbox, scene)


def test_a_system_that_is_down_is_left_alone_and_attempts_are_not_burnt(
    courier: Courier, pool: ThreadPoolExecutor, scene: Scene, sandbox: RunningSandbox
) -> None:
    for user in (1, 2):
        earn(scene, user)
    sandbox.client.put_fault(REWARDS, "500")
    courier.deliver_due(pool)
    let_time_pass(scene)
    assert courier.deliver_due(pool) == 0
    assert {work.attempt for work in due(scene)} == {1}


def test_a_reward_that_is_no_longer_to_be_delivered_is_not(
    courier: Courier, pool: ThreadPoolExecutor, scene: Scene, sandbox: RunningSandbox
) -> None:
    earn(scene)
    with scene.database.writer() as session:
        session.execute(update(RewardGrant).values(status="cancelled"))
    assert courier.deliver_due(pool) == 0
    assert not due(scene)
    assert not ledger(sandbox, scene)


def test_rewards_that_waited_for_room_are_earned_and_delivered_when_the_budget_is_raised(
    courier: Courier, pool: ThreadPoolExecutor, scene: Scene, sandbox: RunningSandbox, runtime: Runtime
) -> None:
    job = Job("rewards", runtime)
    with scene.database.writer() as session:
        session.get_one(SchemeBudget, scene.scheme_id).total = Decimal(1)
    earn(scene)
    assert (find_room(job), courier.deliver_due(pool)) == (0, 0)
    with scene.database.writer() as session:
        set_budget(session, scene.scheme_id, None, actor=Actor("person", "ana"), now=scene.now)
    assert (find_room(job), courier.deliver_due(pool), find_room(job)) == (1, 2, 0)
    assert statuses(scene) == {"sent"}
    assert len(ledger(sandbox, scene)) == 2
