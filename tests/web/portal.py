"""The portal as a visitor meets it: the application on a real database, and people who log in for real."""

from __future__ import annotations

import base64
import html
import re
from collections.abc import Iterator
from typing import Any

import pytest
from argon2 import PasswordHasher
from flask import Flask
from flask.testing import FlaskClient
from jinja2 import FileSystemBytecodeCache
from sqlalchemy.orm import Session
from werkzeug.test import TestResponse

from portal.access import service
from portal.access.models import Role
from portal.access.passwords import Passwords
from portal.app import create_app
from portal.events import Actor
from portal.runtime import Runtime
from portal.settings import Settings, load_settings
from tests.clients.settings import SYSTEMS
from tests.servers.urls import Urls

PASSWORD = "correct horse battery"
OPERATOR = Actor("person", "shell:operator")
_TOKEN = re.compile(r"hx-headers='([^']*)'")


class Visitor(FlaskClient):
    """A browser with its cookies, which takes the CSRF token from a page as a browser does."""

    def token(self, page: str | None = None) -> str:
        """Return the token that a page carries; by default of a page that this visitor may see."""
        return self.token_of(self.get(page or "/login", follow_redirects=page is None))

    def token_of(self, answer: TestResponse) -> str:
        """Return the token that an answer carries."""
        found = _TOKEN.search(answer.text)
        assert found, answer.text
        return html.unescape(found[1]).split('"')[3]

    def send(self, path: str, data: dict[str, str] | None = None, **more: Any) -> TestResponse:
        """Post a form with its token."""
        return self.post(path, data={"csrf_token": self.token(), **(data or {})}, **more)

    def log_in(self, login: str, password: str = PASSWORD, then: str = "", **more: Any) -> TestResponse:
        """Log in by the form."""
        path = f"/login?next={then}" if then else "/login"
        token = self.token("/login")
        return self.post(path, data={"csrf_token": token, "login": login, "password": password}, **more)


def environment_for(urls: Urls) -> dict[str, str]:
    """Return the variables of an environment with a database, in which all else is away."""
    return {
        "DATABASE_WRITER_URL": urls.writer,
        "DATABASE_READER_URL": urls.reader,
        "SECRET_KEY": "s" * 32,
        "DATA_KEY": base64.b64encode(bytes(32)).decode(),
        "COOKIE_SECURE": "false",
        "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        **{f"{system}_URL": "http://127.0.0.1:9" for system in SYSTEMS},
    }


def settings_for(urls: Urls, **variables: str) -> Settings:
    """Return settings for a database; `variables` are those of the environment."""
    return load_settings(environment_for(urls) | variables)


def open_portal(settings: Settings) -> Flask:
    """Make the application with passwords that are quick to check."""
    quick = Passwords(PasswordHasher(time_cost=1, memory_cost=64, parallelism=1))
    app = create_app(settings, quick)
    # Each application would compile all its templates anew, which took half the time of the tests of pages.
    app.jinja_env.bytecode_cache = FileSystemBytecodeCache()
    app.test_client_class = Visitor
    return app


def runtime_of(app: Flask) -> Runtime:
    """Return the application's runtime."""
    runtime: Runtime = app.extensions["waybill"]
    return runtime


def add_people(app: Flask) -> None:
    """Create one person of each role, with the role as login."""
    runtime, passwords = runtime_of(app), app.extensions["passwords"]
    hashed = passwords.hash(PASSWORD)

    def create(session: Session) -> None:
        for role in Role:
            service.create_person(
                session,
                login=role.value,
                name=role.value.title(),
                role=role,
                password_hash=hashed,
                actor=OPERATOR,
                now=runtime.clock(),
            )

    runtime.transact(create)


@pytest.fixture
def portal_settings(migrated_urls: Urls) -> Settings:
    """Give the portal's settings, on SQLite and on MariaDB; override it in a module that needs others."""
    return settings_for(Urls(migrated_urls.writer, migrated_urls.writer))


@pytest.fixture
def app(portal_settings: Settings) -> Iterator[Flask]:
    """Give the portal, with one person of each role (their logins are the roles' names)."""
    made = open_portal(portal_settings)
    add_people(made)
    yield made
    runtime_of(made).database.dispose()


@pytest.fixture
def runtime(app: Flask) -> Runtime:
    """Give the portal's runtime."""
    return runtime_of(app)


@pytest.fixture
def visitor(app: Flask) -> Visitor:
    """Give a browser in which nobody is logged in."""
    return new_visitor(app)


@pytest.fixture
def executive(app: Flask) -> Visitor:
    """Give a browser in which an executive is logged in."""
    return logged_in(app, Role.EXECUTIVE)


@pytest.fixture
def support(app: Flask) -> Visitor:
    """Give a browser in which support staff is logged in."""
    return logged_in(app, Role.SUPPORT)


@pytest.fixture
def admin(app: Flask) -> Visitor:
    """Give a browser in which an administrator is logged in."""
    return logged_in(app, Role.ADMIN)


def new_visitor(app: Flask) -> Visitor:
    """Open a browser of its own."""
    client = app.test_client()
    assert isinstance(client, Visitor)
    return client


def logged_in(app: Flask, login: str) -> Visitor:
    """Open a browser and log in."""
    client = new_visitor(app)
    answer = client.log_in(login)
    assert answer.status_code == 303, answer.text
    return client
