"""The rules of the house hold for every file, and each rule sees what breaks it."""

from __future__ import annotations

import base64
from pathlib import PurePosixPath
from textwrap import dedent

import pytest
from flask import Flask

from portal.access.models import Role
from portal.app import create_app
from portal.settings import load_settings
from portal.web.permissions import API_CLIENT, PUBLIC
from tests.clients.settings import SYSTEMS
from tests.conventions import code, pages, ways
from tests.conventions.source import (
    Rule,
    Source,
    lost_tests,
    read_sources,
    undeclared_packages,
)

RULES = {rule.name: rule for rule in (*code.RULES, *ways.RULES, *pages.RULES)}


@pytest.fixture(scope="module")
def sources() -> list[Source]:
    return read_sources()


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_every_file_keeps_the_rule(rule: Rule, sources: list[Source]) -> None:
    complaints = rule.complaints(sources)
    assert not complaints, "\n".join([rule.mend, *complaints])


def test_every_package_of_the_portal_is_a_domain_or_declared_as_infrastructure(sources: list[Source]) -> None:
    assert not undeclared_packages(sources), "Say in tests/conventions/source.py what these packages are."


def test_every_declared_edge_is_still_one(sources: list[Source]) -> None:
    stale = code.stale_declarations(sources)
    assert not stale, "\n".join(["Take it out of tests/conventions/edges.py:", *stale])


def test_every_test_is_found_where_its_module_is(sources: list[Source]) -> None:
    lost = lost_tests(sources)
    mend = "Name it for its module: portal/orders/x.py is tested in tests/orders/test_x.py."
    assert not lost, "\n".join([mend, *lost])


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Flask:
    environ = {
        "DATABASE_WRITER_URL": f"sqlite:///{tmp_path_factory.mktemp('routes') / 'waybill.db'}",
        "SECRET_KEY": "s" * 32,
        "DATA_KEY": base64.b64encode(bytes(32)).decode(),
    }
    environ |= {f"{system}_URL": "http://127.0.0.1:9" for system in SYSTEMS}
    return create_app(load_settings(environ))


def test_every_route_says_who_may_use_it(app: Flask) -> None:
    unmarked = pages.routes_without_roles(app, frozenset(Role) | PUBLIC | API_CLIENT)
    mend = (
        "Mark the view with those who may use it: @allow(…), @everybody, @public (portal/web/permissions.py)."
    )
    assert not unmarked, "\n".join([mend, *unmarked])


def test_every_address_is_kebab_case(app: Flask) -> None:
    unkempt = pages.unkempt_addresses(app)
    assert not unkempt, "\n".join(["Write words in lower case, joined by hyphens:", *unkempt])


LONG = "x = 1\n" * 401
LONG_FUNCTION = "def work() -> None:\n" + "    x = 1\n" * 40
BROKEN = [
    ("modules-are-short", "portal/orders/service.py", LONG),
    ("modules-are-short", "portal/templates/orders.html", "<p></p>\n" * 401),
    ("functions-are-short", "portal/orders/service.py", LONG_FUNCTION),
    ("names-say-something", "portal/orders/utils.py", ""),
    ("names-say-something", "jobs/order_helpers.py", ""),
    ("names-say-something", "portal/orders/service.py", "class OrderManager: ..."),
    (
        "the-outside-is-read-at-the-edges",
        "portal/orders/service.py",
        "import datetime\ndatetime.datetime.now()",
    ),
    ("the-outside-is-read-at-the-edges", "jobs/a_job.py", "from datetime import datetime as d\nd.now(None)"),
    ("the-outside-is-read-at-the-edges", "portal/work.py", "import time\ndef f(clock=time.time): ..."),
    ("the-outside-is-read-at-the-edges", "portal/db.py", "import os\nos.environ['HOME']"),
    ("the-outside-is-read-at-the-edges", "portal/db.py", "from os import environ\nenviron.get('HOME')"),
    ("the-outside-is-read-at-the-edges", "portal/orders/service.py", "from uuid import uuid4\nuuid4()"),
    ("the-outside-is-read-at-the-edges", "portal/web/csrf.py", "import secrets\nsecrets.token_hex(8)"),
    ("the-outside-is-read-at-the-edges", "portal/orders/retry.py", "from random import random\nrandom()"),
    ("the-outside-is-read-at-the-edges", "jobs/a_job.py", "from random import Random\nRandom()"),
    ("the-outside-is-read-at-the-edges", "jobs/__main__.py", "import time\ntime.time()"),
    ("product-code-does-not-print", "jobs/a_job.py", "print('done')"),
    ("only-the-edges-commit", "portal/orders/service.py", "def f(session):\n    session.commit()"),
    ("only-the-edges-commit", "portal/orders/queries.py", "def f(session):\n    session.rollback()"),
    ("errors-are-caught-by-name", "portal/orders/service.py", "try: ...\nexcept Exception: ..."),
    ("errors-are-caught-by-name", "jobs/a_job.py", "try: ...\nexcept: ..."),
    ("errors-are-caught-by-name", "jobs/a_job.py", "try: ...\nexcept (KeyError, BaseException) as e: ..."),
    ("errors-are-caught-by-name", "portal/orders/views.py", "app.register_error_handler(Exception, answer)"),
    ("tests-use-real-parts", "tests/orders/test_service.py", "from unittest import mock\nmock.Mock()"),
    ("tests-use-real-parts", "tests/test_db.py", "def test_x(monkeypatch): monkeypatch.setattr('a', 1)"),
    ("tests-wait-for-a-condition", "tests/test_work.py", "import time\ntime.sleep(1)"),
    ("imports-go-one-way", "portal/orders/service.py", "import jobs.order_runner"),
    ("imports-go-one-way", "portal/app.py", "from sandbox import server"),
    ("imports-go-one-way", "jobs/order_runner.py", "from tests.servers import mariadb"),
    ("the-domain-knows-no-outside", "portal/orders/service.py", "from flask import request"),
    ("the-domain-knows-no-outside", "portal/orders/process/plan.py", "import boto3"),
    ("the-domain-knows-no-outside", "portal/access/queries.py", "from sqlalchemy import create_engine"),
    ("the-domain-knows-no-outside", "portal/access/service.py", "from portal.web.login import current"),
    (
        "domains-meet-at-service-and-queries",
        "portal/orders/service.py",
        "from portal.access.models import Person",
    ),
    ("domains-meet-at-service-and-queries", "portal/orders/views.py", "from portal.access import models"),
    ("domains-meet-at-service-and-queries", "portal/metrics/queries.py", "import portal.orders"),
    ("domains-meet-at-service-and-queries", "portal/metrics/queries.py", "from ..orders.models import Order"),
    ("aws-is-spoken-to-in-one-place", "portal/orders/service.py", "import boto3"),
    ("aws-is-spoken-to-in-one-place", "jobs/order_reader.py", "from botocore.exceptions import ClientError"),
    ("pages-have-no-inline-code", "portal/templates/order.html", "<script>go()</script>"),
    ("pages-have-no-inline-code", "portal/templates/order.html", "<style>p { color: red }</style>"),
    (
        "pages-have-no-inline-code",
        "portal/templates/order.html",
        "<p {% if x %}style='color: red'{% endif %}>",
    ),
    ("pages-have-no-inline-code", "sandbox/templates/mail.html", "<button\n  onclick='go()'>"),
    ("pages-have-no-inline-code", "portal/templates/order.html", "<form hx-on::after-request='go()'>"),
    ("pages-have-no-inline-code", "portal/templates/order.html", "<a href=' JavaScript:go()'>"),
    ("fragments-do-not-extend-the-page", "portal/templates/orders/_rows.html", "{%- extends 'base.html' %}"),
]
KEPT = [
    ("modules-are-short", "portal/orders/service.py", "x = 1\n" * 400),
    ("functions-are-short", "portal/orders/service.py", "def work() -> None:\n" + "    x = 1\n" * 39),
    (
        "functions-are-short",
        "portal/orders/service.py",
        'def work() -> None:\n    """Do it.\n\n    At length.\n    """\n' + "    x = 1\n" * 39,
    ),
    ("functions-are-short", "portal/migrations/versions/0001_first.py", LONG_FUNCTION),
    ("names-say-something", "portal/orders/service.py", "from contextlib import contextmanager"),
    ("the-outside-is-read-at-the-edges", "portal/runtime.py", "import time\ntime.time()"),
    ("the-outside-is-read-at-the-edges", "portal/orders/retry.py", "def f(random): random.random()"),
    ("the-outside-is-read-at-the-edges", "jobs/a_job.py", "from random import Random\nRandom(7)"),
    (
        "the-outside-is-read-at-the-edges",
        "portal/db.py",
        "from datetime import datetime\ndatetime.fromtimestamp(0)",
    ),
    ("the-outside-is-read-at-the-edges", "portal/clients/http.py", "import time\ntime.monotonic()"),
    ("product-code-does-not-print", "portal/__main__.py", "print('done')"),
    ("only-the-edges-commit", "portal/orders/views_order.py", "def f(session): session.commit()"),
    ("errors-are-caught-by-name", "portal/db.py", "try: ...\nexcept BaseException:\n    close()\n    raise"),
    ("errors-are-caught-by-name", "portal/web/errors.py", "try: ...\nexcept Exception: ..."),
    ("tests-use-real-parts", "tests/test_db.py", "def test_x(monkeypatch): monkeypatch.setenv('CI', 'true')"),
    ("tests-wait-for-a-condition", "tests/servers/waiting.py", "import time\ntime.sleep(1)"),
    ("imports-go-one-way", "jobs/order_runner.py", "from portal.orders import service"),
    ("the-domain-knows-no-outside", "portal/orders/views.py", "from flask import request"),
    ("the-domain-knows-no-outside", "portal/orders/queries.py", "from sqlalchemy import select"),
    ("domains-meet-at-service-and-queries", "portal/orders/views.py", "from portal.access import queries"),
    ("domains-meet-at-service-and-queries", "portal/orders/views.py", "import portal.access.queries_people"),
    (
        "domains-meet-at-service-and-queries",
        "portal/orders/views.py",
        "from portal.orders.models import Order",
    ),
    ("domains-meet-at-service-and-queries", "portal/orders/models.py", "from portal.db import Base"),
    ("aws-is-spoken-to-in-one-place", "portal/clients/aws.py", "import boto3"),
    ("pages-have-no-inline-code", "portal/templates/order.html", "<script src='{{ url }}' defer></script>"),
    ("pages-have-no-inline-code", "portal/templates/order.html", "<p>{# <script> #}{{ '<style>' }}</p>"),
    ("pages-have-no-inline-code", "portal/templates/mails/order.html", "<p style='color: red'>"),
    ("fragments-do-not-extend-the-page", "portal/templates/orders/list.html", "{% extends 'base.html' %}"),
    ("fragments-do-not-extend-the-page", "portal/templates/orders/_rows.html", "{% include '_row.html' %}"),
]


@pytest.mark.parametrize(("name", "path", "text"), BROKEN)
def test_a_rule_sees_what_breaks_it(name: str, path: str, text: str) -> None:
    assert RULES[name].complaints([Source(PurePosixPath(path), dedent(text))])


@pytest.mark.parametrize(("name", "path", "text"), KEPT)
def test_a_rule_lets_pass_what_keeps_it(name: str, path: str, text: str) -> None:
    assert RULES[name].complaints([Source(PurePosixPath(path), dedent(text))]) == []


def test_every_rule_is_seen_to_find_something() -> None:
    assert {name for name, _, _ in BROKEN} == set(RULES)


def test_a_declared_edge_that_is_none_is_found() -> None:
    sources = [
        Source(PurePosixPath("portal/crypto.py"), "import secrets"),
        Source(PurePosixPath("portal/web/errors.py"), "try: ...\nexcept KeyError: ..."),
    ]
    assert code.stale_declarations(sources) == [
        "portal/crypto.py does not read randomness",
        "portal/web/errors.py does not catch every error",
    ]


def test_a_test_without_a_module_is_found() -> None:
    paths = (
        "portal/orders/service.py",
        "jobs/runner.py",
        "tests/orders/test_service.py",
        "tests/orders/test_service_push.py",
        "tests/orders/test_services.py",
        "tests/jobs/test_runner.py",
        "jobs/__main__.py",
        "tests/jobs/test_main.py",
        "tests/test_orders.py",
        "tests/test_runner.py",
        "tests/faults/test_kill.py",
    )
    lost = lost_tests(Source(PurePosixPath(path), "") for path in paths)
    assert lost == ["tests/orders/test_services.py", "tests/test_runner.py"]


def test_a_complaint_tells_the_place() -> None:
    source = Source(PurePosixPath("jobs/a_job.py"), "x = 1\nprint(x)\n")
    assert RULES["product-code-does-not-print"].complaints([source]) == ["jobs/a_job.py:2: print(…)"]


def test_a_route_without_a_role_is_found() -> None:
    app = small_app()
    assert pages.routes_without_roles(app, frozenset({"support", "public"})) == [
        "/misspelt (misspelt)",
        "/nobody (nobody)",
        "/nothing (nothing)",
    ]


def test_an_address_that_is_not_kebab_case_is_found() -> None:
    app = small_app()
    for address in (
        "/Orders",
        "/push_to_retry",
        "/orders/<number>/pushToRetry",
        "/orders/<number>/push-to-retry",
    ):
        app.add_url_rule(address, address, lambda: "")
    assert pages.unkempt_addresses(app) == [
        "/Orders (/Orders)",
        "/push_to_retry (/push_to_retry)",
        "/orders/<number>/pushToRetry (/orders/<number>/pushToRetry)",
    ]


def small_app() -> Flask:
    app = Flask("small")
    allowed = {
        "support": frozenset({"support"}),
        "everyone": frozenset({"public"}),
        "misspelt": frozenset({"suport"}),
        "nobody": frozenset(),
        "nothing": None,
    }
    for name, roles in allowed.items():

        def view() -> str:
            return ""

        if roles is not None:
            view.allowed_roles = roles  # type: ignore[attr-defined]
        app.add_url_rule(f"/{name}", name, view)
    return app
