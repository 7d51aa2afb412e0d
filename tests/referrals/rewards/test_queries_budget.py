"""When a budget runs out is told by the scheme's own pace, and by what another referral would cost."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
from sqlalchemy import update

from portal.db import Database
from portal.referrals.rewards.models import RewardGrant
from portal.referrals.rewards.queries_budget import MOST_GRANTS, Pace, read_budgets, runs_out
from portal.referrals.schemes.models import SchemeVersion
from tests.referrals.crowds import add_crowd
from tests.referrals.scenes import NOW, Scene, scheme


def test_a_slow_scheme_beside_a_busy_one_runs_out_at_its_own_pace(database: Database, scene: Scene) -> None:
    with database.writer() as session:
        slow = scheme(session, total="100.00")
        session.execute(update(SchemeVersion).values(created_at=NOW - timedelta(days=10)))
        add_crowd(session, 10, scheme_id=slow, at=NOW - timedelta(days=5), first=1)
        add_crowd(session, MOST_GRANTS, scheme_id=scene.scheme_id, at=NOW - timedelta(days=1))
    with database.reader() as session:
        found = read_budgets(session, [scene.scheme_id, slow], NOW)
    assert found[slow].pace == Pace(Decimal("10.00"), Decimal(10))
    assert found[slow].runs_out_at == NOW + timedelta(days=100)
    # Where more was earned than is read, the pace is that of the days that were read.
    assert found[scene.scheme_id].pace == Pace(Decimal(MOST_GRANTS), Decimal(1))


@pytest.mark.parametrize(
    ("first", "second", "cost"),
    [("historic", "draft", "15.30"), ("active", "historic", "15.30"), ("historic", "active", "35.00")],
)
def test_what_another_referral_costs_is_told_by_the_active_version(
    database: Database, scene: Scene, first: str, second: str, cost: str
) -> None:
    with database.writer() as session:
        dearer = scheme(session, rewards=("20.00", "15.00"))
        for scheme_id, version, state in ((scene.scheme_id, 1, first), (dearer, 2, second)):
            changed = update(SchemeVersion).where(SchemeVersion.scheme_id == scheme_id)
            session.execute(changed.values(family_id=scene.scheme_id, version=version, state=state))
    with database.reader() as session:
        found = read_budgets(session, [scene.scheme_id], NOW)
    assert found[scene.scheme_id].of_a_referral == Decimal(cost)


def test_a_budget_runs_out_when_another_referral_finds_no_room() -> None:
    pace, cost = Pace(Decimal(70), Decimal(7)), Decimal(35)
    assert runs_out(Decimal("34.99"), cost, pace, NOW) == NOW
    assert runs_out(Decimal(35), cost, pace, NOW) == NOW + timedelta(days=3.5)
    assert runs_out(Decimal(0), Decimal(0), pace, NOW) == NOW
    assert runs_out(Decimal(35), cost, Pace(Decimal(0), Decimal(7)), NOW) is None


def test_only_what_waits_for_room_in_this_budget_is_told(database: Database, scene: Scene) -> None:
    with database.writer() as session:
        other = scheme(session)
        add_crowd(session, 3, scheme_id=scene.scheme_id, at=NOW)
        add_crowd(session, 1, scheme_id=other, at=NOW, first=2_000_000)
        session.execute(update(RewardGrant).values(status="pending", code="budget-exhausted"))
        in_review = RewardGrant.referral_id == 1_000_000
        session.execute(update(RewardGrant).where(in_review).values(code="in-review"))
        cancelled = RewardGrant.referral_id == 1_000_001
        session.execute(update(RewardGrant).where(cancelled).values(status="cancelled"))
    with database.reader() as session:
        found = read_budgets(session, [scene.scheme_id, other], NOW)
    assert [(one.waiting.rewards, one.waiting.amount) for one in found.values()] == [(1, Decimal(1))] * 2
