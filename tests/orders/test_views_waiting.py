"""Waiting messages as a person meets them."""

from __future__ import annotations

import json

import pytest
from sqlalchemy import select

from portal.events import AuditEntry, Event
from portal.orders.waiting import SUBJECT, waiting_passed
from portal.runtime import Runtime
from tests.orders.scenes import RUNNER, Scene
from tests.web.portal import Visitor

HTMX = {"HX-Request": "true"}
HOSTILE = '<img src=x onerror="go()">'


def test_a_message_is_listed_with_its_reason_and_not_with_its_body(shown: Scene, executive: Visitor) -> None:
    shown.keep_waiting(HOSTILE, reason=HOSTILE)
    page = executive.get("/waiting").text
    assert "<img src=x" not in page
    assert page.count("&lt;img src=x") >= 2
    assert "received 10 times" in page
    assert "bad.xml" not in page
    assert "/waiting/1/push" not in page


def test_a_body_is_shown_on_demand_as_a_page_and_as_a_fragment(shown: Scene, support: Visitor) -> None:
    shown.keep_waiting("in/a.xml")
    page, fragment = support.get("/waiting/1/body"), support.get("/waiting/1/body", headers=HTMX)
    assert "bad.xml" in page.text
    assert "<html" in page.text
    assert "bad.xml" in fragment.text
    assert "<html" not in fragment.text
    assert "HX-Request" in fragment.headers["Vary"]
    assert support.get("/waiting/9/body").status_code == 404


@pytest.mark.parametrize("queue", ["mail-events", "user-sign-ups", "user-verifications"])
def test_what_tells_of_a_person_is_read_by_support_only_and_without_the_link(
    shown: Scene, support: Visitor, executive: Visitor, queue: str
) -> None:
    told = json.dumps({"email": "ana@example.com", "token": "t0k3n", "ip": "192.0.2.7"})
    shown.keep_waiting("user 7", queue=queue, body=json.dumps({"Message": told}))
    refused = executive.get("/waiting/1/body")
    assert refused.status_code == 403
    assert "Only support staff may read it" in refused.text
    listed = executive.get("/waiting").text
    assert "is read by support staff" in listed
    assert "/waiting/1/body" not in listed
    assert "/waiting/1/body" in support.get("/waiting").text
    body = support.get("/waiting/1/body").text
    assert "ana@example.com" in body
    assert "t0k3n" not in body
    assert "192.0.2.7" not in body


def test_a_push_is_followed_to_its_verdict_and_stands_on_the_audit_trail(
    shown: Scene, runtime: Runtime, support: Visitor
) -> None:
    shown.keep_waiting("in/a.xml")
    pushed = support.send("/waiting/1/push", headers=HTMX)
    assert 'data-status="requested"' in pushed.text
    poll = pushed.text.split('hx-get="')[1].split('"')[0]
    assert support.get(poll, headers=HTMX).status_code == 204
    shown.keep_waiting("in/a.xml", reason="Still no order.", waiting_id=1)
    again = support.get(poll, headers=HTMX).text
    assert 'data-status="failed-again"' in again
    assert "Still no order." in again
    assert "Push to retry" in again
    with runtime.writer() as session:
        people = select(Event).join(AuditEntry, AuditEntry.event_id == Event.id)
        (push,) = session.scalars(people.where(Event.subject == SUBJECT)).all()
    assert (push.kind, push.actor) == ("message.push-requested", "support")


def test_a_second_push_is_told_who_was_first(shown: Scene, support: Visitor, admin: Visitor) -> None:
    shown.keep_waiting("in/a.xml")
    support.send("/waiting/1/push", headers=HTMX)
    second = admin.send("/waiting/1/push", headers=HTMX)
    assert second.status_code == 409
    assert "support already pushed this" in second.text
    admin.send("/waiting/1/push")
    assert "support already pushed this" in admin.get("/waiting").text


def test_an_executive_may_not_push_a_message(shown: Scene, executive: Visitor) -> None:
    shown.keep_waiting("in/a.xml")
    assert executive.send("/waiting/1/push", headers=HTMX).status_code == 403


def test_what_passed_is_kept_apart(shown: Scene, support: Visitor) -> None:
    shown.keep_waiting("in/a.xml")
    with shown.database.writer() as session:
        waiting_passed(session, 1, actor=RUNNER, now=shown.now, forget_body=True)
    assert "No message waits" in support.get("/waiting").text
    assert "in/a.xml" in support.get("/waiting?show=passed").text
    assert support.get("/waiting?show=all").status_code == 422
    assert "Its text was deleted" in support.get("/waiting/1/body").text
    assert support.send("/waiting/9/push", headers=HTMX).status_code == 404
