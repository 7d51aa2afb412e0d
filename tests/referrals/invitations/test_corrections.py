"""Sending again keeps what was: the same invitation to the same address, a successor to another."""

from __future__ import annotations

import pytest
from sqlalchemy import delete, select, update

from portal.errors import Conflict, InvalidInput, NotFound, WaybillError
from portal.events import Actor, timeline
from portal.referrals.invitations.corrections import send_again
from portal.referrals.invitations.links import record_click
from portal.referrals.invitations.models import Invitation
from portal.referrals.states import MailStatus, ReferralStatus
from portal.runtime import Runtime
from portal.work import Work
from tests.referrals.inviting import (
    NOW,
    REFERRER,
    add_active_scheme,
    invitations,
    invite_all,
    post_of,
    token_of,
)

SUPPORT = Actor("person", "support")


@pytest.fixture(autouse=True)
def _sent(runtime: Runtime) -> None:
    """Have an invitation, whose mail bounced."""
    with runtime.writer() as session:
        add_active_scheme(session)
    invite_all(runtime, "anna@example.com")
    with runtime.writer() as session:
        session.execute(delete(Work))
        session.execute(update(Invitation).values(mail_status=MailStatus.BOUNCED, mail_reason="Permanent"))


def again(runtime: Runtime, address: str | None = None, invitation_id: int = 1) -> int:
    return runtime.transact(
        lambda session: send_again(session, invitation_id, address, post_of(runtime), actor=SUPPORT, now=NOW)
    )


def kinds(runtime: Runtime, invitation_id: int) -> list[str]:
    with runtime.writer() as session:
        return [event.kind for event in timeline(session, "invitation", invitation_id)]


def clicks(runtime: Runtime, token: str) -> bool:
    return runtime.transact(lambda session: record_click(session, token, NOW))


@pytest.mark.parametrize("address", [None, "Anna@Example.com"])
def test_to_the_same_address_it_stays_the_same_invitation_with_another_link(
    runtime: Runtime, address: str | None
) -> None:
    (before,) = invitations(runtime)
    assert again(runtime, address) == 1
    (after,) = invitations(runtime)
    assert (after.mail_status, after.mail_reason, after.sends) == (MailStatus.QUEUED, None, 2)
    assert after.mail_key != before.mail_key
    assert after.address is not None
    assert runtime.cipher.decrypt(after.address).decode() == (address or "anna@example.com")
    assert not clicks(runtime, token_of(runtime, before))
    assert clicks(runtime, token_of(runtime, after))
    assert kinds(runtime, 1)[:2] == ["invitation.created", "invitation.sent-again"]


def test_another_address_gets_a_successor_and_the_old_link_leads_nowhere(runtime: Runtime) -> None:
    old_token = token_of(runtime, invitations(runtime)[0])
    assert again(runtime, "ana@example.com") == 2
    old, new = invitations(runtime)
    assert (old.status, old.mail_status, old.token_hash) == (
        ReferralStatus.CANCELLED,
        MailStatus.BOUNCED,
        None,
    )
    assert (new.status, new.scheme_id, new.referrer_user_id) == (
        "invited",
        old.scheme_id,
        old.referrer_user_id,
    )
    assert not clicks(runtime, old_token)
    assert (kinds(runtime, 1)[-1], kinds(runtime, 2)) == ("invitation.corrected", ["invitation.created"])


def test_a_correction_can_be_taken_back_and_the_first_invitation_is_open_again(runtime: Runtime) -> None:
    assert again(runtime, "ana@example.com") == 2
    wrong = token_of(runtime, invitations(runtime)[1])
    with runtime.writer() as session:
        session.execute(delete(Work))
    assert again(runtime, "Anna@example.com", invitation_id=2) == 1
    first, second = invitations(runtime)
    assert (first.status, first.mail_status, first.sends) == ("invited", MailStatus.QUEUED, 2)
    assert (second.status, second.token_hash) == (ReferralStatus.CANCELLED, None)
    assert not clicks(runtime, wrong)
    assert clicks(runtime, token_of(runtime, first))
    with runtime.writer() as session:
        assert session.scalars(select(Work.reference)).all() == [1]
    assert kinds(runtime, 1) == [
        "invitation.created",
        "invitation.corrected",
        "invitation.reopened",
        "invitation.clicked",
    ]


def test_a_correction_is_not_taken_back_to_somebody_who_was_erased(runtime: Runtime) -> None:
    again(runtime, "ana@example.com")
    with runtime.writer() as session:
        session.execute(delete(Work))
        session.execute(update(Invitation).where(Invitation.id == 1).values(address=None))
    assert refused(runtime, "anna@example.com", invitation_id=2).code == "already-invited"


def refused(runtime: Runtime, address: str | None = None, invitation_id: int = 1) -> WaybillError:
    before = [row.mail_key for row in invitations(runtime)]
    with pytest.raises(WaybillError) as error:
        again(runtime, address, invitation_id)
    assert [row.mail_key for row in invitations(runtime)] == before
    return error.value


def test_what_cannot_be_sent_again_is_refused_with_its_reason(runtime: Runtime) -> None:
    assert isinstance(refused(runtime, invitation_id=9), NotFound)
    assert isinstance(refused(runtime, "no address"), InvalidInput)
    invite_all(runtime, "eva@example.com")
    assert refused(runtime, "EVA@example.com").code == "already-invited"
    assert refused(runtime, invitation_id=2).code == "mail-on-its-way"


@pytest.mark.parametrize(
    ("values", "code"),
    [
        ({"mail_status": MailStatus.COMPLAINED}, "recipient-complained"),
        ({"status": ReferralStatus.STARTED}, "invitation-closed"),
        ({"status": ReferralStatus.CANCELLED}, "invitation-closed"),
        ({"address": None}, "erased"),
    ],
)
def test_nothing_is_sent_to_who_complained_signed_up_or_was_erased(
    runtime: Runtime, values: dict[str, str | None], code: str
) -> None:
    with runtime.writer() as session:
        session.execute(update(Invitation).values(values))
    error = refused(runtime)
    assert isinstance(error, Conflict)
    assert error.code == code


def test_nothing_is_sent_to_an_address_that_complained_about_somebody_elses_invitation(
    runtime: Runtime,
) -> None:
    invite_all(runtime, "anna@example.com", "eva@example.com", referrer=REFERRER + 1)
    complained = update(Invitation).where(Invitation.id > 1).values(mail_status=MailStatus.COMPLAINED)
    with runtime.writer() as session:
        session.execute(complained)
    assert refused(runtime).code == "recipient-complained"
    assert refused(runtime, "eva@example.com").code == "recipient-complained"
