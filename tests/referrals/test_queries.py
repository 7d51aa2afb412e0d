"""Whoever was erased is found by their address no more, though its hash is kept."""

from __future__ import annotations

import pytest

from portal.events import Actor
from portal.referrals.privacy import erase_person, find_person
from portal.referrals.queries import search_invitations, search_users
from tests.referrals.scenes import RECRUIT, Scene

ANA, EVA = "ana@example.com", "eva@example.com"


def find(scene: Scene, text: str) -> tuple[int, int]:
    """Return how many users and invitations are found."""
    with scene.database.reader() as session:
        users = search_users(session, [text], cipher=scene.cipher, most=9)
        invitations = search_invitations(session, [text], cipher=scene.cipher, masked=False, most=9)
    return len(users.get(text, [])), len(invitations.get(text, []))


def erase(scene: Scene, address: str) -> None:
    with scene.database.writer() as session:
        person = find_person(session, scene.cipher, address=address)
        erase_person(session, person, actor=Actor("person", "operator"), now=scene.now)


@pytest.mark.parametrize("signed_up", [True, False])
def test_an_erased_person_is_not_found_by_their_address(scene: Scene, signed_up: bool) -> None:
    for user_id, address in ((RECRUIT, ANA), (RECRUIT + 1, EVA)):
        scene.invite(address)
        if signed_up:
            scene.sign_up(user_id, address)
    assert find(scene, ANA) == (signed_up, 1)
    erase(scene, ANA)
    assert find(scene, ANA) == (0, 0)
    assert find(scene, EVA) == (signed_up, 1)
    assert find(scene, str(RECRUIT)) == (signed_up, 0)
