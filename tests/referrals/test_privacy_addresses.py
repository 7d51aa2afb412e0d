"""A person with several addresses is one person where an invitation that they answered says so."""

from __future__ import annotations

from typing import Any

import pytest

from portal.events import Actor
from portal.referrals.invitation_models import Invitation
from portal.referrals.privacy import erase_person, export_person, find_person
from portal.referrals.progress_models import KnownUser
from tests.referrals.inviting import readable
from tests.referrals.scenes import NOW, Scene

OPERATOR = Actor("person", "shell:operator")
USER = 770_077_077
WORK, HOME = "ana@work.example", "ana@home.example"


@pytest.fixture
def elsewhere(scene: Scene) -> Scene:
    """Have somebody who was invited at work, and signed up by the link with their address at home."""
    link = scene.invite(WORK)
    assert scene.sign_up(USER, HOME, token=link, ip="192.0.2.7", device="phone").result == "referred"
    return scene


BY_ANY = pytest.mark.parametrize("who", [{"address": WORK}, {"address": HOME}, {"user_id": USER}])


@BY_ANY
def test_who_signed_up_with_another_address_is_told_of_the_invitation_that_they_answered(
    elsewhere: Scene, who: dict[str, Any]
) -> None:
    with elsewhere.database.writer() as session:
        person = find_person(session, elsewhere.cipher, **who)
        held = export_person(session, person, cipher=elsewhere.cipher, actor=OPERATOR, now=NOW)["held"]
    assert [row["address"] for row in held["invitations_received"]] == [WORK]
    assert [row["user_id"] for row in held["users"]] == [USER]


@BY_ANY
def test_who_signed_up_with_another_address_is_erased_whole(elsewhere: Scene, who: dict[str, Any]) -> None:
    assert WORK in readable(elsewhere.database, elsewhere.cipher)
    with elsewhere.database.writer() as session:
        person = find_person(session, elsewhere.cipher, **who)
        assert erase_person(session, person, actor=OPERATOR, now=NOW) == 1
    assert WORK not in readable(elsewhere.database, elsewhere.cipher)
    (invitation,) = elsewhere.all(Invitation)
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
