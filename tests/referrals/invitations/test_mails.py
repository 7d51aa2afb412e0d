"""What the mail provider tells shows on the invitation, in whatever order it comes."""

from __future__ import annotations

import pytest

from jobs.job import Job
from jobs.mail_events import handle
from portal.referrals.states import MailStatus
from portal.runtime import Runtime
from tests.referrals.inviting import add_active_scheme, invitations, invite_all, kinds, notice


@pytest.fixture(autouse=True)
def _invited(runtime: Runtime) -> None:
    """Have an invitation whose mail is to be sent."""
    with runtime.writer() as session:
        add_active_scheme(session)
    invite_all(runtime, "ana@example.com")


def test_notices_in_any_order_leave_the_last_word_to_the_complaint(runtime: Runtime) -> None:
    (invitation,) = invitations(runtime)
    job = Job("mail-events", runtime)
    for kind in ("Complaint", "Delivery", "Bounce", "Complaint"):
        handle(job, [notice(invitation, kind)])
    (invitation,) = invitations(runtime)
    assert invitation.mail_status == MailStatus.COMPLAINED
    assert job.counters["duplicate"] == 3


@pytest.mark.parametrize("first", ["Delivery", "Bounce"])
def test_an_absent_persons_answer_does_not_undo_a_delivery(runtime: Runtime, first: str) -> None:
    (invitation,) = invitations(runtime)
    job = Job("mail-events", runtime)
    both = [notice(invitation, "Delivery"), notice(invitation, "Bounce", bounceType="Transient")]
    for one in both if first == "Delivery" else reversed(both):
        handle(job, [one])
    assert invitations(runtime)[0].mail_status == MailStatus.DELIVERED
    handle(job, [notice(invitation, "Bounce", bounceType="Permanent")])
    assert invitations(runtime)[0].mail_status == MailStatus.BOUNCED


def test_a_bounce_that_need_not_last_is_told_from_one_that_does(runtime: Runtime) -> None:
    (invitation,) = invitations(runtime)
    handle(Job("mail-events", runtime), [notice(invitation, "Bounce", bounceType="Transient")])
    (invitation,) = invitations(runtime)
    assert (invitation.mail_status, kinds(runtime)[-1]) == ("soft-bounced", "invitation.mail-soft-bounced")
    assert (invitation.mail_reason or "").startswith("Transient bounce")
