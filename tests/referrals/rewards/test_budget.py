"""Money of a budget goes one way, in conditional updates that never let it be overdrawn."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import pytest

from portal.db import Database
from portal.referrals.rewards import budget
from portal.referrals.schemes.models import SchemeBudget

FAMILY = 3
CENT = Decimal("0.01")


def parts(database: Database) -> list[str]:
    """Return what is reserved, committed and spent."""
    with database.writer() as session:
        row = session.get_one(SchemeBudget, FAMILY)
        return [str(amount) for amount in (row.reserved, row.committed, row.spent)]


def make(database: Database, total: str | None) -> None:
    with database.writer() as session:
        zero = Decimal(0)
        amount = None if total is None else Decimal(total)
        session.add(SchemeBudget(family_id=FAMILY, total=amount, reserved=zero, committed=zero, spent=zero))


def reserve(database: Database, amount: str) -> bool:
    with database.writer() as session:
        return budget.reserve(session, FAMILY, Decimal(amount))


def test_the_last_cent_can_be_reserved_and_no_more(database: Database) -> None:
    make(database, "0.30")
    assert [reserve(database, amount) for amount in ("0.10", "0.20", "0.01")] == [True, True, False]
    assert parts(database) == ["0.30", "0.00", "0.00"]


def test_what_is_committed_and_spent_counts_against_the_total(database: Database) -> None:
    make(database, "3.00")
    reserve(database, "1.00")
    with database.writer() as session:
        budget.move(session, FAMILY, Decimal("1.00"), "reserved", "committed")
    reserve(database, "1.00")
    with database.writer() as session:
        budget.move(session, FAMILY, Decimal("1.00"), "committed", "spent")
    assert parts(database) == ["1.00", "0.00", "1.00"]
    assert [reserve(database, "1.01"), reserve(database, "1.00")] == [False, True]


def test_what_is_released_can_be_reserved_again(database: Database) -> None:
    make(database, "1.00")
    reserve(database, "1.00")
    with database.writer() as session:
        budget.release(session, FAMILY, Decimal("0.40"), "reserved")
    assert [reserve(database, "0.41"), reserve(database, "0.40")] == [False, True]


def test_more_than_there_is_cannot_be_moved_or_released(database: Database) -> None:
    make(database, None)
    reserve(database, "1.00")
    with pytest.raises(RuntimeError), database.writer() as session:
        budget.move(session, FAMILY, Decimal("1.01"), "reserved", "committed")
    with pytest.raises(RuntimeError), database.writer() as session:
        budget.release(session, FAMILY, CENT, "committed")
    assert parts(database) == ["1.00", "0.00", "0.00"]


def test_a_scheme_without_a_budget_has_one_without_a_total(database: Database) -> None:
    assert reserve(database, "999999999.99")
    assert parts(database)[0] == "999999999.99"


def test_a_thousand_sums_leave_no_trace(database: Database) -> None:
    make(database, "100.00")
    for amount in ("0.07", "0.11", "0.13") * 20:
        reserve(database, amount)
        with database.writer() as session:
            budget.release(session, FAMILY, Decimal(amount), "reserved")
    assert parts(database) == ["0.00", "0.00", "0.00"]


def test_those_who_reserve_at_once_share_what_there_is(database: Database) -> None:
    make(database, "5.00")
    with ThreadPoolExecutor(4) as pool:
        granted = list(pool.map(lambda _: reserve(database, "1.00"), range(12)))
    assert granted.count(True) == 5
    assert parts(database) == ["5.00", "0.00", "0.00"]


def take(database: Database, limit: int) -> bool:
    with database.writer() as session:
        return budget.take_reward(session, FAMILY, 41, limit)


def test_a_referrer_earns_up_to_the_limit(database: Database) -> None:
    assert [take(database, 2) for _ in range(3)] == [True, True, False]
    with database.writer() as session:
        budget.give_reward_back(session, FAMILY, 41)
    assert [take(database, 2), take(database, 2), take(database, 0)] == [True, False, True]


def test_a_reward_that_was_not_counted_cannot_be_given_back(database: Database) -> None:
    with pytest.raises(RuntimeError), database.writer() as session:
        budget.give_reward_back(session, FAMILY, 41)
