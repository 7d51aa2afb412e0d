"""A push to retry: by whom, seen how, and by one person only."""

from __future__ import annotations

from dataclasses import replace
from threading import Barrier, Thread

import pytest
from flask import Flask
from sqlalchemy import select
from werkzeug.test import TestResponse

from portal.errors import Upstream
from portal.events import AuditEntry, Event, first_broken_link
from portal.metrics.service import beat
from portal.orders.connectors import Passed
from portal.orders.progress import Failed
from portal.runtime import Runtime
from tests.orders.scenes import Scene, plain_order
from tests.web.portal import Visitor, logged_in

STEP = "Task_IssueAfterIncident"
PUSH = f"/orders/A-1/steps/{STEP}/push"
VERDICT = f"/orders/A-1/steps/{STEP}/verdict"
HTMX = {"HX-Request": "true"}


@pytest.fixture
def stopped(shown: Scene) -> int:
    """Give the id of order A-1, which stopped after its incident."""
    (order_id,) = shown.receive(plain_order("A-1"))
    shown.to_exception(order_id)
    return order_id


def status_in(answer: TestResponse) -> str:
    return answer.text.split('data-status="')[1].split('"')[0]


def test_a_push_shows_requested_then_running_then_passed(
    shown: Scene, stopped: int, support: Visitor
) -> None:
    pushed = support.send(PUSH, headers=HTMX)
    assert (pushed.status_code, status_in(pushed)) == (200, "requested")
    assert "pushed by you" in pushed.text
    assert pushed.headers["HX-Trigger"] == "pushed"
    assert "<form" not in pushed.text
    turn = shown.claim(stopped)
    assert status_in(poll(support, pushed)) == "running"
    shown.finish(turn, Passed({"folio": "7"}))
    final = poll(support, pushed)
    assert status_in(final) == "passed"
    assert "hx-get" not in final.text


def test_a_push_that_fails_again_tells_the_new_reason_and_gives_the_button_back(
    shown: Scene, stopped: int, support: Visitor
) -> None:
    pushed = support.send(PUSH, headers=HTMX)
    shown.step(stopped, Failed(Upstream("The tax id is not valid.", code="tax-id", retryable=False)))
    final = poll(support, pushed)
    assert status_in(final) == "failed-again"
    assert "The tax id is not valid." in final.text
    assert "Push to retry" in final.text
    assert "hx-get" not in final.text


def test_a_push_that_was_given_up_without_a_call_counts_no_attempt(
    shown: Scene, stopped: int, support: Visitor
) -> None:
    pushed = support.send(PUSH, headers=HTMX)
    turn = shown.claim(stopped)
    given_up = Failed(Upstream("It does not answer.", code="tax-documents-unavailable", retryable=False))
    shown.finish(replace(turn, attempt=turn.attempt - 1), given_up)
    final = poll(support, pushed)
    assert status_in(final) == "failed-again"
    assert "Attempt" not in final.text


def test_nothing_is_sent_while_nothing_has_changed(stopped: int, support: Visitor) -> None:
    pushed = support.send(PUSH, headers=HTMX)
    again = support.get(next_poll(pushed), headers=HTMX)
    assert (again.status_code, again.data) == (204, b"")


def test_a_replica_that_does_not_know_of_the_push_yet_does_not_bring_the_button_back(
    stopped: int, support: Visitor
) -> None:
    pushed = support.send(PUSH, headers=HTMX)
    later = next_poll(pushed).replace("-20", "-29")
    assert support.get(later, headers=HTMX).status_code == 204


def test_without_htmx_a_push_leads_back_to_the_order_and_says_what_was_asked(
    stopped: int, support: Visitor
) -> None:
    answer = support.send(PUSH)
    assert (answer.status_code, answer.location) == (303, f"/orders/A-1#step-{STEP}")
    page = support.get("/orders/A-1").text
    assert "is requested" in page
    assert 'data-status="requested"' in page
    assert support.get(VERDICT).status_code == 303


def test_two_sessions_push_at_once_and_one_is_told_who_won(
    app: Flask, runtime: Runtime, stopped: int
) -> None:
    people = [logged_in(app, "support"), logged_in(app, "admin")]
    tokens = [person.token() for person in people]
    answers: list[TestResponse] = []
    barrier = Barrier(2)

    def push(person: Visitor, token: str) -> None:
        barrier.wait()
        answers.append(person.post(PUSH, data={"csrf_token": token}, headers=HTMX))

    threads = [Thread(target=push, args=pair) for pair in zip(people, tokens, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(answer.status_code for answer in answers) == [200, 409]
    with runtime.writer() as session:
        pushes = select(Event).join(AuditEntry, AuditEntry.event_id == Event.id)
        (event,) = session.scalars(pushes.where(Event.kind == "step.push-requested")).all()
        (too_late,) = session.scalars(pushes.where(Event.kind == "step.push-refused")).all()
        assert {event.actor, too_late.actor} == {"support", "admin"}
        assert first_broken_link(session) is None
    (loser,) = [answer for answer in answers if answer.status_code == 409]
    assert f"{event.actor} already pushed this" in loser.text
    assert status_in(loser) == "requested"


def test_a_second_push_without_htmx_is_told_who_was_first(
    app: Flask, stopped: int, support: Visitor, admin: Visitor
) -> None:
    support.send(PUSH)
    admin.send(PUSH)
    assert "support already pushed this" in admin.get("/orders/A-1").text


def test_an_executive_sees_the_exception_but_may_not_push(
    runtime: Runtime, stopped: int, executive: Visitor
) -> None:
    for path in ("/orders/A-1", "/exceptions"):
        page = executive.get(path)
        assert page.status_code == 200
        assert f"steps/{STEP}/push" not in page.text
    assert executive.send(PUSH, headers=HTMX).status_code == 403
    with runtime.writer() as session:
        assert session.scalar(select(Event.id).where(Event.kind == "step.push-requested")) is None


def test_a_push_of_what_is_not_there_is_not_found(stopped: int, support: Visitor) -> None:
    assert support.send("/orders/A-1/steps/Task_Nowhere/push", headers=HTMX).status_code == 404
    assert support.send(f"/orders/A-9/steps/{STEP}/push", headers=HTMX).status_code == 404


def test_a_step_that_has_not_stopped_cannot_be_pushed(shown: Scene, support: Visitor) -> None:
    shown.receive(plain_order("A-1"))
    answer = support.send("/orders/A-1/steps/Task_RegisterInEom/push", headers=HTMX)
    assert answer.status_code == 409
    assert "has not stopped" in answer.text


def test_an_order_number_of_any_characters_can_be_pushed(shown: Scene, support: Visitor) -> None:
    number = "B/2 ñ~7E?#%2F"
    (order_id,) = shown.receive(plain_order(number))
    shown.to_exception(order_id)
    page = support.get("/exceptions").text
    action = page.split('hx-post="')[1].split('"')[0]
    assert support.send(action, headers=HTMX).status_code == 200


def test_fragments_differ_by_who_asks_and_say_so(stopped: int, support: Visitor) -> None:
    fragment = support.send(PUSH, headers=HTMX)
    assert "<html" not in fragment.text
    assert "HX-Request" in fragment.headers["Vary"]
    assert fragment.headers["Cache-Control"] == "no-store"


def next_poll(answer: TestResponse) -> str:
    return answer.text.split('hx-get="')[1].split('"')[0]


def poll(visitor: Visitor, answer: TestResponse) -> TestResponse:
    """Ask for news as the fragment does."""
    return visitor.get(next_poll(answer), headers=HTMX)


def test_a_push_that_has_to_wait_for_its_system_says_so(
    runtime: Runtime, stopped: int, support: Visitor
) -> None:
    pushed = support.send(PUSH, headers=HTMX)
    held_back = "Held back: The tax document system does not answer"
    assert held_back not in pushed.text
    now = runtime.clock()
    with runtime.writer() as session:
        beat(
            session,
            job="runner",
            instance="a:1",
            pid=1,
            started_at=now,
            now=now,
            counters={"breakers": {"tax-documents": "open"}},
        )
    news = poll(support, pushed)
    assert held_back in news.text
    assert support.get(next_poll(news), headers=HTMX).status_code == 204
