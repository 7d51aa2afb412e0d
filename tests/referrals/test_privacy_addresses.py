"""A person with several addresses is one person where an invitation that they answered says so."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import update

from portal.events import Actor
from portal.referrals.invitations.models import Invitation
from portal.referrals.privacy import erase_person, export_person, find_person
from portal.referrals.progress.models import KnownUser
from portal.referrals.rewards.models import RewardGrant
from tests.referrals.inviting import readable
from tests.referrals.scenes import NOW, RECRUIT, REFERRER, Scene

OPERATOR = Actor("person", "shell:operator")
USER = 770_077_077
WORK, HOME = "ana@work.example", "ana@home.example"


@pytest.fixture
def elsewhere(scene: Scene) -> Scene:
    """Have somebody who was invited at work by two, and signed up by a link with their address at home."""
    link = scene.invite(WORK)
    scene.invite(WORK, REFERRER + 1)
    assert scene.sign_up(USER, HOME, token=link, ip="192.0.2.7", device="phone").result == "referred"
    return scene


BY_ANY = pytest.mark.parametrize("who", [{"address": WORK}, {"address": HOME}, {"user_id": USER}])


@BY_ANY
def test_who_signed_up_with_another_address_is_told_of_all_invitations_to_that_which_they_answered(
    elsewhere: Scene, who: dict[str, Any]
) -> None:
    with elsewhere.database.writer() as session:
        person = find_person(session, elsewhere.cipher, **who)
        held = export_person(session, person, cipher=elsewhere.cipher, actor=OPERATOR, now=NOW)["held"]
    assert [row["address"] for row in held["invitations_received"]] == [WORK, WORK]
    assert [row["user_id"] for row in held["users"]] == [USER]


@BY_ANY
def test_who_signed_up_with_another_address_is_erased_whole(elsewhere: Scene, who: dict[str, Any]) -> None:
    assert WORK in readable(elsewhere.database, elsewhere.cipher)
    with elsewhere.database.writer() as session:
        person = find_person(session, elsewhere.cipher, **who)
        assert erase_person(session, person, actor=OPERATOR, now=NOW) == 2
    assert WORK not in readable(elsewhere.database, elsewhere.cipher)
    for invitation in elsewhere.all(Invitation):
        assert (invitation.address, invitation.token, invitation.token_hash) == (None, None, None)
    (user,) = elsewhere.all(KnownUser)
    assert (user.network_index, user.device_index) == (None, None)


def test_a_sign_up_that_comes_between_finding_and_erasing_is_erased_too(scene: Scene) -> None:
    link = scene.invite(WORK)
    with scene.database.reader() as session:
        person = find_person(session, scene.cipher, address=WORK)
    scene.sign_up(USER, HOME, token=link, ip="192.0.2.7", device="phone")
    with scene.database.writer() as session:
        erase_person(session, person, actor=OPERATOR, now=NOW)
    (user,) = scene.all(KnownUser)
    assert (user.network_index, user.device_index) == (None, None)
    assert [event.subject_id for event in scene.events("person.erased")] == [USER]


def test_both_sides_are_told_what_happened_to_them_and_nothing_of_the_other(scene: Scene) -> None:
    scene.now -= timedelta(minutes=1)
    scene.convert(RECRUIT)
    with scene.database.writer() as session:
        session.execute(update(RewardGrant).values(pushed_by="staff@waybill.example"))
        session.execute(update(Invitation).values(clicked_at=scene.now))
    told = {}
    for user_id in (RECRUIT, REFERRER, REFERRER):
        with scene.database.writer() as session:
            person = find_person(session, scene.cipher, user_id=user_id)
            told[user_id] = export_person(session, person, cipher=scene.cipher, actor=OPERATOR, now=NOW)
    recruit, referrer = (
        {row["kind"]: row["data"] for row in told[user_id]["held"]["history"]} for user_id in told
    )
    assert recruit["referral.condition-met"]["amount"] == "120"
    sides = {row["data"].get("side") for row in told[RECRUIT]["held"]["history"]}
    assert sides == {None, "recruit"}
    assert "invitation.started" in recruit
    assert set(referrer) == {"invitation.created", "person.exported"}
    assert "staff@" not in json.dumps(told)
    assert str(REFERRER) not in json.dumps(told[RECRUIT]["held"]["history"])
    assert str(RECRUIT) not in json.dumps(told[REFERRER])
