"""Schemes as everybody reads them: in use, historic and retired, with what differs between versions."""

from __future__ import annotations

import pytest

from portal.runtime import Runtime
from tests.referrals.scheme_pages import FORM, add_parts
from tests.web.portal import Visitor


@pytest.fixture(autouse=True)
def _parts(runtime: Runtime) -> None:
    with runtime.writer() as session:
        add_parts(session)


def test_without_schemes_the_page_says_what_is_needed(executive: Visitor) -> None:
    assert "No scheme yet" in executive.get("/schemes").text


def test_drafts_active_and_historic_versions_are_told_apart(admin: Visitor, executive: Visitor) -> None:
    admin.send("/schemes", FORM)
    admin.send("/schemes/1/activate")
    admin.send("/schemes/1/edit", FORM | {"limit_rewards": "9"})
    page = executive.get("/schemes").text
    assert 'data-status="active"' in page
    assert 'data-status="draft"' in page
    admin.send("/schemes/2/activate", {"replaces": "1"})
    assert "/schemes/2" in executive.get("/schemes").text
    assert 'href="/schemes/1"' not in executive.get("/schemes").text
    assert 'href="/schemes/1"' in executive.get("/schemes?state=historic").text
    assert "None here" in executive.get("/schemes?state=retired").text


def test_a_version_shows_what_differs_from_the_one_before(admin: Visitor, executive: Visitor) -> None:
    admin.send("/schemes", FORM)
    admin.send("/schemes/1/edit", FORM | {"limit_rewards": "9", "conditions-2-threshold": "80.00"})
    page = executive.get("/schemes/2").text
    assert "<del>100.00</del>" in page
    assert "<ins>80.00</ins>" in page
    assert "<del>5</del>" in page
    assert "The terms are the same." in executive.get("/schemes/2?compare=2").text
    assert "<ins>100.00</ins>" in executive.get("/schemes/1?compare=2").text
    assert executive.get("/schemes/2?compare=77").status_code == 404
    assert executive.get("/schemes/77").status_code == 404


def test_executives_and_support_read_but_are_offered_no_change(
    admin: Visitor, executive: Visitor, support: Visitor
) -> None:
    admin.send("/schemes", FORM)
    for reader in (executive, support):
        page = reader.get("/schemes/1").text
        for action in ("activate", "retire", "edit", "/budget"):
            assert f"/schemes/1/{action.strip('/')}" not in page
        assert reader.get("/schemes/1/edit").status_code == 403
        assert reader.get("/schemes/new").status_code == 403
        for action in ("activate", "retire", "edit", "budget"):
            assert reader.send(f"/schemes/1/{action}").status_code == 403, action
        assert reader.send("/schemes", FORM).status_code == 403
