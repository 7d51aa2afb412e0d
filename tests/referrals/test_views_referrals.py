"""The entrance to referrals: what is found, how far people came, and when budgets run out."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import delete, update

from portal.crypto import new_link_token
from portal.referrals.invitations.corrections import send_again
from portal.referrals.invitations.links import record_click
from portal.referrals.invitations.models import Invitation
from portal.referrals.invitations.service import Post
from portal.referrals.progress.expiry import expire_referrals
from portal.referrals.progress.queries_funnel import MOST_INVITATIONS, Funnel, read_funnel
from portal.referrals.rewards.models import RewardGrant
from portal.referrals.schemes.models import SchemeVersion
from portal.runtime import Runtime
from portal.work import Work
from tests.referrals.crowds import add_invitations
from tests.referrals.scenes import LISTENER, Scene, scheme
from tests.web.portal import Visitor


@pytest.fixture
def shown(runtime: Runtime) -> Scene:
    """Give the portal's database with one scheme and a budget of 100 USD."""
    with runtime.writer() as session:
        scheme_id = scheme(session, total="100.00")
    return Scene(runtime.database, scheme_id, runtime.cipher, runtime.clock() - timedelta(hours=1))


def funnel(scene: Scene, *scheme_ids: int) -> Funnel:
    since, until = scene.now - timedelta(days=1), scene.now + timedelta(days=1)
    with scene.database.writer() as session:
        return read_funnel(session, since=since, until=until, scheme_ids=scheme_ids or None)


def test_the_funnel_counts_how_far_each_who_was_invited_has_come(shown: Scene) -> None:
    shown.invite("a@example.com")
    clicked = shown.invite("b@example.com")
    with shown.database.writer() as session:
        record_click(session, clicked, shown.now)
    shown.sign_up(1, "c@example.com", token=shown.invite("c@example.com"))
    shown.sign_up(2, "d@example.com", token=shown.invite("d@example.com"))
    shown.verify(2)
    shown.convert(3)
    found = funnel(shown)
    assert [stage.count for stage in found.stages] == [5, 4, 3, 2, 1]
    assert (found.stages[4].of_invited, found.stages[4].of_before) == (0.2, 0.5)
    assert (found.without_click, found.complete) == (3, True)


def test_who_expired_still_counts_as_far_as_they_came(shown: Scene) -> None:
    shown.sign_up(1, "c@example.com", token=shown.invite("c@example.com"))
    shown.sign_up(2, "d@example.com", token=shown.invite("d@example.com"))
    shown.verify(2)
    with shown.database.writer() as session:
        expire_referrals(session, until=shown.now + timedelta(days=99), limit=9, recorder=shown.recorder)
    assert [stage.count for stage in funnel(shown).stages] == [2, 2, 2, 1, 0]


def test_the_funnel_is_of_a_period_and_of_a_scheme(runtime: Runtime, shown: Scene, support: Visitor) -> None:
    with runtime.writer() as session:
        other = scheme(session)
    shown.invite("a@example.com")
    shown.invite("b@example.com", scheme_id=other)
    shown.now -= timedelta(days=10)
    shown.invite("c@example.com")
    shown.now += timedelta(days=10)
    assert funnel(shown).stages[0].count == 2
    assert funnel(shown, other).stages[0].count == 1
    assert '<strong class="wb-funnel-count">3</strong>' in support.get("/referrals?days=28").text
    assert '<strong class="wb-funnel-count">2</strong>' in support.get("/referrals?days=7").text
    of_other = support.get(f"/referrals?days=7&scheme={other}").text
    assert '<strong class="wb-funnel-count">1</strong>' in of_other


def test_the_funnel_of_a_quiet_scheme_beside_a_busy_one_is_whole(runtime: Runtime, shown: Scene) -> None:
    with runtime.writer() as session:
        quiet = scheme(session)
    shown.invite("a@example.com", scheme_id=quiet)
    with runtime.writer() as session:
        at = shown.now + timedelta(minutes=1)
        add_invitations(session, MOST_INVITATIONS, scheme_id=shown.scheme_id, at=at)
    of_quiet = funnel(shown, quiet)
    assert (of_quiet.stages[0].count, of_quiet.complete) == (1, True)
    whole, cut = funnel(shown, shown.scheme_id), funnel(shown)
    assert (whole.stages[0].count, whole.complete) == (MOST_INVITATIONS, True)
    assert (cut.stages[0].count, cut.complete, cut.since) == (MOST_INVITATIONS, False, at)


def test_a_friend_whose_address_was_corrected_is_counted_once(shown: Scene) -> None:
    shown.invite("an@example.com")
    (wrong,) = shown.all(Invitation)
    token = new_link_token()
    post = Post(shown.cipher, 9, shown.new_id, lambda: token)
    with shown.database.writer() as session:
        session.execute(delete(Work))
        send_again(session, wrong.id, "ana@example.com", post, actor=LISTENER, now=shown.now)
    assert [stage.count for stage in funnel(shown).stages] == [1, 0, 0, 0, 0]
    shown.sign_up(1, "ana@example.com", token=token)
    assert [stage.count for stage in funnel(shown).stages] == [1, 1, 1, 0, 0]


def test_the_budget_runs_out_at_the_pace_of_the_last_weeks(
    runtime: Runtime, shown: Scene, executive: Visitor
) -> None:
    shown.now = runtime.clock() - timedelta(days=10)
    with runtime.writer() as session:
        session.execute(update(SchemeVersion).values(created_at=shown.now))
    shown.convert(1)
    shown.convert(2)
    page = executive.get("/referrals").text
    # 30.60 in 10 days; the 69.40 that are left last for 22.7 days.
    assert ">30.60 <abbr>USD" in page
    assert ">69.40 <abbr>USD" in page
    assert f"{runtime.clock() + timedelta(days=22.68):%Y-%m-%d}" in page
    with runtime.writer() as session:
        session.execute(update(RewardGrant).values(earned_at=runtime.clock() - timedelta(days=40)))
    assert "not at this pace" in executive.get("/referrals").text


def test_a_budget_without_room_for_another_referral_has_run_out_and_tells_what_waits(
    runtime: Runtime, executive: Visitor
) -> None:
    with runtime.writer() as session:
        scheme_id = scheme(session, total="25.00")
    shown = Scene(runtime.database, scheme_id, runtime.cipher, runtime.clock())
    shown.convert(1)
    page = executive.get("/referrals").text
    # 9.70 are left, which both rewards of another referral, 15.30, do not fit into.
    assert "it has run out" in page
    assert "Waits for room" not in page
    shown.convert(2)
    page = executive.get("/referrals").text
    assert "2 pending rewards" in page
    assert page.count('value="15.30"') == 4


def test_a_budget_that_is_used_up_says_so(runtime: Runtime, executive: Visitor) -> None:
    with runtime.writer() as session:
        scheme_id = scheme(session, total="15.30")
    Scene(runtime.database, scheme_id, runtime.cipher, runtime.clock()).convert(1)
    assert "it has run out" in executive.get("/referrals").text


def test_before_anything_happened_the_page_says_so(executive: Visitor) -> None:
    page = executive.get("/referrals?days=never&scheme=9").text
    assert "Nobody was invited in this period" in page
    assert "No scheme has been active yet" in page
