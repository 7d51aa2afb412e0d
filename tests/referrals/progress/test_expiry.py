"""Referrals end at their instant, in UTC, once."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from portal.referrals.progress.expiry import expire_referrals
from portal.referrals.progress.models import ReferralProgress
from portal.referrals.rewards.models import RewardGrant
from tests.referrals.scenes import NOW, RECRUIT, Scene, scheme

END = NOW + timedelta(days=30)
MOMENT = timedelta(microseconds=1)


def expire(scene: Scene, until: datetime, limit: int = 100) -> int:
    with scene.database.writer() as session:
        return expire_referrals(session, until=until, limit=limit, recorder=scene.recorder)


def start(scene: Scene, *users: int) -> None:
    for user in users or (RECRUIT,):
        scene.sign_up(user, f"u{user}@example.com", token=scene.invite(f"u{user}@example.com"))


def statuses(scene: Scene) -> list[str]:
    return sorted(row.status for row in scene.all(ReferralProgress))


def test_a_referral_expires_at_its_instant_and_not_before(scene: Scene) -> None:
    start(scene)
    assert expire(scene, END - MOMENT) == 0
    assert statuses(scene) == ["started"]
    assert expire(scene, END) == 1
    assert statuses(scene) == ["expired"]


def test_a_referral_ends_at_its_own_instant_however_late_this_is_written(scene: Scene) -> None:
    start(scene)
    scene.verify()
    scene.now = END + timedelta(hours=3)
    expire(scene, scene.now)
    assert scene.progress().ended_at == END
    (event,) = scene.events("referral.expired")
    assert (event.at, event.data) == (scene.now, {"at": END.isoformat(), "was": "qualifying"})


@pytest.mark.parametrize(
    ("period", "began", "ends"),
    [
        (("days", 1), datetime(2026, 3, 28, 23, 30, tzinfo=UTC), datetime(2026, 3, 29, 23, 30, tzinfo=UTC)),
        (("Month", 1), datetime(2027, 1, 31, 12, 0, tzinfo=UTC), datetime(2027, 2, 28, 12, 0, tzinfo=UTC)),
        (("YEARS", 1), datetime(2028, 2, 29, 0, 0, tzinfo=UTC), datetime(2029, 2, 28, 0, 0, tzinfo=UTC)),
    ],
)
def test_the_end_is_reckoned_in_utc_by_the_calendar(
    scene: Scene, period: tuple[str, int], began: datetime, ends: datetime
) -> None:
    with scene.database.writer() as session:
        scene.scheme_id = scheme(session, period=period)
    scene.now = began
    start(scene)
    assert scene.progress().expires_at == ends
    assert [expire(scene, ends - MOMENT), expire(scene, ends)] == [0, 1]


def test_what_never_ends_does_not_expire(scene: Scene) -> None:
    with scene.database.writer() as session:
        scene.scheme_id = scheme(session, period=("never", 0))
    start(scene)
    assert expire(scene, datetime(9999, 1, 1, tzinfo=UTC)) == 0


def test_a_referral_that_has_converted_does_not_expire(scene: Scene) -> None:
    scene.convert()
    assert expire(scene, END + timedelta(days=1)) == 0
    assert statuses(scene) == ["converted"]
    assert {grant.status for grant in scene.all(RewardGrant)} == {"earned"}


def test_referrals_expire_in_batches_and_each_once(scene: Scene) -> None:
    start(scene, *range(1, 6))
    assert [expire(scene, END, 2) for _ in range(4)] == [2, 2, 1, 0]
    assert statuses(scene) == ["expired"] * 5
    assert len(scene.events("referral.expired")) == 5


def test_two_who_expire_at_once_tell_each_referral_once(scene: Scene) -> None:
    users = range(1, 31)
    start(scene, *users)
    barrier = threading.Barrier(3)

    def all_of_it(_: int) -> int:
        barrier.wait(30)
        return sum(expire(scene, END, 4) for _ in range(10))

    with ThreadPoolExecutor(3) as pool:
        assert sum(pool.map(all_of_it, range(3))) == len(users)
    assert len(scene.events("referral.expired")) == len(users)


def test_a_conversion_and_the_expiry_at_once_end_in_the_conversion(scene: Scene) -> None:
    users = range(1, 13)
    start(scene, *users)
    for user in users:
        scene.verify(user)
    barrier = threading.Barrier(2)

    def convert() -> int:
        barrier.wait(30)
        return sum(scene.spend(user, at=END - MOMENT) == "converted" for user in users)

    def end() -> int:
        barrier.wait(30)
        return sum(expire(scene, END, 2) for _ in range(8))

    with ThreadPoolExecutor(2) as pool:
        converted, expired = pool.submit(convert), pool.submit(end)
        assert converted.result(60) == len(users)
        assert expired.result(60) == len(scene.events("referral.reopened-late"))
    assert expire(scene, END) == 0
    assert statuses(scene) == ["converted"] * len(users)
    assert len(scene.all(RewardGrant)) == 2 * len(users)


def test_late_word_of_what_came_before_the_end_reopens_and_converts(scene: Scene) -> None:
    start(scene)
    assert scene.spend(at=END - MOMENT) == "met"
    scene.now = END + timedelta(days=1)
    expire(scene, scene.now)
    assert scene.verify(at=END - MOMENT).met == {"verification": 1, "conversion": 1}
    progress = scene.progress()
    assert (progress.status, progress.ended_at) == ("converted", scene.now)
    assert {grant.status for grant in scene.all(RewardGrant)} == {"earned"}
    (event,) = scene.events("referral.reopened-late")
    assert (event.data["event_type"], event.data["at"]) == ("verification", (END - MOMENT).isoformat())
    assert expire(scene, scene.now) == 0


def test_a_referral_that_was_reopened_and_lacks_something_expires_again(scene: Scene) -> None:
    start(scene)
    scene.now = END + timedelta(days=1)
    expire(scene, scene.now)
    assert scene.verify(at=END - MOMENT).result == "met"
    assert (scene.progress().status, scene.progress().ended_at) == ("qualifying", None)
    assert [expire(scene, scene.now), expire(scene, scene.now)] == [1, 0]
    assert (scene.progress().status, scene.progress().ended_at) == ("expired", END)
    assert not scene.all(RewardGrant)


def test_what_happened_when_the_time_was_over_reopens_nothing(scene: Scene) -> None:
    start(scene)
    scene.now = END + timedelta(days=1)
    expire(scene, scene.now)
    assert scene.verify(at=END).result == "nothing-met"
    assert statuses(scene) == ["expired"]
    assert len(scene.events("referral.came-too-late")) == 1
    assert not scene.events("referral.reopened-late")


def test_a_conversion_waits_for_an_expiry_that_is_under_way(scene: Scene) -> None:
    start(scene)
    scene.verify()
    done = threading.Event()

    def spend() -> str:
        outcome = scene.spend()
        done.set()
        return outcome

    with ThreadPoolExecutor(1) as pool:
        with scene.database.writer() as session:
            expire_referrals(session, until=END, limit=1, recorder=scene.recorder)
            spent = pool.submit(spend)
            assert not done.wait(1)
        assert spent.result(30) == "converted"
    assert statuses(scene) == ["converted"]
    assert len(scene.events("referral.reopened-late")) == 1
