"""The overview: dated figures that lead to their lists, and whether the pipeline lives."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import event, update

from portal.metrics import service as metrics
from portal.referrals.models import ReferralScheme
from portal.referrals.progress.models import ReferralProgress
from portal.referrals.schemes.models import SchemeVersion
from portal.referrals.schemes.queries import PAGE_SIZE, list_once_active
from portal.referrals.states import ReferralStatus
from portal.runtime import Runtime
from tests.orders.scenes import Scene, plain_order
from tests.referrals import scenes as referrals
from tests.web.portal import Visitor


@pytest.fixture
def shown(runtime: Runtime) -> Scene:
    """Give the portal's own database, in which orders can be brought to any place."""
    return Scene(runtime.database, runtime.cipher, runtime.definitions, runtime.clock())


def beat(runtime: Runtime, job: str, seconds_ago: float = 0, **counters: object) -> None:
    now = runtime.clock() - timedelta(seconds=seconds_ago)
    with runtime.writer() as session:
        metrics.beat(
            session, job=job, instance="a:1", pid=1, started_at=now, now=now, counters=dict(counters)
        )


def tile(page: str, name: str) -> str:
    return page.split(f'id="tile-{name}"')[1].split("</a>", maxsplit=1)[0]


def test_every_figure_is_dated_and_leads_to_its_list(shown: Scene, executive: Visitor) -> None:
    stopped, _ = shown.receive(plain_order("A-1"), plain_order("A-2"))
    shown.to_exception(stopped)
    shown.keep_waiting("in/a.xml")
    page = executive.get("/").text
    for name, value, address in (
        ("received", "2", "/orders?received_from="),
        ("completed", "0", "/orders?status=completed"),
        ("processing", "1", "/orders?status=processing"),
        ("exceptions", "1", "/exceptions"),
        ("oldest", "s", "/exceptions"),
        ("waiting", "1", "/waiting"),
    ):
        part = tile(page, name)
        assert "as of <time" in part, name
        assert f'href="{address}' in part, name
        assert value in part.split('wb-tile-value">')[1].split("<")[0], name


def test_the_tiles_of_referrals_tell_what_came_what_it_cost_and_what_needs_a_person(
    runtime: Runtime, executive: Visitor
) -> None:
    with runtime.writer() as session:
        limited = referrals.scheme(session, total="100.00")
        other = referrals.scheme(session)
        session.execute(update(ReferralScheme).where(ReferralScheme.id == other).values(product="cards"))
        session.execute(update(SchemeVersion).where(SchemeVersion.scheme_id == other).values(currency="EUR"))
    now, day = runtime.clock(), timedelta(days=1)
    for number, (scheme_id, at) in enumerate(
        ((limited, now), (limited, now), (other, now), (limited, now - 7 * day), (limited, now - 6 * day))
    ):
        scene = referrals.Scene(runtime.database, scheme_id, runtime.cipher, at, new_id=runtime.new_id)
        scene.convert(number + 1, referrer=100 + number)
    flagged = referrals.Scene(runtime.database, limited, runtime.cipher, now, new_id=runtime.new_id)
    flagged.sign_up(100, "self@example.com")
    flagged.sign_up(101, "s.elf@gmail.com", token=flagged.invite("s.elf@gmail.com", referrer=100))
    flagged.sign_up(102, "self@gmail.com", token=flagged.invite("self@gmail.com", referrer=100))
    with runtime.writer() as session:
        expired = update(ReferralProgress).where(ReferralProgress.user_id == 102)
        session.execute(expired.values(status=ReferralStatus.EXPIRED, ended_at=now))
    page = executive.get("/").text
    assert 'wb-tile-value">3</span>' in tile(page, "converted")
    assert "1 last " in tile(page, "converted")
    assert [amount in tile(page, "earned") for amount in (">30.60 <abbr>USD", ">15.30 <abbr>EUR")] == [
        True
    ] * 2
    assert ">15.30 <abbr>USD" in tile(page, "earned").split("wb-tile-note")[1]
    assert ">38.80 <abbr>USD" in tile(page, "budget")
    assert f'href="/schemes/{limited}' in tile(page, "budget")
    assert 'wb-tile-value">2</span>' in tile(page, "attention")
    for name in ("converted", "earned", "budget", "attention"):
        assert "as of <time" in tile(page, name), name


def test_without_a_budget_nothing_is_said_to_run_out(runtime: Runtime, executive: Visitor) -> None:
    with runtime.writer() as session:
        referrals.scheme(session)
    assert "no limit" in tile(executive.get("/").text, "budget")


def test_of_more_budgets_than_a_page_of_schemes_the_scarcest_is_told(
    runtime: Runtime, executive: Visitor
) -> None:
    with runtime.writer() as session:
        scarcest = referrals.scheme(session, total="1.00")
        for _ in range(PAGE_SIZE):
            referrals.scheme(session, total="1000.00")
    assert f'href="/schemes/{scarcest}#budget"' in tile(executive.get("/").text, "budget")
    assert executive.get("/referrals").text.count('<h3 class="card-title">') == PAGE_SIZE + 1
    with runtime.reader() as session:
        cut = list_once_active(session, runtime.clock(), limit=PAGE_SIZE)
        assert (len(cut.schemes), cut.complete) == (PAGE_SIZE, False)


def test_the_funnel_of_referrals_is_told_once_and_not_with_every_refresh(
    runtime: Runtime, executive: Visitor
) -> None:
    assert "Nobody was invited" in executive.get("/").text
    with runtime.writer() as session:
        scheme_id = referrals.scheme(session)
    scene = referrals.Scene(runtime.database, scheme_id, runtime.cipher, runtime.clock())
    scene.now -= timedelta(days=27)
    scene.convert(1)
    scene.now -= timedelta(days=2)
    scene.invite("early@example.com")
    page = executive.get("/").text.partition('id="funnel"')[2]
    counts = [part.partition("<")[0] for part in page.split('wb-funnel-count">')[1:]]
    assert counts == ["1"] * 5
    assert 'href="/referrals?days=28#funnel"' in page
    said: list[str] = []
    engine = runtime.database.reader_engine
    event.listen(engine, "before_cursor_execute", lambda *told: said.append(str(told[2])))
    assert "wb-funnel" not in executive.get("/", headers={"HX-Request": "true"}).text
    assert said
    assert not [one for one in said if "FROM invitation" in one]


def test_everybody_who_is_logged_in_may_look(executive: Visitor, support: Visitor, admin: Visitor) -> None:
    for person in (executive, support, admin):
        for path in ("/", "/orders", "/exceptions", "/waiting"):
            assert person.get(path).status_code == 200, path


def test_nobody_else_may(visitor: Visitor) -> None:
    for path in ("/", "/orders", "/orders/A", "/exceptions", "/waiting", "/processes/1/drawing.bpmn"):
        assert visitor.get(path).status_code == 303, path


def test_htmx_is_given_the_figures_alone(executive: Visitor) -> None:
    fragment = executive.get("/", headers={"HX-Request": "true"})
    assert "<html" not in fragment.text
    assert 'id="tile-received"' in fragment.text
    assert "HX-Request" in fragment.headers["Vary"]


def test_a_pipeline_without_jobs_says_that_nothing_is_processed(executive: Visitor) -> None:
    assert "No job has given a sign of life" in executive.get("/").text


def test_jobs_are_alive_or_silent_with_what_they_have_done(runtime: Runtime, executive: Visitor) -> None:
    beat(runtime, "reader", received=12)
    beat(runtime, "transformer", seconds_ago=600)
    page = executive.get("/").text
    assert "1 instance alive" in page
    assert "received <strong>12</strong>" in page
    assert "Silent" in page


def test_a_system_that_is_held_back_is_named_on_the_overview_and_at_its_steps(
    runtime: Runtime, shown: Scene, executive: Visitor
) -> None:
    shown.receive(plain_order("A-1"))
    held_back = "Held back: Enterprise order management does not answer"
    assert held_back not in executive.get("/orders/A-1").text
    beat(runtime, "runner", breakers={"eom": "open"})
    assert "Enterprise order management does not answer" in executive.get("/").text
    assert held_back in executive.get("/orders/A-1").text
