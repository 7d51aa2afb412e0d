"""The public link: each visit leads to the sign-up page, and only a person's visit counts."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC
from threading import Barrier

import pytest
from flask import Flask
from sqlalchemy import select, update

from portal.events import Event
from portal.metrics.models import MetricMinute
from portal.referrals.invitations.links import record_click
from portal.referrals.invitations.models import Invitation
from portal.referrals.states import ReferralStatus
from portal.runtime import Runtime
from portal.settings import Settings
from tests.referrals.inviting import add_active_scheme, invitations, invite_all, token_of
from tests.servers.urls import Urls
from tests.web.portal import Visitor, new_visitor, open_portal, runtime_of, settings_for

SIGN_UP = "https://shop.example/join"
# Of the form of a token.
MADE_UP = "A" * 22


@pytest.fixture
def portal_settings(migrated_urls: Urls) -> Settings:
    return settings_for(Urls(migrated_urls.writer, migrated_urls.writer), SIGN_UP_URL=SIGN_UP)


@pytest.fixture
def token(runtime: Runtime) -> str:
    with runtime.writer() as session:
        add_active_scheme(session)
    invite_all(runtime, "ana@example.com")
    return token_of(runtime, invitations(runtime)[0])


def test_a_click_is_recorded_once_as_the_first_and_counted_each_time(
    runtime: Runtime, visitor: Visitor, token: str
) -> None:
    before = runtime.clock()
    answers = [visitor.get(f"/r/{token}") for _ in range(3)]
    assert {answer.status_code for answer in answers} == {303}
    assert {answer.headers["Location"] for answer in answers} == {f"{SIGN_UP}?token={token}"}
    assert not answers[0].headers.getlist("Set-Cookie")
    (row,) = invitations(runtime)
    assert (row.status, row.clicks) == (ReferralStatus.CLICKED, 3)
    assert row.clicked_at is not None
    assert before <= row.clicked_at.astimezone(UTC) <= runtime.clock()


def test_a_program_that_only_looks_does_not_count(runtime: Runtime, visitor: Visitor, token: str) -> None:
    looked = visitor.head(f"/r/{token}")
    assert (looked.status_code, looked.headers["Location"]) == (303, f"{SIGN_UP}?token={token}")
    (row,) = invitations(runtime)
    assert (row.clicks, row.clicked_at, row.status) == (0, None, ReferralStatus.INVITED)


def test_a_click_takes_no_invitation_back(runtime: Runtime, visitor: Visitor, token: str) -> None:
    with runtime.writer() as session:
        session.execute(update(Invitation).values(status=ReferralStatus.STARTED))
    visitor.get(f"/r/{token}")
    (row,) = invitations(runtime)
    assert (row.clicks, row.status) == (1, ReferralStatus.STARTED)


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(
    "unknown",
    ["nothing", "https:%2F%2Fevil.example", "x" * 2_000, "%F0%9F%8D%AA", "'--", MADE_UP],
)
def test_an_unknown_token_leads_to_the_plain_sign_up_page(
    visitor: Visitor, token: str, method: str, unknown: str
) -> None:
    answer = visitor.open(f"/r/{unknown}", method=method)
    assert (answer.status_code, answer.headers["Location"]) == (303, SIGN_UP)


def test_an_erased_token_leads_to_the_plain_sign_up_page(
    runtime: Runtime, visitor: Visitor, token: str
) -> None:
    with runtime.writer() as session:
        session.execute(update(Invitation).values(token=None, token_hash=None))
    assert visitor.get(f"/r/{token}").headers["Location"] == SIGN_UP


def test_a_link_cannot_be_posted_to(visitor: Visitor, token: str) -> None:
    assert visitor.post(f"/r/{token}").status_code in (400, 405)


def test_a_link_that_was_made_up_waits_for_no_lock(runtime: Runtime, visitor: Visitor, token: str) -> None:
    with runtime.writer() as session:
        session.execute(update(Invitation).values(clicks=7))
        assert visitor.get(f"/r/{MADE_UP}").headers["Location"] == SIGN_UP


@pytest.fixture
def away() -> Iterator[Flask]:
    """Give a portal whose database is away."""
    nobody = "mysql+pymysql://nobody@127.0.0.1:9/none"
    app = open_portal(settings_for(Urls(nobody, nobody), SIGN_UP_URL=SIGN_UP))
    yield app
    runtime_of(app).database.dispose()


@pytest.mark.parametrize(
    ("token", "leads_to"), [(MADE_UP, f"{SIGN_UP}?token={MADE_UP}"), ("nothing", SIGN_UP)]
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_while_the_database_is_away_a_link_leads_to_the_sign_up_page_with_what_may_be_its_token(
    away: Flask, method: str, token: str, leads_to: str
) -> None:
    answer = new_visitor(away).open(f"/r/{token}", method=method)
    assert (answer.status_code, answer.headers["Location"]) == (303, leads_to)


def test_a_click_that_is_lost_is_counted(away: Flask, runtime: Runtime) -> None:
    new_visitor(away).get(f"/r/{MADE_UP}")
    runtime_of(away).metrics.flush(runtime.transact, runtime.clock())
    with runtime.writer() as session:
        lost = select(MetricMinute.count).where(MetricMinute.name == "referrals.click_not_recorded")
        assert session.scalar(lost) == 1


def test_of_first_clicks_at_once_one_is_the_first(runtime: Runtime, token: str) -> None:
    start = Barrier(4)

    def click(_number: int) -> bool:
        start.wait(10)
        return runtime.transact(lambda session: record_click(session, token, runtime.clock()))

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(click, range(4))) == [True] * 4
    assert invitations(runtime)[0].clicks == 4
    with runtime.writer() as session:
        assert len(session.scalars(select(Event.id).where(Event.kind == "invitation.clicked")).all()) == 1
