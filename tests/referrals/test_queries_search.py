"""Whoever was erased is found by their address no more, though its hash is kept."""

from __future__ import annotations

import pytest

from portal.events import Actor
from portal.referrals.privacy import erase_person, find_person
from portal.referrals.queries_search import Found, search
from tests.referrals.scenes import RECRUIT, Scene

ANA, EVA = "ana@example.com", "eva@example.com"


def find(scene: Scene, text: str) -> Found:
    with scene.database.reader() as session:
        return search(session, text, scene.cipher)


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
    assert (len(find(scene, ANA).users), len(find(scene, ANA).invitations)) == (signed_up, 1)
    erase(scene, ANA)
    assert (find(scene, ANA).users, find(scene, ANA).invitations) == ([], [])
    assert (len(find(scene, EVA).users), len(find(scene, EVA).invitations)) == (signed_up, 1)
    assert len(find(scene, str(RECRUIT)).users) == signed_up
