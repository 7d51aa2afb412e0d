"""Whoever has just written sees it, however far the replica is behind; others read from the replica."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import pytest
from flask import Flask, jsonify
from flask.typing import ResponseReturnValue
from sqlalchemy import func, select

from portal.access import service
from portal.access.models import ApiClient, Role
from portal.db import migrate
from portal.runtime import Runtime
from portal.web.context import actor, current_person, reading, runtime, writing
from portal.web.permissions import everybody
from tests.servers.mariadb import Cluster
from tests.servers.urls import Urls
from tests.web.portal import OPERATOR, add_people, logged_in, open_portal, runtime_of, settings_for


@everybody
def write() -> ResponseReturnValue:
    with writing() as session:
        now = runtime().clock()
        name = f"client {now.isoformat()}"
        service.create_api_client(session, name=name, key_hash=name, actor=actor(), now=now)
    return "", 204


@everybody
def read() -> ResponseReturnValue:
    with reading() as session:
        clients = session.scalar(select(func.count()).select_from(ApiClient))
        return jsonify([clients, session.get_bind() is runtime().database.writer_engine])


def add_views(app: Flask) -> None:
    app.add_url_rule("/write", "write", write, methods=["POST"])
    app.add_url_rule("/read", "read", read)


@pytest.fixture
def replicated(own_mariadb: Cluster) -> Iterator[Flask]:
    """Give the portal on a primary whose replica may be told to lag."""
    name = own_mariadb.create_database("replicated")
    urls = Urls(own_mariadb.writer_url(name), own_mariadb.reader_url(name))
    migrate(urls.writer)
    app = open_portal(settings_for(urls))
    add_people(app)
    add_views(app)
    yield app
    runtime_of(app).database.dispose()


def test_who_has_just_written_sees_it_although_the_replica_lags(
    replicated: Flask, own_mariadb: Cluster
) -> None:
    writer, other = logged_in(replicated, Role.SUPPORT), logged_in(replicated, Role.SUPPORT)
    own_mariadb.wait_until_caught_up()
    own_mariadb.lag(30)
    assert writer.get("/read").json == [0, False]
    assert writer.send("/write").status_code == 204
    assert writer.get("/read").json == [1, True]
    assert other.get("/read").json == [0, False]
    own_mariadb.lag(0)
    own_mariadb.wait_until_caught_up()
    assert writer.get("/read").json == [1, False]
    assert other.get("/read").json == [1, False]


def test_a_login_and_a_logout_hold_at_once_although_the_replica_lags(
    replicated: Flask, own_mariadb: Cluster
) -> None:
    own_mariadb.wait_until_caught_up()
    own_mariadb.lag(30)
    person = logged_in(replicated, Role.SUPPORT)
    assert person.get("/read").json == [0, True]
    cookie = person.get_cookie("session")
    assert cookie is not None
    person.send("/logout")
    person.set_cookie("session", cookie.value)
    assert person.get("/read").status_code == 303


def test_without_a_replica_the_reader_shows_every_write(app: Flask) -> None:
    add_views(app)
    person = logged_in(app, Role.SUPPORT)
    person.send("/write")
    assert person.get("/read").json is not None
    assert person.get("/read").json[0] == 1  # type: ignore[index]


def test_a_session_that_ends_meanwhile_writes_nothing(app: Flask, runtime: Runtime) -> None:
    @everybody
    def write_late() -> ResponseReturnValue:
        disable = partial(service.disable_person, login="support", actor=OPERATOR, now=runtime.clock())
        runtime.transact(disable)
        with writing() as session:
            service.create_api_client(
                session, name="late", key_hash="late", actor=actor(), now=runtime.clock()
            )
        return "", 204

    app.add_url_rule("/write-late", "write_late", write_late, methods=["POST"])
    assert logged_in(app, Role.SUPPORT).send("/write-late").status_code == 401
    with runtime.writer() as session:
        assert session.scalars(select(ApiClient)).all() == []


def test_a_write_that_fails_leaves_nothing(app: Flask, runtime: Runtime) -> None:
    @everybody
    def fail() -> ResponseReturnValue:
        with writing() as session:
            service.create_api_client(
                session, name="half", key_hash="half", actor=actor(), now=runtime.clock()
            )
            raise ZeroDivisionError

    app.add_url_rule("/fail", "fail", fail, methods=["POST"])
    assert logged_in(app, Role.SUPPORT).send("/fail").status_code == 500
    with runtime.writer() as session:
        assert session.scalars(select(ApiClient)).all() == []


def test_a_view_knows_who_is_asking(app: Flask) -> None:
    @everybody
    def who() -> str:
        person = current_person()
        return f"{person.login} {person.name} {person.role} {actor()}"

    app.add_url_rule("/who", "who", who)
    assert (
        logged_in(app, Role.SUPPORT).get("/who").text
        == "support Support support Actor(kind='person', name='support')"
    )
