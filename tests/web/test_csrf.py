"""Nothing is changed without a token of the login session that asks for it."""

from __future__ import annotations

import pytest
from flask import Flask

from portal.access.models import Role
from portal.web.permissions import everybody
from tests.web.portal import Visitor, logged_in, new_visitor


def is_logged_in(visitor: Visitor) -> bool:
    return visitor.get("/password").status_code == 200


def test_a_mutation_without_a_token_is_refused(support: Visitor) -> None:
    answer = support.post("/logout")
    assert answer.status_code == 400
    assert "This page is out of date." in answer.text
    assert is_logged_in(support)


def test_the_token_may_come_in_the_header_that_htmx_sends(support: Visitor) -> None:
    assert support.post("/logout", headers={"X-CSRFToken": support.token()}).status_code == 303
    assert not is_logged_in(support)


def test_a_token_of_another_person_is_refused(support: Visitor, admin: Visitor) -> None:
    assert support.post("/logout", data={"csrf_token": admin.token()}).status_code == 400


def test_a_token_of_an_earlier_login_is_refused(app: Flask) -> None:
    visitor = logged_in(app, Role.SUPPORT)
    before = visitor.token()
    visitor.send("/logout")
    visitor.log_in("support")
    assert visitor.post("/logout", data={"csrf_token": before}).status_code == 400
    assert visitor.post("/logout", data={"csrf_token": visitor.token()}).status_code == 303


def test_a_token_that_was_planted_before_the_login_is_refused(app: Flask, support: Visitor) -> None:
    attacker = new_visitor(app)
    planted = attacker.token()
    state = attacker.get_cookie("state")
    assert state is not None
    support.set_cookie("state", state.value)
    assert support.post("/logout", data={"csrf_token": planted}).status_code == 400


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "POST"])
def test_every_method_that_changes_something_needs_the_token(app: Flask, method: str) -> None:
    app.add_url_rule("/change", "change", everybody(lambda: ("", 204)), methods=[method])
    support = logged_in(app, Role.SUPPORT)
    assert support.open("/change", method=method).status_code == 400
    token = {"X-CSRFToken": support.token()}
    assert support.open("/change", method=method, headers=token).status_code == 204


def test_the_api_needs_none(visitor: Visitor) -> None:
    assert visitor.post("/api/orders").status_code == 401
