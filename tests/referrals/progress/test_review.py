"""People decide of flagged referrals, with a reason, one of two at once, and everything stays on record."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import pytest
from sqlalchemy.orm import Session

from portal import work
from portal.errors import Conflict, InvalidInput, NotFound
from portal.events import Actor, AuditEntry
from portal.referrals.progress.models import ReferralProgress
from portal.referrals.progress.review import approve, deny, reopen
from portal.referrals.recorder import Recorder
from portal.referrals.schemes.models import SchemeBudget
from portal.referrals.states import Review
from portal.work import Work
from tests.referrals.scenes import RECRUIT, REFERRER, Scene

Decide = Callable[[Session, int, str, Recorder], None]
ANA, BOB = "ana", "bob"


def flagged(scene: Scene) -> int:
    """Make a referral that was flagged and has converted; return its id."""
    scene.sign_up(REFERRER, "bob@example.com", device="phone")
    return scene.convert(device="phone")


def decide(scene: Scene, how: Decide, referral_id: int, reason: str = "A family.", who: str = ANA) -> None:
    recorder = Recorder(Actor("person", who), scene.now, scene.recorder.new_id, scene.rules)
    with scene.database.writer() as session:
        how(session, referral_id, reason, recorder)


def rewards(scene: Scene) -> set[tuple[str, str | None]]:
    return {(grant.status, grant.code) for grant in scene.grants().values()}


def money(scene: Scene) -> list[str]:
    return [str(amount) for amount in scene.budget()]


def test_an_approval_lets_the_rewards_be_earned(scene: Scene) -> None:
    referral_id = flagged(scene)
    decide(scene, approve, referral_id)
    assert scene.progress().review == "approved"
    assert rewards(scene) == {("earned", None)}
    assert money(scene) == ["0.00", "15.30", "0.00"]
    assert len(scene.all(Work, Work.kind == "reward")) == 2


def test_a_denial_releases_what_was_reserved(scene: Scene) -> None:
    referral_id = flagged(scene)
    decide(scene, deny, referral_id)
    assert rewards(scene) == {("pending", "denied")}
    assert money(scene) == ["0.00", "0.00", "0.00"]
    assert scene.usage() == 0


def test_a_decision_is_on_the_audit_trail_with_its_reason(scene: Scene) -> None:
    referral_id = flagged(scene)
    decide(scene, approve, referral_id, "  Two   sisters. ")
    (event,) = scene.events("referral.approved")
    assert (event.actor, event.data) == (ANA, {"reason": "Two sisters.", "before": "flagged"})
    assert event.id in {entry.event_id for entry in scene.all(AuditEntry)}


@pytest.mark.parametrize("reason", ["", "  ", "x" * 501])
def test_without_a_reason_nothing_is_decided(scene: Scene, reason: str) -> None:
    referral_id = flagged(scene)
    with pytest.raises(InvalidInput) as refused:
        decide(scene, deny, referral_id, reason)
    assert refused.value.field == "reason"
    assert scene.progress().review == "flagged"


@pytest.mark.parametrize("second", [approve, deny])
def test_the_second_of_two_is_told_who_decided(scene: Scene, second: Decide) -> None:
    referral_id = flagged(scene)
    decide(scene, second, referral_id)
    with pytest.raises(Conflict, match=r"ana .* this referral at 12:00:00 UTC"):
        decide(scene, second, referral_id, who=BOB)
    assert len(scene.events("reward.earned")) in (0, 2)


def test_what_was_denied_can_be_reopened_and_approved(scene: Scene) -> None:
    referral_id = flagged(scene)
    decide(scene, deny, referral_id)
    decide(scene, reopen, referral_id)
    assert scene.progress().review == "flagged"
    assert rewards(scene) == {("pending", "in-review")}
    assert money(scene) == ["15.30", "0.00", "0.00"]
    decide(scene, approve, referral_id)
    assert rewards(scene) == {("earned", None)}
    kinds = ["referral.denied", "referral.reopened", "referral.approved"]
    assert [len(scene.events(kind)) for kind in kinds] == [1, 1, 1]


def test_what_nobody_decided_cannot_be_reopened(scene: Scene) -> None:
    referral_id = flagged(scene)
    with pytest.raises(Conflict) as refused:
        decide(scene, reopen, referral_id)
    assert refused.value.code == "not-decided"


def test_a_denial_takes_back_deliveries_that_nobody_has_begun(scene: Scene) -> None:
    referral_id = scene.convert()
    decide(scene, deny, referral_id)
    assert rewards(scene) == {("pending", "denied")}
    assert money(scene) == ["0.00", "0.00", "0.00"]
    assert not scene.all(Work, Work.kind == "reward")
    assert scene.usage() == 0


def test_a_denial_by_mistake_of_rewards_that_were_earned_can_be_undone(scene: Scene) -> None:
    referral_id = scene.convert()
    for how in (deny, reopen, approve):
        decide(scene, how, referral_id)
    assert rewards(scene) == {("earned", None)}
    assert money(scene) == ["0.00", "15.30", "0.00"]
    assert len(scene.all(Work, Work.kind == "reward")) == 2
    assert scene.usage() == 1


@pytest.mark.parametrize(("how", "code"), [(deny, "denied"), (reopen, "in-review")])
def test_a_decision_leaves_deliveries_that_are_under_way(scene: Scene, how: Decide, code: str) -> None:
    referral_id = scene.convert()
    with scene.database.writer() as session:
        session.get_one(ReferralProgress, referral_id).review = (
            Review.APPROVED if how is reopen else Review.PENDING
        )
        (begun,) = work.claim(session, "reward", limit=1, lease=scene.rules.window, token="other")
    decide(scene, how, referral_id)
    states = {grant.id: (grant.status, grant.code) for grant in scene.grants().values()}
    assert states.pop(begun.reference) == ("earned", None)
    assert list(states.values()) == [("pending", code)]
    assert [one.reference for one in scene.all(Work, Work.kind == "reward")] == [begun.reference]
    reserved, committed, _ = scene.budget()
    assert reserved + committed == (Decimal("15.30") if how is reopen else committed) > 0


def test_a_referral_that_is_reopened_keeps_its_rewards_back(scene: Scene) -> None:
    referral_id = flagged(scene)
    decide(scene, approve, referral_id)
    decide(scene, reopen, referral_id)
    assert rewards(scene) == {("pending", "in-review")}
    assert money(scene) == ["15.30", "0.00", "0.00"]
    assert not scene.all(Work, Work.kind == "reward")
    assert scene.usage() == 1
    assert [event.actor for event in scene.events("reward.pending")][2:] == [ANA] * 2


def test_who_is_denied_before_the_conversion_earns_nothing_by_it(scene: Scene) -> None:
    scene.sign_up(token=scene.invite("ana@example.com"))
    decide(scene, deny, scene.progress().referral_id)
    scene.verify()
    assert scene.spend() == "converted"
    assert rewards(scene) == {("pending", "denied")}
    assert money(scene) == ["0.00", "0.00", "0.00"]


def test_who_is_approved_before_the_conversion_earns_at_once(scene: Scene) -> None:
    scene.sign_up(REFERRER, "bob@example.com", device="phone")
    scene.sign_up(token=scene.invite("ana@example.com"), device="phone")
    decide(scene, approve, scene.progress().referral_id)
    scene.verify()
    scene.spend()
    assert rewards(scene) == {("earned", None)}


def test_an_approval_finds_room_that_was_not_there_at_the_conversion(scene: Scene) -> None:
    with scene.database.writer() as session:
        session.get_one(SchemeBudget, scene.scheme_id).total = Decimal(1)
    referral_id = flagged(scene)
    assert rewards(scene) == {("pending", "budget-exhausted")}
    with scene.database.writer() as session:
        session.get_one(SchemeBudget, scene.scheme_id).total = Decimal(100)
    decide(scene, approve, referral_id)
    assert rewards(scene) == {("earned", None)}
    assert money(scene) == ["0.00", "15.30", "0.00"]


def test_there_is_nothing_to_decide_of_what_is_not_there(scene: Scene) -> None:
    with pytest.raises(NotFound):
        decide(scene, approve, RECRUIT)
