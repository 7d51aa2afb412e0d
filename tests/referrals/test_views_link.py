"""The public link: each visit leads to the sign-up page, and only a person's visit counts."""

from __future__ import annotations

from datetime import UTC

import pytest
from sqlalchemy import update

from portal.referrals.invitation_models import Invitation
from portal.referrals.states import ReferralStatus
from portal.runtime import Runtime
from portal.settings import Settings
from tests.referrals.inviting import add_active_scheme, invitations, invite_all, token_of
from tests.servers.urls import Urls
from tests.web.portal import Visitor, settings_for

SIGN_UP = "https://shop.example/join"


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
    "unknown", ["nothing", "https:%2F%2Fevil.example", "x" * 2_000, "%F0%9F%8D%AA", "'--"]
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
