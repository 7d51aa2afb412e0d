"""Users of before are taken in whole batches at a time, and what a sign-up told of them stays."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from portal.crypto import DataCipher
from portal.db import Database
from portal.errors import InvalidInput
from portal.events import Actor
from portal.referrals.addresses import address_index
from portal.referrals.adoption.user_import import add_users, read_batches
from portal.referrals.invitations.service import OWN, SIGNED_UP, Request, refusal_of
from portal.referrals.progress.messages import EarlierUser
from portal.referrals.progress.models import KnownUser, UserFact
from tests.referrals.scenes import NOW, RECRUIT, REFERRER, Scene
from tests.servers.urls import Urls
from tests.web.portal import environment_for

OPERATOR = Actor("person", "shell:operator")
LONG_AGO = datetime(2024, 5, 1, 12, tzinfo=UTC)


def line(user_id: object, address: object = "ana@example.com", **more: object) -> str:
    return json.dumps({"user_id": user_id, "address": address} | more)


def read(*lines: str, size: int = 1000) -> list[list[EarlierUser]]:
    return list(read_batches(io.BytesIO("\n".join(lines).encode()), size))


def take_in(scene: Scene, *lines: str) -> int:
    with scene.database.writer() as session:
        return sum(
            add_users(session, batch, cipher=scene.cipher, actor=OPERATOR, now=scene.now)
            for batch in read(*lines)
        )


def refusal(scene: Scene, referrer: int, address: str) -> object:
    with scene.database.reader() as session:
        return refusal_of(session, Request(referrer, [address], scene.scheme_id), scene.cipher)


def test_lines_come_in_batches_and_empty_ones_are_passed_over() -> None:
    batches = read(line(1), "", line(2, signed_up_at="2024-05-01T14:00:00+02:00"), line(3), size=2)
    assert [[user.user_id for user in batch] for batch in batches] == [[1], [2, 3]]
    assert [user.signed_up_at for user in batches[1]] == [LONG_AGO, None]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("{", "line 3: It is not JSON in UTF-8."),
        ("[" * 9_000, "line 3: It is not JSON in UTF-8."),
        ("x" * 20_000, "line 3: It is longer than 10000 bytes."),
        ("[1]", "line 3: The message is not a JSON object."),
        (line("1"), "line 3: user_id: Input should be a valid integer"),
        (line(1, "ana"), "line 3: address: must be a mail address"),
        (line(1, signed_up_at="2024"), "line 3: signed_up_at: must be a time with its zone"),
        (line(1, colour="red"), "line 3: colour: Extra inputs are not permitted"),
    ],
)
def test_a_line_that_is_refused_is_told_by_number_and_field(given: str, told: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        read(line(1), line(2), given, size=2)
    assert refused.value.reason.startswith(f"Nothing was taken in from line 3 on:\n{told}")
    assert "ana@" not in refused.value.reason


def test_who_is_taken_in_is_not_invited_and_not_won_by_a_later_message(scene: Scene) -> None:
    lines = (line(RECRUIT, "Ana@example.com", signed_up_at="2024-05-01T12:00:00Z"), line(REFERRER, "bo@x.cl"))
    token = scene.invite("ana@example.com")
    assert take_in(scene, *lines) == 2
    assert refusal(scene, 7, "ana@example.com") is SIGNED_UP
    assert refusal(scene, REFERRER, "BO@x.cl") is OWN
    assert scene.sign_up(RECRUIT, "ana@example.com", token=token).result == "known"
    assert take_in(scene, *lines, line(3, "c@x.cl")) == 1
    users = {user.user_id: user.signed_up_at for user in scene.all(KnownUser)}
    assert users == {RECRUIT: LONG_AGO, REFERRER: NOW, 3: NOW}
    assert [event.data for event in scene.events("users.imported")] == [
        {"users": 2, "news": 2},
        {"users": 3, "news": 1},
    ]


def test_what_a_message_has_told_stays_and_what_it_has_not_is_added(scene: Scene) -> None:
    scene.sign_up(1, "told@example.com", ip="192.0.2.1")
    scene.verify(2)
    lines = [line(user_id, "other@example.com", signed_up_at="2024-05-01T12:00:00Z") for user_id in (1, 2)]
    assert take_in(scene, *lines, line(2, "second@example.com")) == 1
    told, added = scene.all(KnownUser)
    assert (told.address_index, told.signed_up_at) == (address_index(scene.cipher, "told@example.com"), NOW)
    assert told.network_index is not None
    assert added.address_index == address_index(scene.cipher, "other@example.com")
    assert added.signed_up_at == LONG_AGO


def test_what_was_kept_for_a_sign_up_goes_unless_there_is_a_referral(scene: Scene) -> None:
    scene.convert(RECRUIT)
    scene.verify(2)
    scene.verify(3)
    assert take_in(scene, line(RECRUIT), line(2)) == 1
    assert {fact.user_id for fact in scene.all(UserFact)} == {3, RECRUIT}


def test_a_sign_up_in_the_future_counts_as_now(scene: Scene) -> None:
    take_in(scene, line(1, signed_up_at=(NOW + timedelta(days=1)).isoformat()))
    assert scene.one(KnownUser).signed_up_at == NOW


def test_the_command_takes_in_whole_batches_up_to_the_first_that_is_refused(
    migrated_urls: Urls, tmp_path: Path
) -> None:
    file = tmp_path / "users.jsonl"
    lines = [line(number, f"u{number}@example.com") for number in range(1, 2_501)]

    def run(*arguments: str, typed: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "portal", "import-users", *arguments],
            env=os.environ | environment_for(migrated_urls),
            cwd=Path(__file__).parents[3],
            input=typed,
            capture_output=True,
            text=True,
            check=False,
        )

    file.write_text("\n".join([*lines[:1_500], line(0), *lines[1_500:]]))
    stopped = run(str(file))
    assert (stopped.returncode, stopped.stdout) == (1, "")
    assert stopped.stderr.startswith("Error: Nothing was taken in from line 1001 on:\nline 1501: user_id: ")
    done = run(typed="\n".join(lines))
    assert (done.returncode, done.stdout) == (0, "2500 lines were taken in: 1500 users were news.\n")
    database = Database(migrated_urls.writer, migrated_urls.writer)
    cipher = DataCipher(environment_for(migrated_urls)["DATA_KEY"])
    with database.reader() as session:
        assert session.get_one(KnownUser, 2_500).address_index == address_index(cipher, "u2500@example.com")
    database.dispose()
