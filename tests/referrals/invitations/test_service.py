"""Who may be invited, and what two requests at once come to."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy import delete, select, update

from portal.referrals.addresses import address_index
from portal.referrals.invitations.models import Invitation, InvitationDay
from portal.referrals.invitations.service import MAIL_WORK
from portal.referrals.progress.models import KnownUser
from portal.referrals.states import MailStatus, ReferralStatus
from portal.runtime import Runtime
from portal.work import Work
from tests.referrals.inviting import (
    NOW,
    REFERRER,
    add_active_scheme,
    codes,
    invitations,
    invite_all,
    token_of,
)


@pytest.fixture(autouse=True)
def _scheme(runtime: Runtime) -> None:
    with runtime.writer() as session:
        assert add_active_scheme(session) == 1


def know(runtime: Runtime, user_id: int, address: str) -> None:
    """Let a user have signed up with an address."""
    with runtime.writer() as session:
        index = address_index(runtime.cipher, address)
        session.add(KnownUser(user_id=user_id, address_index=index, signed_up_at=NOW))


def test_each_address_is_invited_with_a_link_of_its_own(runtime: Runtime) -> None:
    answers = invite_all(runtime, "ana@example.com", " Eva.Luna@example.com ")
    assert codes(answers) == [None, None]
    rows = invitations(runtime)
    assert [row.uuid for row in rows] == [answer.invitation for answer in answers]
    assert {row.status for row in rows} == {ReferralStatus.INVITED}
    assert {row.mail_status for row in rows} == {MailStatus.QUEUED}
    tokens = [token_of(runtime, row) for row in rows]
    assert len(set(tokens)) == 2
    assert all(len(token) == 22 for token in tokens)
    with runtime.writer() as session:
        works = session.scalars(select(Work.reference).where(Work.kind == MAIL_WORK).order_by(Work.reference))
        assert list(works) == [row.id for row in rows]


def test_addresses_and_tokens_are_nowhere_in_the_clear(runtime: Runtime) -> None:
    invite_all(runtime, "ana@example.com")
    (row,) = invitations(runtime)
    token = token_of(runtime, row)
    with runtime.writer() as session:
        for table in Invitation.metadata.sorted_tables:
            for values in session.execute(select(table)):
                kept = repr(values)
                assert "ana@example" not in kept, table.name
                assert token not in kept, table.name


@pytest.mark.parametrize(
    "address", ["", "ana", "ana@", "@example.com", "josé@example.com", "a@b.c\nd", "a b@c.de"]
)
def test_an_address_that_cannot_be_sent_to_is_refused_and_the_others_are_invited(
    runtime: Runtime, address: str
) -> None:
    answers = invite_all(runtime, address, "ana@example.com")
    assert codes(answers) == ["address-invalid", None]
    assert len(invitations(runtime)) == 1


def test_nobody_invites_themselves(runtime: Runtime) -> None:
    know(runtime, REFERRER, "ana@example.com")
    answers = invite_all(
        runtime, "ANA@example.com", "ana+1@example.com", "Own@example.com", own_address="own@example.com"
    )
    assert codes(answers) == ["own-address", None, "own-address"]


def test_who_has_signed_up_is_not_invited(runtime: Runtime) -> None:
    know(runtime, 77, "ana@example.com")
    assert codes(invite_all(runtime, "Ana@Example.com")) == ["already-signed-up"]


def test_an_address_is_invited_once_by_each_person(runtime: Runtime) -> None:
    answers = invite_all(runtime, "ana@example.com", "ANA@example.com")
    assert codes(answers) == [None, "already-invited"]
    assert codes(invite_all(runtime, "ana@example.com")) == ["already-invited"]
    assert codes(invite_all(runtime, "ana@example.com", referrer=REFERRER + 1)) == [None]


def test_whoever_complained_is_invited_by_nobody(runtime: Runtime) -> None:
    invite_all(runtime, "ana@example.com", "eva@example.com")
    complained = update(Invitation).where(Invitation.id == 1).values(mail_status=MailStatus.COMPLAINED)
    with runtime.writer() as session:
        session.execute(complained)
    for referrer in (REFERRER, REFERRER + 1):
        answers = invite_all(runtime, "ANA@example.com", referrer=referrer)
        assert codes(answers) == ["recipient-complained"]
    assert codes(invite_all(runtime, "eva@example.com", referrer=REFERRER + 1)) == [None]


def test_a_day_has_its_limit_which_refusals_do_not_use_up(runtime: Runtime) -> None:
    answers = invite_all(
        runtime, "bad", "a@example.com", "a@example.com", "b@example.com", "c@example.com", daily_limit=2
    )
    assert codes(answers) == ["address-invalid", None, "already-invited", None, "daily-limit"]
    assert codes(invite_all(runtime, "c@example.com", daily_limit=2)) == ["daily-limit"]
    assert codes(invite_all(runtime, "c@example.com", daily_limit=2, now=NOW + timedelta(days=1))) == [None]


def test_without_a_scheme_every_address_is_refused(runtime: Runtime) -> None:
    answers = invite_all(runtime, "ana@example.com", "bad", scheme_id=None)
    assert codes(answers) == ["no-active-scheme"] * 2
    assert invitations(runtime) == []


def at_once(runtime: Runtime, *days: int) -> list[str | None]:
    """Invite one address in as many threads as there are days, each on its day; return the codes."""
    start = threading.Barrier(len(days))

    def one(day: int) -> list[str | None]:
        start.wait(10)
        return codes(invite_all(runtime, "ana@example.com", now=NOW + timedelta(days=day)))

    with ThreadPoolExecutor(len(days)) as pool:
        return [code for found in pool.map(one, days) for code in found]


def test_of_requests_at_once_one_invites(runtime: Runtime) -> None:
    found = at_once(runtime, 0, 0, 0, 0)
    assert (found.count(None), found.count("already-invited")) == (1, 3)
    assert len(invitations(runtime)) == 1


def test_of_requests_on_both_sides_of_midnight_one_invites(runtime: Runtime) -> None:
    for _ in range(5):
        found = at_once(runtime, 0, 1, 0, 1)
        assert found.count(None) == 1
        assert found.count("already-invited") == 3
        assert len(invitations(runtime)) == 1
        with runtime.writer() as session:
            session.execute(delete(Work))
            session.execute(delete(Invitation))


def test_requests_at_once_stay_within_the_limit_of_the_day(runtime: Runtime) -> None:
    start = threading.Barrier(4)

    def one(number: int) -> list[str | None]:
        start.wait(10)
        return codes(invite_all(runtime, f"{number}-a@example.com", f"{number}-b@example.com", daily_limit=5))

    with ThreadPoolExecutor(4) as pool:
        found = [code for some in pool.map(one, range(4)) for code in some]
    assert (found.count(None), found.count("daily-limit")) == (5, 3)
    with runtime.writer() as session:
        assert session.scalars(select(InvitationDay.sent)).all() == [5]
