"""Sign-ups and verifications become referrals and met conditions, in any order, and once."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from itertools import permutations

import pytest

from portal.db import Database
from portal.referrals.models import Referral, ReferralCondition
from portal.referrals.progress.models import ConditionEvidence, KnownUser, ReferralProgress, UserFact
from portal.referrals.schemes.models import SchemeVersion
from portal.referrals.states import ReferralStatus
from tests.referrals.scenes import NOW, RECRUIT, REFERRER, Scene, scheme

MINUTE = timedelta(minutes=1)


def test_a_sign_up_with_a_token_becomes_a_referral_with_its_first_condition(scene: Scene) -> None:
    token = scene.invite("ana@example.com")
    done = scene.sign_up(email="other@example.com", token=token)
    assert (done.result, dict(done.met)) == ("referred", {"sign-up": 1})
    progress, referral = scene.progress(), scene.one(Referral)
    assert (progress.status, progress.review, progress.user_id) == ("started", "pending", RECRUIT)
    assert (referral.id, referral.referrer_user_id) == (progress.referral_id, REFERRER)
    assert referral.referral_scheme_id == progress.scheme_id == scene.scheme_id
    assert scene.one(ReferralCondition).referral_id == referral.id
    assert scene.one(ConditionEvidence).source_id == f"sign-up-{RECRUIT}"
    invitation = scene.invitation(token)
    assert (invitation.status, invitation.referral_id) == (ReferralStatus.STARTED, referral.id)
    assert [event.subject_id for event in scene.events("referral.started")] == [referral.id]
    assert [event.subject_id for event in scene.events("invitation.started")] == [invitation.id]


def test_a_sign_up_by_an_invited_address_needs_no_token(scene: Scene) -> None:
    scene.invite("Ana@Example.com")
    assert scene.sign_up(email=" ana@example.COM ".strip()).result == "referred"


def test_the_oldest_invitation_of_an_address_wins(scene: Scene) -> None:
    for number, referrer in enumerate((7, 5, 6)):
        scene.now = NOW + number * MINUTE
        scene.invite("ana@example.com", referrer)
    scene.sign_up()
    assert scene.progress().referrer_user_id == 7


def test_a_token_wins_over_an_older_invitation(scene: Scene) -> None:
    scene.invite("ana@example.com", 5)
    token = scene.invite("ana@example.com", 6)
    scene.sign_up(token=token)
    assert scene.progress().referrer_user_id == 6


def test_a_link_that_was_used_counts_for_the_first_user_only(scene: Scene) -> None:
    token = scene.invite("ana@example.com")
    assert scene.sign_up(1, "eva@example.com", token=token).result == "referred"
    assert scene.sign_up(2, "ana@example.com", token=token).result == "not-referred"
    assert len(scene.all(Referral)) == 1


def test_an_unknown_token_falls_back_to_the_address(scene: Scene) -> None:
    scene.invite("ana@example.com")
    assert scene.sign_up(token="guessed").result == "referred"


def test_what_is_no_referral_is_kept_as_hashes_only(scene: Scene) -> None:
    assert scene.sign_up(ip="192.0.2.1", device="phone").result == "not-referred"
    assert not scene.all(Referral)
    user = scene.one(KnownUser)
    assert user.address_index
    assert user.folded_index
    assert user.network_index
    assert user.device_index
    assert user.signed_up_at == NOW


def test_who_was_invited_after_having_signed_up_was_not_won_by_that(scene: Scene) -> None:
    scene.invite("ana@example.com")
    assert scene.sign_up(at=NOW - MINUTE).result == "not-referred"


def test_a_sign_up_told_twice_changes_nothing(scene: Scene) -> None:
    token = scene.invite("ana@example.com")
    scene.sign_up(token=token)
    assert scene.sign_up(token=token).result == "known"
    assert len(scene.all(ConditionEvidence)) == 1
    assert len(scene.events("referral.started")) == 1


def test_a_user_is_referred_once_in_all_versions_of_a_scheme(scene: Scene) -> None:
    with scene.database.writer() as session:
        second = scheme(session)
        session.get_one(SchemeVersion, second).family_id = scene.scheme_id
        session.get_one(SchemeVersion, second).version = 2
    # As an adopted referral has it: the user is referred, and not known to have signed up.
    scene.sign_up(token=scene.invite("ana@example.com"))
    with scene.database.writer() as session:
        session.get_one(KnownUser, RECRUIT).signed_up_at = None
    token = scene.invite("ana@example.org", 5, second)
    assert scene.sign_up(email="ana@example.org", token=token).result == "not-referred"


def test_a_retired_scheme_starts_no_referral_but_for_sign_ups_of_before(scene: Scene) -> None:
    tokens = [scene.invite(f"{name}@example.com") for name in "ab"]
    with scene.database.writer() as session:
        session.get_one(SchemeVersion, scene.scheme_id).retired_at = NOW + MINUTE
    scene.now = NOW + 5 * MINUTE
    assert scene.sign_up(1, token=tokens[0], at=NOW + MINUTE).result == "not-referred"
    assert scene.sign_up(2, token=tokens[1], at=NOW).result == "referred"


def test_a_clock_that_goes_ahead_does_not_lengthen_a_referral(scene: Scene) -> None:
    scene.sign_up(token=scene.invite("ana@example.com"), at=NOW + timedelta(days=400))
    assert scene.progress().started_at == NOW
    assert scene.progress().expires_at == NOW + timedelta(days=30)


def test_a_verification_before_the_sign_up_counts_when_the_sign_up_comes(scene: Scene) -> None:
    token = scene.invite("ana@example.com")
    assert scene.verify().result == "kept"
    done = scene.sign_up(token=token)
    assert dict(done.met) == {"sign-up": 1, "verification": 1}
    assert scene.progress().status == "qualifying"


def test_a_verification_told_twice_meets_its_condition_once(scene: Scene) -> None:
    scene.sign_up(token=scene.invite("ana@example.com"))
    assert scene.verify().result == "met"
    assert scene.verify().result == "known"
    assert len(scene.events("referral.condition-met")) == 2


@pytest.mark.parametrize("first", ["sign-up", "verification"])
def test_a_verification_of_who_is_no_referral_leaves_nothing(scene: Scene, first: str) -> None:
    scene.verify(RECRUIT + 1)
    if first == "verification":
        assert scene.verify().result == "kept"
    assert scene.sign_up().result == "not-referred"
    if first == "sign-up":
        assert scene.verify().result == "not-referred"
    assert [fact.user_id for fact in scene.all(UserFact)] == [RECRUIT + 1]


def test_a_verification_after_the_end_is_told_and_does_not_count(scene: Scene) -> None:
    scene.sign_up(token=scene.invite("ana@example.com"))
    end = NOW + timedelta(days=30)
    scene.now = end + MINUTE
    assert scene.verify(at=end).result == "nothing-met"
    assert scene.progress().status == "started"
    assert [event.data["at"] for event in scene.events("referral.came-too-late")] == [end.isoformat()]


def test_a_late_message_of_before_the_end_counts(scene: Scene) -> None:
    scene.sign_up(token=scene.invite("ana@example.com"))
    end = NOW + timedelta(days=30)
    scene.now = end + MINUTE
    assert scene.verify(at=end - timedelta(microseconds=1)).result == "met"


@pytest.mark.parametrize("order", list(permutations(("sign-up", "verify", "sign-up again", "verify again"))))
def test_in_any_order_and_twice_it_comes_to_the_same(scene: Scene, order: tuple[str, ...]) -> None:
    token = scene.invite("ana@example.com")
    for what in order:
        if what.startswith("sign-up"):
            scene.sign_up(token=token)
        else:
            scene.verify()
    assert scene.progress().status == "qualifying"
    assert len(scene.all(ReferralCondition)) == 2


def test_a_sign_up_and_a_verification_at_once_both_count(scene: Scene, database: Database) -> None:
    users = range(1, 13)
    tokens = {user: scene.invite(f"u{user}@example.com") for user in users}
    barrier = threading.Barrier(2)

    def sign_up(user: int) -> None:
        barrier.wait(30)
        scene.sign_up(user, f"u{user}@example.com", token=tokens[user])

    def verify(user: int) -> None:
        barrier.wait(30)
        scene.verify(user)

    with ThreadPoolExecutor(2) as pool:
        for user in users:
            for done in [pool.submit(sign_up, user), pool.submit(verify, user)]:
                done.result(60)
    assert [row.status for row in scene.all(ReferralProgress)] == ["qualifying"] * len(users)
    assert len(scene.all(ReferralCondition)) == 2 * len(users)
