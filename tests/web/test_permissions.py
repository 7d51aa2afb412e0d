"""Every route admits those whom its mark names, and nobody else."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import pytest
from flask import Flask
from werkzeug.routing import AnyConverter, BaseConverter, IntegerConverter, Rule
from werkzeug.test import TestResponse
from werkzeug.wrappers import Response

from portal.access import service
from portal.access.models import Role
from portal.crypto import token_hash
from portal.runtime import Runtime
from portal.web.permissions import API_CLIENT, PUBLIC, allow
from tests.web.portal import OPERATOR, Visitor, logged_in, new_visitor

KEY = "the key of the shop"
NOBODY, CLIENT = "nobody", "api-client"
WHO = (NOBODY, *Role, CLIENT)


def routes(app: Flask) -> Iterator[tuple[Rule, str]]:
    for rule in app.url_map.iter_rules():
        yield from (
            (rule, method) for method in sorted(rule.methods or ()) if method not in ("HEAD", "OPTIONS")
        )


def ask(visitor: Visitor, rule: Rule, method: str) -> TestResponse:
    """Ask for a route with values that fit; nothing that is asked for exists."""
    adapter = visitor.application.url_map.bind("localhost")
    values = {name: fitting(kind) for name, kind in rule._converters.items()}
    return visitor.open(adapter.build(rule.endpoint, values, method=method), method=method)


def fitting(kind: BaseConverter) -> int | str:
    """Return a value that a part of an address can have."""
    if isinstance(kind, IntegerConverter):
        return 1
    return min(kind.items) if isinstance(kind, AnyConverter) else "x"


def mark_of(app: Flask, rule: Rule) -> frozenset[str]:
    allowed: frozenset[str] = vars(app.view_functions[rule.endpoint])["allowed_roles"]
    return allowed


def is_refused(answer: Response) -> bool:
    to_login = answer.status_code == 303 and answer.headers["Location"].startswith("/login")
    return answer.status_code in (401, 403) or to_login


def is_admitted(allowed: frozenset[str], who: str) -> bool:
    return allowed == PUBLIC or who in allowed


@pytest.mark.parametrize("who", WHO)
def test_every_route_admits_whom_its_mark_names(app: Flask, runtime: Runtime, who: str) -> None:
    runtime.transact(
        partial(
            service.create_api_client,
            name="shop",
            key_hash=token_hash(KEY),
            actor=OPERATOR,
            now=runtime.clock(),
        )
    )
    visitor = logged_in(app, who) if who in set(Role) else new_visitor(app)
    if who == CLIENT:
        visitor.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {KEY}"
    wrong = []
    # Logout comes last: it leads everybody to the login.
    for rule, method in sorted(routes(app), key=lambda route: route[0].endpoint == "access.log_out"):
        with ask(visitor, rule, method) as answer:
            if rule.endpoint != "access.log_out" and is_refused(answer) == is_admitted(
                mark_of(app, rule), who
            ):
                wrong.append(f"{method} {rule.rule} answers {who} with {answer.status_code}")
    assert not wrong, "\n".join(wrong)


def test_the_walk_meets_every_kind_of_mark(app: Flask) -> None:
    marks = {mark_of(app, rule) for rule, _ in routes(app)}
    assert {PUBLIC, API_CLIENT, frozenset(Role)} <= marks


def test_administrators_may_do_what_support_may() -> None:
    assert allow(Role.SUPPORT)(lambda: "").allowed_roles == {"support", "admin"}  # type: ignore[attr-defined]
    assert allow(Role.EXECUTIVE)(lambda: "").allowed_roles == {"executive"}  # type: ignore[attr-defined]


def test_a_route_without_a_mark_admits_nobody(app: Flask) -> None:
    app.add_url_rule("/unmarked", "unmarked", lambda: "secret")
    assert new_visitor(app).get("/unmarked").status_code == 303
    assert logged_in(app, Role.ADMIN).get("/unmarked").status_code == 403


def test_a_refused_person_is_told_so_on_a_page(app: Flask) -> None:
    app.add_url_rule("/for-support", "for_support", allow(Role.SUPPORT)(lambda: "secret"))
    answer = logged_in(app, Role.EXECUTIVE).get("/for-support")
    assert answer.status_code == 403
    assert "This is not open to you" in answer.text


def test_a_fragment_sends_who_is_logged_out_to_the_login(visitor: Visitor) -> None:
    answer = visitor.get("/password", headers={"HX-Request": "true"})
    assert answer.status_code == 401
    assert answer.headers["HX-Redirect"] == "/login"


def test_a_cookie_opens_nothing_of_the_api(admin: Visitor) -> None:
    assert admin.get("/api/orders/1").status_code == 401


@pytest.mark.parametrize("header", ["", "Basic abc", "Bearer", "Bearer  ", "Bearer wrong", f"Token {KEY}"])
def test_the_api_asks_for_a_key_by_name(visitor: Visitor, header: str) -> None:
    answer = visitor.get("/api/orders/1", headers={"Authorization": header} if header else {})
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"].startswith("Bearer realm=")
    assert answer.get_json()["code"] == "unauthorized"
