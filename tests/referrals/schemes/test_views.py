"""Schemes as everybody reads them: in use, historic and retired, with what differs between versions."""

from __future__ import annotations

import dataclasses
from datetime import timedelta
from decimal import Decimal

import pytest
from sqlalchemy import update

from portal.referrals.schemes.models import SchemeBudget, SchemeVersion
from portal.referrals.schemes.proposals import Ask, SchemeTerms
from portal.referrals.schemes.queries import PAGE_SIZE
from portal.referrals.schemes.service import activate_scheme, create_scheme, retire_scheme, update_scheme
from portal.runtime import Runtime
from tests.referrals.scheme_pages import FORM, add_parts
from tests.referrals.scheme_scene import ADMIN, NOW
from tests.web.portal import Visitor

TERMS = SchemeTerms(
    name="Spring",
    product="loans",
    currency="USD",
    expiry_period_type="day",
    expiry_period_length=30,
    limit_rewards=5,
    recruit_reward_id=2,
    referrer_reward_id=1,
    conditions=(Ask(1, {}),),
)


@pytest.fixture(autouse=True)
def _parts(runtime: Runtime) -> None:
    with runtime.writer() as session:
        add_parts(session)


def test_without_schemes_the_page_says_what_is_needed(executive: Visitor) -> None:
    assert "A scheme needs rewards and conditions first" in executive.get("/schemes").text


def test_drafts_active_and_historic_versions_are_told_apart(admin: Visitor, executive: Visitor) -> None:
    admin.send("/schemes", FORM)
    admin.send("/schemes/1/activate")
    admin.send("/schemes/1/edit", FORM | {"limit_rewards": "9"})
    assert 'data-status="active"' in executive.get("/schemes").text
    assert 'data-status="draft"' in executive.get("/schemes?state=draft").text
    admin.send("/schemes/2/activate", {"replaces": "1"})
    assert "/schemes/2" in executive.get("/schemes").text
    assert 'href="/schemes/1"' not in executive.get("/schemes").text
    assert 'href="/schemes/1"' in executive.get("/schemes?state=historic").text
    assert "No scheme is retired" in executive.get("/schemes?state=retired").text
    assert executive.get("/schemes?state=lost").status_code == 422


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


def test_every_draft_is_reached_by_paging(runtime: Runtime, executive: Visitor) -> None:
    with runtime.writer() as session:
        made = [
            create_scheme(session, TERMS, budget=None, actor=ADMIN, now=NOW) for _ in range(PAGE_SIZE + 1)
        ]
    first, second = (executive.get(f"/schemes?state=draft{key}").text for key in ("", f"&older={made[1]}"))
    assert f'href="/schemes/{made[-1]}"' in first
    assert f'href="/schemes?state=draft&amp;older={made[1]}"' in first
    assert f'href="/schemes/{made[0]}"' not in first
    assert f'href="/schemes/{made[0]}"' in second
    assert f'href="/schemes?state=draft&amp;newer={made[0]}"' in second


def test_many_versions_of_one_scheme_hide_no_other_and_page_by_key(
    runtime: Runtime, executive: Visitor
) -> None:
    with runtime.writer() as session:
        replaced, busy = (create_scheme(session, TERMS, budget=None, actor=ADMIN, now=NOW) for _ in "ab")
        activate_scheme(session, replaced, replaces=None, actor=ADMIN, now=NOW)
        activate_scheme(session, busy, replaces=replaced, actor=ADMIN, now=NOW)
        newest = busy
        for limit in range(100, 101 + PAGE_SIZE):
            terms = dataclasses.replace(TERMS, limit_rewards=limit)
            newest = update_scheme(session, newest, terms, actor=ADMIN, now=NOW)
        activate_scheme(session, newest, replaces=busy, actor=ADMIN, now=NOW)
        activate_scheme(session, busy, replaces=newest, actor=ADMIN, now=NOW)
    assert budgets_shown(executive) == [busy, replaced]
    page = executive.get(f"/schemes/{busy}").text
    assert f'href="/schemes/{newest}">there is a newer one' in page
    older = f"/schemes/{busy}?below={newest - PAGE_SIZE + 1}#versions"
    assert f'href="{older}"' in page
    assert f'href="/schemes/{busy}" aria-current="page"' in executive.get(older).text


def test_a_retired_scheme_has_its_budget_shown_while_its_referrals_may_earn(
    runtime: Runtime, executive: Visitor
) -> None:
    now = runtime.clock()
    with runtime.writer() as session:
        scheme_id = create_scheme(session, TERMS, budget=Decimal(100), actor=ADMIN, now=now)
        never_active = create_scheme(session, TERMS, budget=None, actor=ADMIN, now=now)
        activate_scheme(session, scheme_id, replaces=None, actor=ADMIN, now=now)
        for one in (scheme_id, never_active):
            retire_scheme(session, one, actor=ADMIN, now=now)
    assert budgets_shown(executive) == [scheme_id]
    with runtime.writer() as session:
        session.execute(update(SchemeVersion).values(retired_at=now - timedelta(days=400)))
    assert budgets_shown(executive) == []
    with runtime.writer() as session:
        session.execute(update(SchemeBudget).values(committed=1))
    assert scheme_id in budgets_shown(executive)


def test_the_first_version_is_compared_with_the_newest_when_nothing_is_active(
    admin: Visitor, executive: Visitor
) -> None:
    admin.send("/schemes", FORM)
    assert 'id="differences"' not in executive.get("/schemes/1").text
    admin.send("/schemes/1/edit", FORM | {"limit_rewards": "9"})
    admin.send("/schemes/2/edit", FORM | {"limit_rewards": "8"})
    page = executive.get("/schemes/1").text
    assert "<del>8</del>" in page
    assert "<ins>5</ins>" in page


def test_what_was_done_tells_the_budget_before_and_after_and_each_changed_term(
    admin: Visitor, executive: Visitor
) -> None:
    admin.send("/schemes", FORM)
    admin.send("/schemes/1/budget", {"budget": "1200.00"})
    admin.send("/schemes/1/budget", {"budget": ""})
    admin.send("/schemes/1/edit", FORM | {"limit_rewards": "9", "recruit_reward_id": "1"})
    done = " ".join(executive.get("/schemes/1").text.partition('id="history-title"')[2].split())
    assert "<dt>Before</dt> <dd>1000.00 USD </dd>" in done.replace("</dd>", " </dd>")
    assert "1200.00 USD" in done
    assert "without limit" in done
    assert '<a href="/schemes/2">2</a>' in done
    made = executive.get("/schemes/2").text.partition('id="history-title"')[2]
    assert "<del>5</del> <ins>9</ins>" in made
    assert "<del>five (5.00)</del> <ins>ten (10.00)</ins>" in made


def budgets_shown(reader: Visitor) -> list[int]:
    """Return the versions by which the page of referrals shows budgets, in order."""
    budgets = reader.get("/referrals").text.partition('id="budgets-title"')[2]
    return [int(part.split("#")[0]) for part in budgets.split('href="/schemes/')[1:]]
