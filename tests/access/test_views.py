"""Login, logout and the change of a password, as a browser meets them."""

from __future__ import annotations

from datetime import timedelta
from functools import partial

import pytest
from argon2 import PasswordHasher
from flask import Flask
from sqlalchemy import select, update

from portal.access import service
from portal.access.models import LoginFailure, LoginSession, Person, Role
from portal.access.passwords import Passwords
from portal.access.views import local_target
from portal.app import create_app
from portal.events import Event
from portal.runtime import Runtime
from portal.settings import Settings
from tests.web.portal import OPERATOR, PASSWORD, Visitor, add_people, logged_in, new_visitor, runtime_of

ANOTHER = "another horse battery"


def test_a_person_logs_in_and_is_known(support: Visitor) -> None:
    page = support.get("/password")
    assert page.status_code == 200
    assert "Support" in page.text
    assert 'href="/password"' in page.text


@pytest.mark.parametrize(
    ("login", "password"), [("support", "wrong horse battery"), ("nobody", PASSWORD), ("support ", "x" * 256)]
)
def test_a_wrong_login_is_refused_without_saying_what_was_wrong(
    visitor: Visitor, login: str, password: str
) -> None:
    answer = visitor.log_in(login, password)
    assert answer.status_code == 422
    assert "Login or password is wrong." in answer.text
    assert visitor.get("/password").status_code == 303


def test_a_login_is_recognised_however_it_is_typed(visitor: Visitor) -> None:
    assert visitor.log_in(" Support").status_code == 303


def test_a_login_without_a_password_says_what_is_missing(visitor: Visitor) -> None:
    answer = visitor.log_in("support", "")
    assert answer.status_code == 422
    assert "Enter your password." in answer.text


def test_the_cookie_is_for_this_host_and_not_for_scripts(visitor: Visitor) -> None:
    (cookie,) = [
        line
        for line in visitor.log_in("support").headers.getlist("Set-Cookie")
        if line.startswith("session=")
    ]
    assert {"HttpOnly", "SameSite=Lax", "Path=/"} <= set(cookie.split("; "))
    assert "Domain" not in cookie


def test_over_https_the_cookie_is_bound_to_the_host(portal_settings: Settings) -> None:
    app = create_app(portal_settings.model_copy(update={"cookie_secure": True}))
    app.test_client_class = Visitor
    add_people(app)
    visitor = new_visitor(app)
    secure = {"base_url": "https://localhost", "headers": {"Referer": "https://localhost/login"}}
    token = visitor.token_of(visitor.get("/login", **secure))
    answer = visitor.post(
        "/login", data={"csrf_token": token, "login": "support", "password": PASSWORD}, **secure
    )
    cookies = answer.headers.getlist("Set-Cookie")
    assert any(line.startswith("__Host-session=") and "Secure" in line for line in cookies)
    assert all("Secure" in line for line in cookies)
    assert "max-age" in answer.headers["Strict-Transport-Security"]


def test_only_the_hash_of_the_token_is_kept(support: Visitor, runtime: Runtime) -> None:
    cookie = support.get_cookie("session")
    assert cookie is not None
    with runtime.writer() as session:
        (kept,) = session.scalars(select(LoginSession.id))
    assert kept != cookie.value
    assert len(kept) == 64


def test_each_login_has_a_new_token_and_ends_the_one_before(app: Flask, support: Visitor) -> None:
    before = support.get_cookie("session")
    # The login page is not shown to who is logged in, but its form may still be open in another tab.
    support.post("/login", data={"csrf_token": support.token(), "login": "support", "password": PASSWORD})
    after = support.get_cookie("session")
    assert before is not None
    assert after is not None
    assert before.value != after.value
    thief = new_visitor(app)
    thief.set_cookie("session", before.value)
    assert thief.get("/password").status_code == 303


def test_a_cookie_from_before_logout_is_dead(app: Flask, support: Visitor) -> None:
    cookie = support.get_cookie("session")
    assert cookie is not None
    answer = support.send("/logout")
    assert answer.headers["Location"] == "/login"
    assert support.get_cookie("session") is None
    thief = new_visitor(app)
    thief.set_cookie("session", cookie.value)
    assert thief.get("/password").status_code == 303


def test_logout_works_for_who_is_logged_out_already(visitor: Visitor) -> None:
    assert visitor.send("/logout").status_code == 303


def test_a_disabled_persons_session_dies_at_once(support: Visitor, runtime: Runtime) -> None:
    runtime.transact(partial(service.disable_person, login="support", actor=OPERATOR, now=runtime.clock()))
    assert support.get("/password").status_code == 303


def test_a_person_who_is_switched_off_by_hand_is_refused_too(
    support: Visitor, visitor: Visitor, runtime: Runtime
) -> None:
    with runtime.writer() as session:
        session.execute(update(Person).where(Person.login == "support").values(active=False))
    assert support.get("/password").status_code == 303
    assert visitor.log_in("support").status_code == 422
    with runtime.writer() as session:
        assert session.scalars(select(Event.kind).order_by(Event.id)).all()[-1] == "person.login-failed"


def test_a_session_expires(support: Visitor, runtime: Runtime) -> None:
    now = runtime.clock()
    runtime.clock = lambda: now + timedelta(hours=runtime.settings.session_hours, seconds=1)
    assert support.get("/password").status_code == 303


def test_after_the_login_comes_the_page_that_was_asked_for(visitor: Visitor) -> None:
    asked = visitor.get("/password?from=mail")
    assert asked.headers["Location"] == "/login?next=/password?from%3Dmail"
    assert visitor.log_in("support", then="/password?from%3Dmail").headers["Location"] == (
        "/password?from=mail"
    )


@pytest.mark.parametrize(
    "target",
    [
        "https://evil.example/",
        "//evil.example/",
        "/\\evil.example",
        "\\\\evil.example",
        "/\tevil",
        "/a\r\nSet-Cookie: x=y",
        "javascript:alert(1)",
        "orders",
        "",
        None,
    ],
)
def test_a_login_leads_nowhere_else(target: str | None) -> None:
    assert local_target(target) == "/"


@pytest.mark.parametrize("target", ["/", "/orders?status=exception", "/orders/A~2FB", "/orders/ñ"])
def test_a_login_leads_to_any_page_of_the_portal(target: str) -> None:
    assert local_target(target) == target


def test_too_many_failed_logins_are_told_to_wait(visitor: Visitor, runtime: Runtime) -> None:
    for _ in range(5):
        visitor.log_in("support", "wrong horse battery")
    answer = visitor.log_in("support")
    assert answer.status_code == 429
    assert 0 < int(answer.headers["Retry-After"]) <= 901
    assert "Too many failed logins. Wait 15 min" in answer.text
    elsewhere = visitor.log_in("support", environ_overrides={"REMOTE_ADDR": "198.51.100.7"})
    assert elsewhere.status_code == 303


def test_who_tries_too_early_does_not_wait_longer(visitor: Visitor, runtime: Runtime) -> None:
    began = runtime.clock()
    for _ in range(5):
        visitor.log_in("support", "wrong horse battery")
    runtime.clock = lambda: began + timedelta(minutes=10)
    assert [visitor.log_in("support").status_code for _ in range(5)] == [429] * 5
    runtime.clock = lambda: began + timedelta(minutes=16)
    assert visitor.log_in("support").status_code == 303


def test_an_unknown_account_is_throttled_as_a_known_one(visitor: Visitor) -> None:
    for _ in range(5):
        visitor.log_in("nobody", "wrong horse battery")
    assert visitor.log_in("nobody").status_code == 429


def test_a_login_forgets_the_failures_before_it(visitor: Visitor, runtime: Runtime) -> None:
    visitor.log_in("support", "wrong horse battery")
    visitor.log_in("support")
    with runtime.writer() as session:
        assert session.scalars(select(LoginFailure)).all() == []


def test_the_address_before_a_trusted_proxy_counts(portal_settings: Settings) -> None:
    app = create_app(
        portal_settings.model_copy(update={"trusted_proxies": 1}),
        Passwords(PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)),
    )
    app.test_client_class = Visitor
    add_people(app)
    visitor = new_visitor(app)
    for number in range(6):
        visitor.log_in("support", "wrong", headers={"X-Forwarded-For": f"203.0.113.{number}, 192.0.2.9"})
    answer = visitor.log_in("support", headers={"X-Forwarded-For": "203.0.113.77, 192.0.2.9"})
    assert answer.status_code == 429


def test_without_a_proxy_nobody_chooses_their_address(visitor: Visitor) -> None:
    answers = [
        visitor.log_in("support", "wrong", headers={"X-Forwarded-For": f"203.0.113.{number}"})
        for number in range(6)
    ]
    assert answers[-1].status_code == 429


def test_an_outdated_hash_is_replaced_at_login(app: Flask, runtime: Runtime) -> None:
    stronger = Passwords(PasswordHasher(time_cost=2, memory_cost=64, parallelism=1))
    app.extensions["passwords"] = stronger
    logged_in(app, Role.SUPPORT)
    with runtime.writer() as session:
        kept = session.scalar(select(Person.password_hash).where(Person.login == "support"))
    assert kept is not None
    assert not stronger.is_outdated(kept)
    logged_in(app, Role.SUPPORT)


def test_a_password_change_ends_every_other_session(app: Flask, support: Visitor) -> None:
    elsewhere, before = logged_in(app, Role.SUPPORT), support.get_cookie("session")
    answer = support.send("/password", {"present": PASSWORD, "password": ANOTHER, "again": ANOTHER})
    assert answer.status_code == 303
    assert elsewhere.get("/password").status_code == 303
    assert support.get("/password").status_code == 200
    assert before is not None
    elsewhere.set_cookie("session", before.value)
    assert elsewhere.get("/password").status_code == 303
    assert new_visitor(app).log_in("support", PASSWORD).status_code == 422
    assert new_visitor(app).log_in("support", ANOTHER).status_code == 303


@pytest.mark.parametrize(
    ("present", "password", "again", "reason"),
    [
        ("wrong horse battery", ANOTHER, ANOTHER, "This is not your present password."),
        (PASSWORD, ANOTHER, "another horse", "The two are not the same."),
        (PASSWORD, "short", "short", "A password has at least 12 characters."),
        (PASSWORD, "my support password", "my support password", "too easily guessed"),
        ("", ANOTHER, ANOTHER, "Enter your present password."),
    ],
)
def test_a_password_change_that_is_refused_says_why(
    app: Flask, support: Visitor, present: str, password: str, again: str, reason: str
) -> None:
    answer = support.send("/password", {"present": present, "password": password, "again": again})
    assert answer.status_code == 422
    assert reason in answer.text
    assert PASSWORD not in answer.text
    assert new_visitor(app).log_in("support").status_code == 303


def test_what_people_do_about_their_access_is_on_the_audit_trail(app: Flask, runtime: Runtime) -> None:
    visitor = new_visitor(app)
    visitor.log_in("support", "wrong horse battery")
    visitor.log_in("hunter2 typed into the wrong field", PASSWORD)
    visitor.log_in("support")
    visitor.send("/password", {"present": PASSWORD, "password": ANOTHER, "again": ANOTHER})
    visitor.send("/logout")
    with runtime.writer() as session:
        events = session.scalars(select(Event).where(Event.kind != "person.created").order_by(Event.id))
        told = [(event.kind, event.actor_kind, event.actor, event.data) for event in events]
    assert told == [
        ("person.login-failed", "person", "support", {}),
        ("person.login-failed", "person", "(unknown)", {}),
        ("person.logged-in", "person", "support", {}),
        ("person.password-changed", "person", "support", {}),
        ("person.logged-out", "person", "support", {}),
    ]


def test_a_login_form_cannot_be_sent_from_elsewhere(visitor: Visitor) -> None:
    answer = visitor.post("/login", data={"login": "support", "password": PASSWORD})
    assert answer.status_code == 400
    assert visitor.get("/password").status_code == 303


def test_extra_fields_of_a_form_are_ignored(visitor: Visitor, runtime: Runtime) -> None:
    visitor.post(
        "/login",
        data={
            "csrf_token": visitor.token("/login"),
            "login": "support",
            "password": PASSWORD,
            "role": "admin",
        },
    )
    with runtime.writer() as session:
        assert session.scalar(select(Person.role).where(Person.login == "support")) == "support"


def test_a_portal_needs_no_database_to_be_made(portal_settings: Settings) -> None:
    made = create_app(
        portal_settings.model_copy(update={"database_writer_url": "mysql+pymysql://127.0.0.1:9/x"})
    )
    assert runtime_of(made).settings.jobs == "all"
