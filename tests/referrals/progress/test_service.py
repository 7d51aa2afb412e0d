"""A condition that is met moves a referral on, and the last one converts it, once."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

from portal.referrals.models import ReferralCondition
from portal.referrals.progress.models import ConditionEvidence, ReferralProgress
from portal.referrals.rewards.models import RewardGrant
from portal.referrals.states import ReferralStatus
from tests.referrals.scenes import NOW, RECRUIT, Scene, scheme


def started(scene: Scene) -> Scene:
    scene.sign_up(token=scene.invite("ana@example.com"))
    return scene


def test_each_condition_moves_a_referral_on_and_the_last_converts_it(scene: Scene) -> None:
    statuses = []
    for meet in (lambda: started(scene), scene.verify, scene.spend):
        meet()
        statuses.append(scene.progress().status)
    assert statuses == ["started", "qualifying", "converted"]
    assert scene.progress().ended_at == scene.now
    kinds = [event.data["condition"] for event in scene.events("referral.condition-met")]
    assert kinds == ["sign-up", "verification", "spend"]
    assert len(scene.events("referral.converted")) == 1


def test_the_order_of_conditions_does_not_matter(scene: Scene) -> None:
    started(scene)
    assert scene.spend() == "met"
    assert scene.verify().met == {"verification": 1, "conversion": 1}


def test_the_evidence_of_a_spend_names_amount_and_threshold(scene: Scene) -> None:
    started(scene)
    scene.spend()
    evidence = scene.one(ConditionEvidence, ConditionEvidence.source == "poll")
    assert (str(evidence.amount), str(evidence.threshold), evidence.currency) == ("120.00", "100.00", "USD")
    (event,) = [one for one in scene.events("referral.condition-met") if one.data["source"] == "poll"]
    assert (event.data["amount"], event.data["threshold"]) == ("120", "100")


def test_a_condition_that_is_met_again_changes_nothing(scene: Scene) -> None:
    started(scene)
    scene.spend()
    assert scene.spend() == "known"
    scene.verify()
    assert scene.spend() == "known"
    assert len(scene.all(RewardGrant)) == 2


def test_what_the_scheme_does_not_ask_for_meets_nothing(scene: Scene) -> None:
    with scene.database.writer() as session:
        other = scheme(session, "sign-up", "verification")
    scene.sign_up(token=scene.invite("ana@example.com", scheme_id=other))
    assert scene.spend() == "not-asked"
    assert len(scene.all(ReferralCondition)) == 1


def test_a_scheme_that_asks_for_a_sign_up_only_converts_at_once(scene: Scene) -> None:
    with scene.database.writer() as session:
        only = scheme(session, "sign-up")
    scene.sign_up(token=scene.invite("ana@example.com", scheme_id=only))
    assert scene.progress().status == "converted"
    assert len(scene.all(RewardGrant)) == 2


def test_nothing_counts_for_a_referral_that_was_cancelled(scene: Scene) -> None:
    started(scene)
    with scene.database.writer() as session:
        session.get_one(ReferralProgress, scene.progress().referral_id).status = ReferralStatus.CANCELLED
    assert scene.spend() == "closed"
    assert len(scene.all(ReferralCondition)) == 1


def test_at_the_instant_of_the_end_nothing_counts_any_more(scene: Scene) -> None:
    started(scene)
    end = NOW + timedelta(days=30)
    assert scene.spend(at=end) == "too-late"
    assert scene.spend(at=end - timedelta(microseconds=1)) == "met"


def test_conditions_that_are_met_at_once_convert_once(scene: Scene) -> None:
    users = range(RECRUIT, RECRUIT + 8)
    for user in users:
        scene.sign_up(user, f"u{user}@example.com", token=scene.invite(f"u{user}@example.com"))
    barrier = threading.Barrier(2)

    def at_once(meet: object, user: int) -> object:
        barrier.wait(30)
        return scene.verify(user) if meet == "verify" else scene.spend(user)

    with ThreadPoolExecutor(2) as pool:
        for user in users:
            for done in [pool.submit(at_once, meet, user) for meet in ("verify", "spend")]:
                done.result(60)
    assert {row.status for row in scene.all(ReferralProgress)} == {"converted"}
    assert len(scene.events("referral.converted")) == len(users)
    assert len(scene.all(RewardGrant)) == 2 * len(users)
