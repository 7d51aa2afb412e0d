"""Invitations are mailed once each, whatever fails in between, and tell what became of their mails."""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from jobs.invitation_mails import Sender
from jobs.job import Job
from jobs.mail_events import handle
from portal.errors import Upstream
from portal.events import Actor, Event
from portal.referrals.invitations.corrections import send_again
from portal.referrals.invitations.mails import Posted
from portal.referrals.invitations.models import Invitation
from portal.referrals.invitations.service import COMPLAINED
from portal.referrals.privacy import erase_person, find_person
from portal.referrals.states import MailStatus
from portal.runtime import Runtime, build_runtime
from portal.work import Work
from tests.clients.raw_server import RawServer, answer
from tests.clients.settings import settings_for
from tests.referrals.inviting import (
    NOW,
    REFERRER,
    add_active_scheme,
    invitations,
    invite_all,
    kinds,
    notice,
    post_of,
    readable,
    token_of,
)
from tests.sandbox.running import RunningSandbox
from tests.servers.urls import Urls
from tests.servers.waiting import wait_until
from tests.web.portal import open_portal

SECONDS = 30
STAFF = Actor("person", "support")
LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)
REFUSED = b"""<ErrorResponse xmlns="http://ses.amazonaws.com/doc/2010-12-01/"><Error><Type>Sender</Type>
<Code>MessageRejected</Code><Message>The address ana@example.com is suppressed.</Message></Error>
<RequestId>1</RequestId></ErrorResponse>"""


@pytest.fixture
def writer_url(migrated_urls: Urls) -> str:
    return migrated_urls.writer


@pytest.fixture
def more_settings(sandbox: RunningSandbox) -> dict[str, str]:
    return {
        "SES_ENDPOINT_URL": f"{sandbox.url}/ses",
        "SIGN_UP_URL": "https://shop.example/join?from=mail",
        "PUBLIC_URL": "https://portal.example/",
        "COOKIE_SECURE": "false",
    }


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as started:
        yield started


@pytest.fixture(autouse=True)
def _scheme(runtime: Runtime) -> None:
    with runtime.writer() as session:
        assert add_active_scheme(session) == 1


def sender_of(runtime: Runtime) -> Sender:
    return Sender(Job("invitation-mails", runtime))


def mails(sandbox: RunningSandbox, invitation: Invitation) -> list[dict[str, Any]]:
    """Return what the mailbox has under the key of an invitation's mail."""
    key = invitation.mail_key
    return [effect for effect in sandbox.client.effects("mail") if effect["key"] == key]


def let_it_be_due(runtime: Runtime) -> None:
    with runtime.writer() as session:
        session.execute(update(Work).values(due_at=LONG_AGO))


def work_left(runtime: Runtime) -> list[Work]:
    with runtime.writer() as session:
        return list(session.scalars(select(Work)))


def take_notices(runtime: Runtime, until: str) -> None:
    """Handle the notices that come until the one invitation's mail has a status."""
    job, queue = Job("mail-events", runtime), runtime.settings.mail_events_queue

    def taken() -> bool:
        messages = runtime.queues.receive(queue, wait_seconds=1)
        handle(job, messages)
        if messages:
            runtime.queues.acknowledge(queue, messages)
        return invitations(runtime)[0].mail_status == until

    wait_until(taken, SECONDS, f"the mail is {until}")


def test_an_invitation_reaches_its_mailbox_and_its_link_leads_to_the_sign_up_page(
    runtime: Runtime, pool: ThreadPoolExecutor, sandbox: RunningSandbox
) -> None:
    invite_all(runtime, "ana@example.com")
    assert sender_of(runtime).send_due(pool) == 1
    (invitation,) = invitations(runtime)
    (mail,) = mails(sandbox, invitation)
    assert mail["request"]["to"] == ["ana@example.com"]
    (link,) = set(re.findall(r"https://portal\.example/r/\S+", mail["request"]["text"]))
    assert link in mail["request"]["html"]
    assert "ana" not in link
    assert (invitation.mail_status, work_left(runtime)) == (MailStatus.SENT, [])

    visitor = open_portal(runtime.settings).test_client()
    leads_to = visitor.get(urlsplit(link).path)
    assert leads_to.status_code == 303
    target = urlsplit(leads_to.headers["Location"])
    assert f"{target.scheme}://{target.netloc}{target.path}" == "https://shop.example/join"
    assert parse_qs(target.query) == {"from": ["mail"], "token": [token_of(runtime, invitation)]}
    assert invitations(runtime)[0].clicks == 1
    take_notices(runtime, MailStatus.DELIVERED)
    assert kinds(runtime) == [
        "invitation.created",
        "invitation.mail-sent",
        "invitation.clicked",
        "invitation.mail-delivered",
    ]


@pytest.mark.parametrize(
    ("address", "status", "reason"),
    [
        ("bounce@simulator.amazonses.com", MailStatus.BOUNCED, "Permanent bounce, General"),
        ("complaint@simulator.amazonses.com", MailStatus.COMPLAINED, "The recipient complained: abuse."),
    ],
)
def test_a_bounce_and_a_complaint_show_on_the_invitation_without_the_address(
    runtime: Runtime, pool: ThreadPoolExecutor, address: str, status: str, reason: str
) -> None:
    invite_all(runtime, address)
    sender_of(runtime).send_due(pool)
    take_notices(runtime, status)
    said = invitations(runtime)[0].mail_reason or ""
    assert said.startswith(reason)
    assert "@" not in said


@pytest.mark.parametrize("fault", ["lost-answer", "500", "garbage"])
def test_a_mail_of_which_nobody_knows_is_sent_again_by_nobody_but_a_person(
    runtime: Runtime, pool: ThreadPoolExecutor, sandbox: RunningSandbox, fault: str
) -> None:
    invite_all(runtime, "ana@example.com")
    sandbox.client.put_fault("mail", fault, times=1)
    sender = sender_of(runtime)
    sender.send_due(pool)
    (unknown,) = invitations(runtime)
    assert (unknown.mail_status, work_left(runtime)) == (MailStatus.UNKNOWN, [])
    assert (unknown.mail_reason or "").startswith("The mail provider")
    assert kinds(runtime)[-1] == "invitation.mail-unknown"
    runtime.transact(lambda session: send_again(session, 1, None, post_of(runtime), actor=STAFF, now=NOW))
    assert sender.send_due(pool) == 1
    (invitation,) = invitations(runtime)
    assert (invitation.mail_status, invitation.mail_reason) == (MailStatus.SENT, None)
    assert len(mails(sandbox, invitation)) == 1


def test_of_a_mail_whose_answer_was_lost_its_notice_tells(
    runtime: Runtime, pool: ThreadPoolExecutor, sandbox: RunningSandbox
) -> None:
    invite_all(runtime, "ana@example.com")
    sandbox.client.put_fault("mail", "lost-answer", times=1)
    sender_of(runtime).send_due(pool)
    take_notices(runtime, MailStatus.DELIVERED)
    (invitation,) = invitations(runtime)
    assert (invitation.mail_reason, len(mails(sandbox, invitation))) == (None, 1)


def test_a_mail_that_did_not_go_out_is_sent_later(
    runtime: Runtime, pool: ThreadPoolExecutor, sandbox: RunningSandbox, aws_account: str
) -> None:
    invite_all(runtime, "ana@example.com")
    away = replace(runtime, mail=build_runtime(settings_for("http://127.0.0.1:9", aws_account)).mail)
    sender_of(away).send_due(pool)
    (waits,) = invitations(runtime)
    assert (waits.mail_status, waits.mail_reason) == (MailStatus.QUEUED, "The mail provider did not answer.")
    sender = sender_of(runtime)
    assert sender.send_due(pool) == 0
    let_it_be_due(runtime)
    sender.send_due(pool)
    (invitation,) = invitations(runtime)
    assert (invitation.mail_status, invitation.mail_reason) == (MailStatus.SENT, None)
    assert len(mails(sandbox, invitation)) == 1


def test_a_mail_that_never_goes_out_ends_with_its_reason(
    runtime: Runtime, pool: ThreadPoolExecutor, aws_account: str
) -> None:
    own = replace(runtime, mail=build_runtime(settings_for("http://127.0.0.1:9", aws_account)).mail)
    invite_all(own, "ana@example.com")
    sender = sender_of(own)
    for _ in range(6):
        assert sender.send_due(pool) == 1
        let_it_be_due(own)
    (invitation,) = invitations(own)
    assert (invitation.mail_status, invitation.mail_reason) == (
        MailStatus.FAILED,
        "The mail provider did not answer.",
    )
    assert work_left(own) == []


def test_a_mail_that_the_provider_refuses_is_not_tried_again_and_its_reason_names_nobody(
    runtime: Runtime, pool: ThreadPoolExecutor, aws_account: str
) -> None:
    with RawServer(answer("400 Bad Request", REFUSED)) as server:
        own = replace(runtime, mail=build_runtime(settings_for(server.url, aws_account)).mail)
        invite_all(own, "ana@example.com")
        sender_of(own).send_due(pool)
    (invitation,) = invitations(own)
    assert (invitation.mail_status, work_left(own)) == (MailStatus.FAILED, [])
    assert invitation.mail_reason == "The mail provider refused it: The address the address is suppressed."


def test_while_the_provider_is_down_one_mail_is_tried_now_and_then(
    runtime: Runtime, pool: ThreadPoolExecutor, aws_account: str
) -> None:
    nobody = settings_for("http://127.0.0.1:9", aws_account)
    now = [1_000.0]
    settings = runtime.settings.model_copy(update={"breaker_failures": 2})
    own = replace(runtime, mail=build_runtime(nobody).mail, settings=settings, monotonic=lambda: now[0])
    invite_all(own, *(f"{number}@example.com" for number in range(4)))
    sender = sender_of(own)
    assert sender.send_due(pool) == 4
    let_it_be_due(own)
    assert sender.send_due(pool) == 0
    now[0] += settings.breaker_seconds
    assert sender.send_due(pool) == 1
    assert sender.send_due(pool) == 0


def test_a_worker_that_lost_its_lease_keeps_nothing_of_what_it_did(runtime: Runtime) -> None:
    invite_all(runtime, "ana@example.com")
    stale, fresh = sender_of(runtime), sender_of(runtime)
    (letter,) = runtime.transact(lambda session: stale._claim(session, 8))
    let_it_be_due(runtime)
    (held,) = runtime.transact(lambda session: fresh._claim(session, 8))
    for came_of_it in ("m-1", Upstream("Away.", code="mail-no-answer", retryable=True)):
        stale._keep([Posted(letter, came_of_it)])
    assert [work.lease_token for work in work_left(runtime)] == [held.claimed.token]
    assert kinds(runtime) == ["invitation.created"]
    assert invitations(runtime)[0].mail_status == MailStatus.QUEUED


def test_a_mail_whose_worker_always_stops_is_given_up(runtime: Runtime, pool: ThreadPoolExecutor) -> None:
    invite_all(runtime, "ana@example.com")
    with runtime.writer() as session:
        session.execute(update(Work).values(attempt=50, lease_token="gone", due_at=LONG_AGO))
    sender_of(runtime).send_due(pool)
    (invitation,) = invitations(runtime)
    assert (invitation.mail_status, work_left(runtime)) == (MailStatus.UNKNOWN, [])
    assert "worker stopping" in (invitation.mail_reason or "")


def test_a_complaint_about_an_earlier_mail_stops_the_one_that_was_sent_again(
    runtime: Runtime, pool: ThreadPoolExecutor, sandbox: RunningSandbox
) -> None:
    invite_all(runtime, "ana@example.com")
    (first,) = invitations(runtime)
    sender = sender_of(runtime)
    sender.send_due(pool)
    runtime.transact(lambda session: send_again(session, 1, None, post_of(runtime), actor=STAFF, now=NOW))
    job = Job("mail-events", runtime)
    handle(job, [notice(first, "Bounce", bounceType="Permanent")])
    assert invitations(runtime)[0].mail_status == MailStatus.QUEUED
    handle(job, [notice(first, "Complaint")])
    (second,) = invitations(runtime)
    assert second.mail_status == MailStatus.COMPLAINED
    assert (sender.send_due(pool), mails(sandbox, second), work_left(runtime)) == (0, [], [])


def test_a_complaint_stops_the_mails_that_others_have_queued_to_the_same_address(
    runtime: Runtime, pool: ThreadPoolExecutor, sandbox: RunningSandbox
) -> None:
    invite_all(runtime, "ana@example.com")
    sender = sender_of(runtime)
    sender.send_due(pool)
    invite_all(runtime, "Ana@example.com", "eva@example.com", referrer=REFERRER + 1)
    handle(Job("mail-events", runtime), [notice(invitations(runtime)[0], "Complaint")])
    assert sender.send_due(pool) == 1
    _, stopped, other = invitations(runtime)
    assert (stopped.mail_status, stopped.mail_reason) == (MailStatus.FAILED, COMPLAINED.reason)
    assert (other.mail_status, mails(sandbox, stopped), work_left(runtime)) == (MailStatus.SENT, [], [])
    with runtime.writer() as session:
        told = select(Event.subject_id, Event.data).where(Event.kind == "invitation.mail-failed")
        assert [(subject, data["code"]) for subject, data in session.execute(told)] == [(2, COMPLAINED.code)]


DIAGNOSIS = {"bounceType": "Permanent", "bouncedRecipients": [{"diagnosticCode": "Ana Luna has moved"}]}


def test_what_the_provider_says_of_a_bounce_is_not_in_the_log_of_events(runtime: Runtime) -> None:
    invite_all(runtime, "ana@example.com")
    (invitation,) = invitations(runtime)
    handle(Job("mail-events", runtime), [notice(invitation, "Bounce", **DIAGNOSIS)])
    assert "Ana Luna" in (invitations(runtime)[0].mail_reason or "")
    with runtime.writer() as session:
        (told,) = session.scalars(select(Event.data).where(Event.kind == "invitation.mail-bounced"))
    assert told == {"reason": "Permanent bounce, Undetermined."}


def erase(runtime: Runtime, address: str) -> None:
    def work(session: Session) -> int:
        person = find_person(session, runtime.cipher, address=address)
        return erase_person(session, person, actor=STAFF, now=NOW)

    assert runtime.transact(work) == 1


REFUSAL = Upstream("Ana Luna cannot be mailed.", code="mail-refused", retryable=False)


@pytest.mark.parametrize(
    ("came_of_it", "status"), [("m-1", MailStatus.SENT), (REFUSAL, MailStatus.FAILED)], ids=["sent", "failed"]
)
def test_of_a_person_who_is_erased_while_their_mail_goes_out_nothing_is_kept_but_what_became_of_it(
    runtime: Runtime, came_of_it: str | Upstream, status: str
) -> None:
    invite_all(runtime, "ana@example.com")
    sender = sender_of(runtime)
    (letter,) = runtime.transact(lambda session: sender._claim(session, 8))
    (invitation,) = invitations(runtime)
    erase(runtime, "ana@example.com")
    sender._keep([Posted(letter, came_of_it)])
    assert (invitations(runtime)[0].mail_status, work_left(runtime)) == (status, [])
    handle(Job("mail-events", runtime), [notice(invitation, "Bounce", **DIAGNOSIS)])
    (row,) = invitations(runtime)
    assert (row.mail_status, row.mail_reason) == (MailStatus.BOUNCED, None)
    kept = readable(runtime.database, runtime.cipher)
    assert "Ana Luna" not in kept
    assert "ana@example.com" not in kept


def test_of_an_erased_person_the_mail_that_is_due_is_not_sent(
    runtime: Runtime, pool: ThreadPoolExecutor, sandbox: RunningSandbox
) -> None:
    invite_all(runtime, "ana@example.com")
    erase(runtime, "ana@example.com")
    assert sender_of(runtime).send_due(pool) == 0
    assert work_left(runtime) == []
    assert mails(sandbox, invitations(runtime)[0]) == []
