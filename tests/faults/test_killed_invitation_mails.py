"""A job that is killed while it mails invitations loses none and mails nobody twice."""

from __future__ import annotations

import signal
from collections import Counter

import pytest

from portal.referrals.states import MailStatus
from portal.runtime import Runtime
from sandbox.backbone import Backbone
from tests.referrals.inviting import add_active_scheme, invitations, invite_all
from tests.servers.waiting import wait_until

ADDRESSES = [f"friend-{number}@example.com" for number in range(12)]


@pytest.mark.parametrize("point", ["before-send:1", "after-send:1", "after-send:2"])
def test_a_job_killed_while_it_mails_sends_each_invitation_once(
    backbone: Backbone, runtime: Runtime, point: str
) -> None:
    with runtime.writer() as session:
        add_active_scheme(session)
    invite_all(runtime, *ADDRESSES)
    started = [backbone.start_jobs("mail-events")]
    victim = backbone.start_jobs("invitation-mails", KILL_AT=f"invitation-mails.{point}")
    assert victim.wait(30) == -signal.SIGKILL, victim.log_tail()
    started.append(backbone.start_jobs("invitation-mails"))

    def delivered() -> bool:
        return {row.mail_status for row in invitations(runtime)} == {MailStatus.DELIVERED}

    try:
        wait_until(delivered, 60, "every invitation is delivered")
        sent = Counter(mail["key"] for mail in backbone.client.effects("mail"))
        assert sent == {row.mail_key: 1 for row in invitations(runtime)}
    finally:
        for child in started:
            child.stop()
