"""Sign-ups and verifications become referrals and met conditions, in any order, and once."""

from __future__ import annotations

from tests.referrals.scenes import Scene


def test_a_sign_up_with_a_token_becomes_a_referral_with_its_first_condition(scene: Scene) -> None:
    token = scene.invite("ana@example.com")
    done = scene.sign_up(email="other@example.com", token=token)
    assert (done.result, dict(done.met)) == ("referred", {"sign-up": 1})


def test_all_conditions_convert_a_referral_and_both_sides_earn(scene: Scene) -> None:
    scene.convert()
    assert scene.progress().status == "converted"
    assert {side: grant.status for side, grant in scene.grants().items()} == {
        "referrer": "earned",
        "recruit": "earned",
    }
    assert [str(x) for x in scene.budget()] == ["0.00", "15.30", "0.00"]
    assert scene.usage() == 1
