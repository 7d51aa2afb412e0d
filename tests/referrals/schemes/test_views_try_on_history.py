"""A draft tried on real rows, beside the scheme that is active; no row is changed."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta

import pytest
from sqlalchemy import event, update

from portal.referrals.models import ReferralScheme, SchemeCondition
from portal.referrals.progress.models import ReferralProgress
from portal.referrals.progress.review import deny
from portal.referrals.schemes.models import ActiveScheme, ReferrerUsage
from portal.referrals.schemes.queries import get_scheme
from portal.referrals.schemes.queries_history import MOST_REFERRALS, earned_before, read_history, tried_terms
from portal.referrals.schemes.try_on_history import Result, try_on_history
from portal.referrals.schemes.views_try_on_history import MOST_LISTED
from portal.runtime import Runtime
from tests.referrals.crowds import add_crowd
from tests.referrals.scenes import REFERRER, Scene, scheme
from tests.web.portal import Visitor

ASKED = '{"threshold": "100.00", "currency": "USD"}'


@pytest.fixture
def shown(runtime: Runtime) -> Scene:
    """Give an active scheme of all conditions, under which referrals began 40 days ago."""
    with runtime.writer() as session:
        scheme_id = scheme(session, period=("days", 60))
        session.execute(update(SchemeCondition).values(data=ASKED))
        session.add(ActiveScheme(product="loans", scheme_id=scheme_id))
    return Scene(runtime.database, scheme_id, runtime.cipher, runtime.clock() - timedelta(days=40))


def draft(runtime: Runtime, *event_types: str, period: int = 60, rewards: tuple[str, str]) -> int:
    with runtime.writer() as session:
        scheme_id = scheme(session, *event_types, period=("days", period), rewards=rewards)
        session.execute(update(SchemeCondition).values(data=ASKED))
    return scheme_id


def test_a_draft_costs_more_than_the_live_scheme_by_what_it_would_have_given(
    runtime: Runtime, shown: Scene, executive: Visitor
) -> None:
    shown.convert(1)
    shown.sign_up(2, "b@example.com", token=shown.invite("b@example.com"))
    shown.verify(2)
    shown.sign_up(3, "c@example.com", token=shown.invite("c@example.com"))
    without_spend = draft(runtime, "sign-up", "verification", rewards=("20.00", "8.00"))
    page = executive.get(f"/schemes/{without_spend}/try").text
    # Two of three would have earned 28.00 each; the live scheme gave one 15.30.
    assert ">56.00 <abbr>USD" in page
    assert ">15.30 <abbr>USD" in page
    assert ">40.70 <abbr>USD" in page
    assert "3 referrals of loans" in page
    assert "What this cannot know" in page


def row_of(page: str, referral_id: int) -> str:
    return page.split(f'id="earner-{referral_id}"')[1].split("</tr>", maxsplit=1)[0]


def test_who_would_have_earned_is_listed_and_leads_to_the_user(
    runtime: Runtime, shown: Scene, executive: Visitor
) -> None:
    both = shown.convert(1)
    shown.sign_up(2, "b@example.com", token=shown.invite("b@example.com"))
    shown.verify(2)
    began = shown.now - timedelta(days=9)
    only_live = shown.convert(3)
    with runtime.writer() as session:
        late = update(ReferralProgress).where(ReferralProgress.referral_id == only_live)
        session.execute(late.values(started_at=began))
    without_spend = draft(runtime, "sign-up", "verification", period=5, rewards=("20.00", "8.00"))
    page = executive.get(f"/schemes/{without_spend}/try").text
    assert "3 referrals, within limit and budget" in page
    assert "1 would have earned under this scheme only, 1 under the live one only" in page
    assert "under both" in row_of(page, both)
    assert 'href="/referrals/users/1#referral-1"' in row_of(page, both)
    assert f'href="/referrals/users/{REFERRER}"' in row_of(page, both)
    assert 'value="8.00"' in row_of(page, both)
    assert 'value="5.20"' in row_of(page, both)
    assert "Only this scheme" in row_of(page, shown.progress(2).referral_id)
    assert "Only the live one" in row_of(page, only_live)


def test_of_many_who_would_have_earned_the_newest_are_listed(
    runtime: Runtime, shown: Scene, executive: Visitor
) -> None:
    with runtime.writer() as session:
        add_crowd(session, MOST_LISTED + 1, scheme_id=shown.scheme_id, at=runtime.clock() - timedelta(days=1))
    only_sign_ups = draft(runtime, "sign-up", rewards=("1.00", "2.00"))
    page = executive.get(f"/schemes/{only_sign_ups}/try").text
    assert f"The newest {MOST_LISTED} of {MOST_LISTED + 1} referrals" in page
    assert page.count('<tr id="earner-') == MOST_LISTED
    assert 'id="earner-1000000"' not in page


def test_rewards_of_before_count_for_the_limit_also_those_of_the_old_service(
    runtime: Runtime, shown: Scene, executive: Visitor
) -> None:
    limited = update(ReferralScheme).where(ReferralScheme.id == shown.scheme_id).values(limit_rewards=4)
    with runtime.writer() as session:
        session.execute(limited)
    begin, shown.now = shown.now, shown.now - timedelta(days=80)
    shown.convert(1)
    shown.now = begin
    denied, *_ = (shown.convert(user_id) for user_id in (2, 3, 4))
    with runtime.writer() as session:
        deny(session, denied, "Abuse.", shown.recorder)
    with runtime.writer() as session:
        session.execute(update(ReferrerUsage).values(rewards=ReferrerUsage.rewards + 2))
        now = runtime.clock()
        history = read_history(session, "loans", since=now - timedelta(days=90), now=now)
        # One by a grant, two as of the old service; those of the last 90 days are led through again.
        assert earned_before(session, get_scheme(session, shown.scheme_id), history) == {REFERRER: 3}
    page = executive.get(f"/schemes/{shown.scheme_id}/try").text
    assert "referrer over the limit" in row_of(page, shown.progress(4).referral_id)
    assert "referrer over the limit" not in row_of(page, shown.progress(3).referral_id)


def test_what_really_happened_is_read_as_it_was(runtime: Runtime, shown: Scene) -> None:
    shown.convert(1)
    shown.sign_up(2, "b@example.com", token=shown.invite("b@example.com"))
    denied = shown.convert(3)
    with runtime.writer() as session:
        deny(session, denied, "Abuse.", shown.recorder)
        now = runtime.clock()
        history = read_history(session, "loans", since=now - timedelta(days=90), now=now)
        live = try_on_history(history.past, tried_terms(get_scheme(session, shown.scheme_id)), now)
    assert history.total == len(history.past) == 3
    assert live.results == {Result.EARNS: 1, Result.STILL_OPEN: 1, Result.DENIED: 1}


def test_only_the_product_and_the_last_90_days_count(
    runtime: Runtime, shown: Scene, executive: Visitor
) -> None:
    shown.now -= timedelta(days=60)
    shown.convert(1)
    assert "Nothing to try it on" in executive.get(f"/schemes/{shown.scheme_id}/try").text


def other_product(runtime: Runtime) -> int:
    with runtime.writer() as session:
        scheme_id = scheme(session)
        session.execute(update(ReferralScheme).where(ReferralScheme.id == scheme_id).values(product="cards"))
    return scheme_id


def test_a_quiet_product_beside_a_busy_one_is_tried_on_all_that_it_has(
    runtime: Runtime, shown: Scene, executive: Visitor
) -> None:
    shown.convert(1)
    busy = other_product(runtime)
    with runtime.writer() as session:
        add_crowd(session, MOST_REFERRALS, scheme_id=busy, at=runtime.clock() - timedelta(days=1))
    page = executive.get(f"/schemes/{shown.scheme_id}/try").text
    assert "1 referral of loans" in page
    assert "estimates" not in page


def test_of_too_many_referrals_those_of_some_referrers_tell_an_estimate_for_all(
    runtime: Runtime, shown: Scene, executive: Visitor
) -> None:
    number, now = MOST_REFERRALS + 4_000, runtime.clock()
    with runtime.writer() as session:
        for third in range(3):
            at, first = now - timedelta(days=1 + 30 * third), 1_000_000 * (1 + third)
            add_crowd(session, number // 3, scheme_id=shown.scheme_id, at=at, first=first, each=5)
    with runtime.reader() as session:
        history = read_history(session, "loans", since=now - timedelta(days=90), now=now)
    assert history.total == number
    assert 0.95 * MOST_REFERRALS < len(history.past) <= MOST_REFERRALS
    assert set(Counter(one.referrer_user_id for one in history.past).values()) == {5}
    begun = Counter(one.started_at for one in history.past)
    assert all(0.3 < count / len(history.past) < 0.37 for count in begun.values())
    only_sign_ups = draft(runtime, "sign-up", rewards=("1.00", "2.00"))
    page = executive.get(f"/schemes/{only_sign_ups}/try").text
    assert "All figures are estimates" in page
    assert "of the 24,000 referrals" in page
    assert '≈</abbr> <data class="wb-money" value="72000.00">' in page


def test_trying_writes_nothing(runtime: Runtime, shown: Scene, admin: Visitor) -> None:
    shown.convert(1)
    other = draft(runtime, "sign-up", rewards=("1.00", "1.00"))
    admin.get("/schemes")
    said: list[str] = []

    def listen(*args: object) -> None:
        said.append(str(args[2]).split()[0].upper())

    engines = {runtime.database.writer_engine, runtime.database.reader_engine}
    for engine in engines:
        event.listen(engine, "before_cursor_execute", listen)
    assert admin.get(f"/schemes/{other}/try").status_code == 200
    for engine in engines:
        event.remove(engine, "before_cursor_execute", listen)
    assert "SELECT" in said
    assert not {"INSERT", "UPDATE", "DELETE"} & set(said)


def test_the_active_scheme_has_nothing_to_be_compared_with(shown: Scene, executive: Visitor) -> None:
    shown.convert(1)
    page = executive.get(f"/schemes/{shown.scheme_id}/try").text
    assert "there is nothing to compare it with" in page
    assert "Difference" not in page
