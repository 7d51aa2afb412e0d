"""A person is told all that is held on them, and erased so that nobody can read or use it again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest
from sqlalchemy import select, update

from portal.db import Base
from portal.events import Actor, AuditEntry, Event
from portal.orders.waiting import Undelivered, keep_waiting
from portal.referrals.addresses import address_index, folded_index
from portal.referrals.invitations.models import Invitation
from portal.referrals.models import Referral
from portal.referrals.privacy import OF_REFERRALS, OF_USERS, erase_person, export_person, find_person
from portal.referrals.progress.models import KnownUser, UserFact
from portal.referrals.rewards.models import ReferralFlag
from portal.referrals.states import ReferralStatus
from portal.runtime import Runtime
from tests.referrals.inviting import (
    NOW,
    REFERRER,
    add_active_scheme,
    codes,
    invitations,
    invite_all,
    readable,
    token_of,
)

OPERATOR = Actor("person", "shell:operator")
ANA = "ana@example.com"
USER = 770_077_077


@pytest.fixture(autouse=True)
def _people(runtime: Runtime) -> None:
    """Have Ana, who was invited and signed up, and another person who was invited by the same referrer."""
    with runtime.writer() as session:
        scheme_id = add_active_scheme(session)
    invite_all(runtime, ANA, "eva@example.com")
    with runtime.writer() as session:
        referral = Referral(
            referrer_user_id=REFERRER, user_id=USER, created_at=NOW, referral_scheme_id=scheme_id
        )
        session.add(referral)
        session.flush()
        session.add(ReferralFlag(referral_id=referral.id, rule="velocity", reason="Too many.", at=NOW))
        session.add(
            KnownUser(
                user_id=USER,
                address_index=address_index(runtime.cipher, ANA),
                folded_index=folded_index(runtime.cipher, ANA),
                network_index="n",
                device_index="d",
                signed_up_at=NOW,
            )
        )
        session.add(UserFact(user_id=USER, event_type="spend", message_id="m", at=NOW, data={"amount": "9"}))


def export(runtime: Runtime, **who: Any) -> dict[str, Any]:
    def work(session: Any) -> dict[str, Any]:
        person = find_person(session, runtime.cipher, **who)
        return export_person(session, person, cipher=runtime.cipher, actor=OPERATOR, now=NOW)

    told: dict[str, Any] = json.loads(json.dumps(runtime.transact(work)))
    return told


def erase(runtime: Runtime, **who: Any) -> int:
    return runtime.transact(
        lambda session: erase_person(
            session, find_person(session, runtime.cipher, **who), actor=OPERATOR, now=NOW
        )
    )


def audited(runtime: Runtime) -> list[tuple[str, int]]:
    """Return what stands on the audit trail of exports and erasures."""
    with runtime.writer() as session:
        people = select(Event).join(AuditEntry, AuditEntry.event_id == Event.id).order_by(Event.id)
        rows = session.scalars(people.where(Event.subject.in_(("user", "invitation"))))
        return [(row.kind, row.subject_id) for row in rows]


@pytest.mark.parametrize("who", [{"address": " ANA@example.com"}, {"user_id": USER}])
def test_a_person_is_told_everything_by_address_and_by_user_id(runtime: Runtime, who: dict[str, Any]) -> None:
    told = export(runtime, **who)
    held = told["held"]
    assert [row["user_id"] for row in held["users"]] == [USER]
    assert held["facts"][0]["data"] == {"amount": "9"}
    assert [row["address"] for row in held["invitations_received"]] == [ANA]
    assert held["flags"][0]["reason"] == "Too many."
    assert [(row["kind"], row["data"]) for row in held["history"]] == [
        ("invitation.created", {"scheme_id": held["invitations_received"][0]["scheme_id"]})
    ]
    assert "Orders are not part of this" in told["not_included"]["orders"]
    assert audited(runtime) == [("person.exported", USER), ("invitation.exported", 1)]


def test_what_a_person_is_told_names_nobody_else(runtime: Runtime) -> None:
    with runtime.writer() as session:
        session.execute(update(Invitation).values(mail_reason="Ana Luna has moved."))
    recruit, referrer = (
        json.dumps(export(runtime, user_id=USER)),
        json.dumps(export(runtime, user_id=REFERRER)),
    )
    assert f'"referrer_user_id": {REFERRER}' not in recruit
    assert "eva@" not in recruit
    assert '"invitations_sent": [{' in referrer
    assert ANA not in referrer
    assert "Ana Luna" in recruit
    assert "Ana Luna" not in referrer
    assert str(USER) not in referrer


def test_whoever_is_not_known_is_told_that_nothing_is_held(runtime: Runtime) -> None:
    told = export(runtime, address="nobody@example.com")
    assert not any(told["held"].values())


def test_every_table_with_something_of_a_person_is_told() -> None:
    told = {part.model.__tablename__ for part in (*OF_USERS, *OF_REFERRALS)}
    of_people = {"user_id", "referrer_user_id", "referral_id", "address_index"}
    tables = {name for name, table in Base.metadata.tables.items() if of_people & set(table.columns.keys())}
    assert tables <= told, "Add it to portal/referrals/privacy.py."


def test_an_erased_person_is_nowhere_to_be_read_and_their_link_is_dead(runtime: Runtime) -> None:
    before, other = invitations(runtime)
    token = token_of(runtime, before)
    with runtime.writer() as session:
        session.execute(update(Invitation).values(mail_reason="Mailbox of somebody is full."))
    assert erase(runtime, address=ANA) == 1
    erased, kept = invitations(runtime)
    assert (erased.address, erased.token, erased.token_hash, erased.mail_reason) == (None, None, None, None)
    assert erased.status == ReferralStatus.CANCELLED
    assert (kept.address, kept.token_hash) == (other.address, other.token_hash)
    with runtime.writer() as session:
        user = session.get_one(KnownUser, USER)
        fact = session.scalars(select(UserFact)).one()
        assert (user.network_index, user.device_index, fact.data) == (None, None, {})
    everything = readable(runtime.database, runtime.cipher)
    assert token not in everything
    assert ANA not in everything
    assert "eva@example.com" in everything


def test_the_hash_stays_against_repeated_abuse(runtime: Runtime) -> None:
    invite_all(runtime, "ivo@example.com")
    erase(runtime, address="ivo@example.com")
    erase(runtime, address=ANA)
    assert codes(invite_all(runtime, "ivo@example.com", ANA)) == ["already-invited", "already-signed-up"]


def test_of_an_erased_referrer_the_addresses_of_those_invited_go_too(runtime: Runtime) -> None:
    assert erase(runtime, user_id=REFERRER) == 2
    assert [row.address for row in invitations(runtime)] == [None, None]


def test_an_invitation_that_was_answered_stays_answered(runtime: Runtime) -> None:
    with runtime.writer() as session:
        session.execute(update(Invitation).values(status=ReferralStatus.STARTED))
    erase(runtime, address=ANA)
    assert invitations(runtime)[0].status == ReferralStatus.STARTED


def test_to_erase_again_changes_nothing_and_each_erasure_is_audited(runtime: Runtime) -> None:
    assert [erase(runtime, address=ANA) for _ in range(3)] == [1, 0, 0]
    assert audited(runtime) == [("invitation.erased", 1), *[("person.erased", USER)] * 3]


def test_the_erasure_of_a_user_of_whom_nothing_is_held_is_audited_too(runtime: Runtime) -> None:
    assert erase(runtime, user_id=5) == 0
    assert audited(runtime) == [("person.erased", 5)]


def command(runtime: Runtime, *arguments: str) -> subprocess.CompletedProcess[str]:
    settings = runtime.settings.model_dump(exclude_none=True)
    environment = {name.upper(): str(value) for name, value in settings.items()}
    return subprocess.run(
        [sys.executable, "-m", "portal", *arguments],
        env=environment | {"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=False,
    )


def keep_message(runtime: Runtime, queue: str) -> None:
    """Let a sign-up of Ana wait."""
    body = json.dumps({"Type": "Notification", "Message": json.dumps({"email": ANA})})
    message = Undelivered("m", queue, None, "user", body, 10, "message-invalid", "No time.")
    runtime.transact(
        lambda session: keep_waiting(session, message, cipher=runtime.cipher, actor=OPERATOR, now=NOW)
    )


def test_both_are_done_from_the_shell(runtime: Runtime) -> None:
    told = command(runtime, "export-person", "--address", ANA)
    assert json.loads(told.stdout)["held"]["invitations_received"][0]["address"] == ANA
    keep_message(runtime, runtime.settings.user_sign_ups_queue)
    assert ANA in readable(runtime.database, runtime.cipher)
    erased = command(runtime, "erase-person", "--user-id", str(USER))
    assert "1 invitations were erased, and 1 waiting messages" in erased.stdout
    assert ANA not in readable(runtime.database, runtime.cipher)
    assert command(runtime, "erase-person").returncode == 2
    assert json.loads(command(runtime, "export-person", "--user-id", "5").stdout)["held"]["users"] == []
