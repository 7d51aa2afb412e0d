"""Rules flag referrals, each with its reason, whatever the order in which sign-ups are recorded."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from itertools import permutations

import pytest

from portal import work
from portal.referrals.progress import fraud
from portal.referrals.progress.models import KnownUser, ReferralProgress
from portal.referrals.rewards.models import ReferralFlag
from portal.referrals.states import Review
from portal.work import Work
from tests.referrals.scenes import NOW, RECRUIT, REFERRER, Scene

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)


def recruit(
    scene: Scene,
    user_id: int = RECRUIT,
    email: str | None = None,
    referrer: int = REFERRER,
    ip: str | None = None,
    device: str | None = None,
    at: datetime | None = None,
) -> None:
    """Let a user sign up who was invited."""
    address = email or f"u{user_id}@example.com"
    token = scene.invite(f"invited-{user_id}@example.com", referrer)
    assert scene.sign_up(user_id, address, at=at, token=token, ip=ip, device=device).result == "referred"


def reasons(scene: Scene, user_id: int = RECRUIT) -> list[str]:
    of_referral = ReferralFlag.referral_id == scene.progress(user_id).referral_id
    return [flag.reason for flag in scene.all(ReferralFlag, of_referral)]


def test_an_honest_recruit_is_not_flagged(scene: Scene) -> None:
    scene.sign_up(REFERRER, "bob@example.com", ip="192.0.2.1", device="bob's")
    recruit(scene, ip="192.0.2.1", device="ana's")
    assert scene.flags() == []
    assert scene.progress().review == Review.PENDING


@pytest.mark.parametrize(
    ("email", "device", "reason"),
    [
        ("bob+x@googlemail.com", "other", "with the mailbox of the referrer"),
        ("ana@example.com", "phone", "on the device of the referrer"),
    ],
)
def test_a_self_referral_is_flagged_and_not_dropped(
    scene: Scene, email: str, device: str, reason: str
) -> None:
    scene.sign_up(REFERRER, "b.ob@gmail.com", NOW - timedelta(days=2), device="phone")
    recruit(scene, email=email, device=device)
    assert scene.flags() == [fraud.SELF_REFERRAL]
    assert reason in reasons(scene)[0]
    assert scene.progress().review == Review.FLAGGED
    (event,) = scene.events("referral.flagged")
    assert event.data == {"rule": fraud.SELF_REFERRAL, "reason": reasons(scene)[0]}


def test_who_comes_by_their_own_link_is_flagged(scene: Scene) -> None:
    recruit(scene, REFERRER)
    assert reasons(scene, REFERRER) == ["The recruit is the referrer."]


def test_what_is_not_known_of_either_is_no_self_referral(scene: Scene) -> None:
    scene.sign_up(REFERRER, "bob@example.com")
    recruit(scene)
    assert scene.flags() == []


def test_recruits_of_one_mailbox_are_all_flagged(scene: Scene) -> None:
    recruit(scene, 1, "ana+1@gmail.com", referrer=5)
    assert scene.flags(1) == []
    recruit(scene, 2, "a.na@gmail.com", referrer=6)
    assert [scene.flags(user) for user in (1, 2)] == [[fraud.SAME_ADDRESS]] * 2


def test_a_mailbox_that_nobody_else_was_recruited_with_is_not_flagged(scene: Scene) -> None:
    scene.sign_up(1, "ana+1@gmail.com")
    recruit(scene, 2, "ana@gmail.com")
    assert scene.flags(2) == []


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_a_burst_of_one_address_block_is_flagged_whole_in_any_order(
    scene: Scene, order: tuple[int, ...]
) -> None:
    scene.now = NOW + 2 * HOUR
    times = [NOW, NOW + 30 * MINUTE, NOW + HOUR]
    for user in order:
        scene.now = NOW
        token = scene.invite(f"u{user + 1}@example.com")
        scene.now = NOW + 2 * HOUR
        scene.sign_up(user + 1, f"u{user + 1}@example.com", times[user], token=token, ip=f"192.0.2.{user}")
    assert [scene.flags(user) for user in (1, 2, 3)] == [[fraud.SAME_NETWORK]] * 3
    assert "3 or more users signed up from one address block within an hour." in reasons(scene, 1)


def test_beyond_the_window_sign_ups_are_no_burst(scene: Scene) -> None:
    for user, at in enumerate((NOW, NOW + 30 * MINUTE, NOW + HOUR + timedelta(microseconds=1)), start=1):
        scene.now = at
        recruit(scene, user, ip="192.0.2.1")
    assert [scene.flags(user) for user in (1, 2, 3)] == [[], [], []]


def test_other_blocks_are_no_burst(scene: Scene) -> None:
    for user in (1, 2, 3):
        recruit(scene, user, ip=f"192.0.{user}.1")
    assert scene.flags(3) == []


@pytest.mark.parametrize("last", [1, 5])
def test_of_more_sign_ups_at_one_instant_than_make_a_burst_the_last_recorded_is_flagged_too(
    scene: Scene, last: int
) -> None:
    for user in (2, 3, 4, last):
        recruit(scene, user, device="phone")
    assert [scene.flags(user) for user in (2, 3, 4, last)] == [[fraud.SAME_DEVICE]] * 4


def test_a_burst_of_one_device_is_flagged_also_with_users_who_were_not_invited(scene: Scene) -> None:
    scene.sign_up(1, "u1@example.com", device="phone")
    recruit(scene, 2, device="phone")
    assert scene.flags(2) == [fraud.SAME_DEVICE]


def test_a_referrer_over_the_velocity_is_flagged_from_there_on(scene: Scene) -> None:
    for user in range(1, 7):
        recruit(scene, user)
    assert [scene.flags(user) for user in (4, 5, 6)] == [[], [fraud.VELOCITY], [fraud.VELOCITY]]


@pytest.mark.parametrize("order", [(1, 2, 3, 4, 5), (5, 4, 3, 2, 1), (2, 5, 1, 4, 3), (5, 1, 2, 3, 4)])
def test_the_velocity_is_that_of_the_sign_ups_in_whatever_order_they_are_told_of(
    scene: Scene, order: tuple[int, ...]
) -> None:
    for user in order:
        recruit(scene, user, at=NOW + user * MINUTE)
    assert [scene.flags(user) for user in range(1, 6)] == [[], [], [], [], [fraud.VELOCITY]]
    assert reasons(scene, 5) == ["The referrer has more than 4 recruits within a day."]


def test_an_old_sign_up_that_is_told_of_late_is_no_velocity(scene: Scene) -> None:
    for user in range(1, 5):
        recruit(scene, user)
    recruit(scene, 5, at=NOW - timedelta(days=1))
    recruit(scene, 6, at=NOW - timedelta(days=3))
    assert not any(scene.flags(user) for user in range(1, 7))


def test_a_day_later_the_referrer_may_go_on(scene: Scene) -> None:
    for user in range(1, 5):
        recruit(scene, user)
    scene.now = NOW + timedelta(days=1)
    recruit(scene, 5)
    assert scene.flags(5) == []


def test_the_conversion_looks_again_at_what_came_in_since(scene: Scene) -> None:
    """As two transactions would leave it that did not see each other's sign-up."""
    recruit(scene, 1, "ana+1@gmail.com", referrer=5)
    recruit(scene, 2, "eva@example.com", referrer=6)
    with scene.database.writer() as session:
        session.get_one(KnownUser, 2).folded_index = session.get_one(KnownUser, 1).folded_index
    scene.verify(1)
    scene.spend(1)
    assert scene.flags(1) == [fraud.SAME_ADDRESS]
    assert {grant.code for grant in scene.grants(1).values()} == {"in-review"}


def test_what_a_person_has_decided_stays_decided(scene: Scene) -> None:
    recruit(scene, 1, "ana+1@gmail.com")
    with scene.database.writer() as session:
        session.get_one(ReferralProgress, scene.progress(1).referral_id).review = Review.APPROVED
    recruit(scene, 2, "ana+2@gmail.com")
    assert scene.flags(1) == [fraud.SAME_ADDRESS]
    assert scene.progress(1).review == Review.APPROVED


def test_a_rule_flags_a_referral_once(scene: Scene) -> None:
    recruit(scene, 1, "ana+1@gmail.com")
    recruit(scene, 2, "ana+2@gmail.com")
    scene.verify(1)
    scene.spend(1)
    assert scene.flags(1) == [fraud.SAME_ADDRESS]
    assert len(scene.events("referral.flagged")) == 2


def test_who_is_flagged_after_the_conversion_waits_for_approval_with_what_is_earned(scene: Scene) -> None:
    scene.convert(1, "ana+1@gmail.com", referrer=5)
    with scene.database.writer() as session:
        (begun,) = work.claim(session, "reward", limit=1, lease=HOUR, token="courier")
    recruit(scene, 2, "ana+2@gmail.com", referrer=6)
    states = {grant.id: (grant.status, grant.code) for grant in scene.grants(1).values()}
    assert states.pop(begun.reference) == ("earned", None)
    assert list(states.values()) == [("pending", "in-review")]
    assert [one.reference for one in scene.all(Work, Work.kind == "reward")] == [begun.reference]
    assert sum(scene.budget()[:2]) == Decimal("15.30")
    assert min(scene.budget()[:2]) > 0


def test_what_a_person_approved_stays_earned_when_a_rule_speaks(scene: Scene) -> None:
    scene.convert(1, "ana+1@gmail.com", referrer=5)
    with scene.database.writer() as session:
        session.get_one(ReferralProgress, scene.progress(1).referral_id).review = Review.APPROVED
    recruit(scene, 2, "ana+2@gmail.com", referrer=6)
    assert {grant.status for grant in scene.grants(1).values()} == {"earned"}
