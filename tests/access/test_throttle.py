"""Failed logins are counted by address and account, so that nobody is locked out by others elsewhere."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import func, select

from portal.access import throttle
from portal.access.models import LoginFailure
from portal.access.throttle import MOST_FOR_ACCOUNT, MOST_FROM_ADDRESS, WINDOW, Attempt
from portal.db import Database
from portal.errors import TooManyRequests

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
ADA, BOB = "a" * 64, "b" * 64


def attempt(database: Database, address: str = "192.0.2.1", login: str = ADA, at: datetime = NOW) -> None:
    """Fail to log in, or raise TooManyRequests."""
    made = Attempt(address, login, at)
    with database.writer() as session:
        attempt_id = throttle.begin_attempt(session, made)
    with database.writer() as session:
        throttle.judge_attempt(session, attempt_id, made)


def fail(database: Database, times: int) -> None:
    for _ in range(times):
        attempt(database)


def test_the_sixth_failure_for_an_account_is_refused_with_the_time_to_wait(database: Database) -> None:
    fail(database, MOST_FOR_ACCOUNT)
    with pytest.raises(TooManyRequests) as refused:
        attempt(database, at=NOW + timedelta(minutes=1))
    assert refused.value.retry_after == 14 * 60 + 1
    assert "15 min" in refused.value.reason


def test_the_owner_at_another_address_is_not_locked_out(database: Database) -> None:
    fail(database, MOST_FOR_ACCOUNT)
    attempt(database, address="198.51.100.7")


def test_other_people_at_the_same_address_are_not_locked_out_by_a_few(database: Database) -> None:
    fail(database, MOST_FOR_ACCOUNT)
    attempt(database, login=BOB)


def test_an_address_that_tries_many_accounts_is_refused(database: Database) -> None:
    for number in range(MOST_FROM_ADDRESS):
        attempt(database, login=f"{number:064}")
    with pytest.raises(TooManyRequests):
        attempt(database, login=BOB)


def test_failures_are_forgotten_after_the_window(database: Database) -> None:
    fail(database, MOST_FOR_ACCOUNT)
    attempt(database, at=NOW + WINDOW)
    with database.reader() as session:
        assert session.scalar(select(func.count()).select_from(LoginFailure)) == 1


def test_old_failures_do_not_count_before_they_are_removed(database: Database) -> None:
    with database.writer() as session:
        session.add_all(
            LoginFailure(address="192.0.2.1", login_hash=ADA, at=NOW - WINDOW) for _ in range(205)
        )
    attempt(database)
    with database.reader() as session:
        assert session.scalar(select(func.count()).select_from(LoginFailure)) == 106


def test_a_login_forgets_the_failures_of_its_account_here(database: Database) -> None:
    fail(database, MOST_FOR_ACCOUNT)
    with database.writer() as session:
        throttle.forget_failures(session, Attempt("192.0.2.1", ADA, NOW))
    fail(database, MOST_FOR_ACCOUNT)


def test_attempts_at_the_same_time_count_each_other(database: Database) -> None:
    made = Attempt("192.0.2.1", ADA, NOW)
    with database.writer() as session:
        ids = [throttle.begin_attempt(session, made) for _ in range(MOST_FOR_ACCOUNT + 1)]
    with database.writer() as session:
        for attempt_id in ids[:-1]:
            throttle.judge_attempt(session, attempt_id, made)
        with pytest.raises(TooManyRequests):
            throttle.judge_attempt(session, ids[-1], made)


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::1", "2001:db8:1:2::/64"),
        ("", "unknown"),
    ],
)
def test_what_its_user_may_choose_of_an_address_does_not_count(address: str, network: str) -> None:
    assert throttle.network_of(address) == network
