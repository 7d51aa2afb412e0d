"""A message tells of a person in whatever form it came; one of somebody else does not."""

from __future__ import annotations

import json

import pytest

from portal.referrals.mentions import Mentions
from portal.referrals.privacy import find_person
from tests.referrals.scenes import REFERRER, Scene

JOSE, LINK = "José@example.com", "{link}"


def sign_up(**told: object) -> str:
    return json.dumps({"type": "user.signed-up", "user_id": 7, "email": "eva@example.com"} | told)


def enveloped(message: str) -> str:
    return json.dumps({"Type": "Notification", "Message": message})


def notice(recipient: str) -> str:
    return json.dumps({"notificationType": "Bounce", "bouncedRecipients": [{"emailAddress": recipient}]})


THEIRS = [
    sign_up(email="JOSÉ@example.com"),
    enveloped(sign_up(email=JOSE)),
    enveloped(sign_up(email="lost", user_id=1001)),
    enveloped(sign_up(token=LINK)),
    enveloped(notice(f"José <{JOSE}>")),
    notice(f"rfc822;{JOSE}"),
    sign_up(email=JOSE)[:-1].replace("\\u00e9", "é"),
    enveloped(sign_up(user_id=1001))[:-1],
    f"lost: {JOSE}, and more",
    sign_up(email=f"\ud800{JOSE}", name="\udfff"),
]
OTHERS = [
    sign_up(),
    enveloped(sign_up(user_id=10_010, at=1001)),
    enveloped(notice("jose@example.com")),
    sign_up(token="unknown"),
    sign_up(email="a\ud800@x.cl", token="\udfff"),
    "",
    "[" * 100_000,
]


@pytest.fixture
def mentions(scene: Scene) -> tuple[Mentions, str]:
    """Give what tells of a person who was invited and signed up, and the token of their link."""
    link = scene.invite("jo@example.com")
    scene.sign_up(1001, JOSE, token=link)
    with scene.database.writer() as session:
        person = find_person(session, scene.cipher, address=JOSE)
        return Mentions.of(session, person, scene.cipher), link


def test_a_message_of_theirs_is_recognised_in_every_form(mentions: tuple[Mentions, str]) -> None:
    of_them, link = mentions
    assert [text for text in THEIRS if not of_them.are_in(text.replace(LINK, link))] == []


def test_a_message_of_somebody_else_is_not(mentions: tuple[Mentions, str]) -> None:
    assert [text for text in OTHERS if mentions[0].are_in(text)] == []


def test_of_a_referrer_the_links_of_others_are_not_theirs(scene: Scene) -> None:
    link = scene.invite("jo@example.com")
    with scene.database.writer() as session:
        person = find_person(session, scene.cipher, user_id=REFERRER)
        assert not Mentions.of(session, person, scene.cipher).are_in(sign_up(token=link))
