"""A count of an experiment has what it may have caused, and no more, and one counts at a time."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from decimal import Decimal

import pytest
from sqlalchemy import insert, select, update

from portal.db import Database
from portal.referrals.experiments import counts as experiment_counts
from portal.referrals.experiments.counts import (
    COUNT_EVERY,
    OFFERED,
    WITHHELD,
    Count,
    Figures,
    count_batch,
    keep_figures,
    take_count,
)
from portal.referrals.models import Referral
from portal.referrals.progress.models import KnownUser, ReferralProgress
from portal.referrals.rewards.models import Experiment, Exposure
from portal.referrals.states import ReferralStatus
from tests.referrals.inviting import NOW, PRODUCT, add_active_scheme

HORIZON = NOW + timedelta(days=30)
AFTER = HORIZON + timedelta(days=1)
LAST_SECOND = HORIZON - timedelta(seconds=1)
LATE = timedelta(minutes=15)


class Trial:
    """An experiment with those who came into it, and whom they brought."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self._users = 1_000
        with database.writer() as session:
            self.scheme_id = add_active_scheme(session)
            self.other_scheme_id = add_active_scheme(session, "cards")
            session.add(
                Experiment(
                    name="spring",
                    product=PRODUCT,
                    percentage=Decimal(50),
                    started_at=NOW,
                    horizon_at=HORIZON,
                )
            )

    def expose(self, offered: bool, *users: int, at: datetime = NOW) -> None:
        with self.database.writer() as session:
            for user in users:
                session.add(Exposure(experiment_id=1, user_id=user, offered=offered, at=at))

    def bring(
        self,
        referrer: int,
        count: int = 1,
        *,
        at: datetime = NOW + timedelta(days=1),
        scheme_id: int | None = None,
        **more: object,
    ) -> None:
        scheme = scheme_id or self.scheme_id
        with self.database.writer() as session:
            for _ in range(count):
                self._users += 1
                referral = Referral(
                    referrer_user_id=referrer, user_id=self._users, created_at=at, referral_scheme_id=scheme
                )
                session.add(referral)
                session.flush()
                of_referral = {
                    "referral_id": referral.id,
                    "family_id": scheme,
                    "scheme_id": scheme,
                    "user_id": self._users,
                    "referrer_user_id": referrer,
                    "status": ReferralStatus.QUALIFYING,
                    "review": "pending",
                    "started_at": at,
                }
                session.add(ReferralProgress(**(of_referral | more)))

    def take(self, now: datetime = AFTER) -> Count | None:
        with self.database.writer() as session:
            return take_count(session, now=now, late=LATE)

    def count(self, now: datetime = AFTER) -> Figures:
        """Count what there is, whoever has taken the count before."""
        whole: Figures = {OFFERED: Counter(), WITHHELD: Counter()}
        with self.database.reader() as session:
            row = session.get_one(Experiment, 1)
            count = Count(1, row.product, row.started_at, min(now, row.ends_at), now, is_last=True)
            last: int | None = -1
            while last is not None:
                last, found = count_batch(session, count, last)
                for side, numbers in found.items():
                    whole[side].update(numbers)
        return whole

    def change(self, **values: object) -> None:
        with self.database.writer() as session:
            session.execute(update(Experiment).values(values))

    def kept(self) -> Experiment:
        with self.database.writer() as session:
            return session.scalars(select(Experiment)).one()


@pytest.fixture
def trial(database: Database) -> Trial:
    return Trial(database)


def test_each_side_counts_its_referrers_and_whom_they_brought(trial: Trial) -> None:
    trial.expose(True, 1, 2, 3, 4)
    trial.expose(False, 5, 6, 7)
    trial.bring(1, 3)
    trial.bring(1, 2, status=ReferralStatus.CONVERTED, ended_at=LAST_SECOND)
    trial.bring(2)
    trial.bring(5)
    found = trial.count()
    assert found[OFFERED] == {
        "referrers": 4,
        "brought": 6,
        "brought_squares": 26,
        "bringers": 2,
        "converted": 2,
        "converted_squares": 4,
    }
    one = {"brought": 1, "brought_squares": 1, "bringers": 1, "converted": 0, "converted_squares": 0}
    assert found[WITHHELD] == {"referrers": 3} | one


def test_only_what_the_experiment_may_have_caused_is_counted(trial: Trial) -> None:
    trial.expose(True, 1, at=NOW + timedelta(days=2))
    trial.expose(True, 2, at=AFTER)
    trial.bring(1, at=NOW + timedelta(days=1))
    trial.bring(1, at=AFTER)
    trial.bring(1, at=LAST_SECOND, scheme_id=trial.other_scheme_id)
    trial.bring(9, at=LAST_SECOND)
    assert trial.count()[OFFERED] == {"referrers": 1}
    trial.bring(1, at=LAST_SECOND)
    assert trial.count()[OFFERED]["brought"] == 1


def test_who_was_denied_or_cancelled_is_no_new_user_and_who_converts_later_has_not_converted(
    trial: Trial,
) -> None:
    trial.expose(True, 1)
    converted = ReferralStatus.CONVERTED
    trial.bring(1, review="denied", status=converted, ended_at=LAST_SECOND)
    trial.bring(1, status=ReferralStatus.CANCELLED)
    assert trial.count()[OFFERED] == {"referrers": 1}
    trial.bring(1, review="flagged", status=converted, ended_at=LAST_SECOND)
    trial.bring(1, status=converted, ended_at=AFTER)
    found = trial.count()[OFFERED]
    assert (found["brought"], found["converted"]) == (2, 1)


def test_who_signed_up_since_it_began_is_no_existing_user(trial: Trial) -> None:
    with trial.database.writer() as session:
        for user, days in ((1, -1), (2, 0), (3, 5)):
            session.add(KnownUser(user_id=user, signed_up_at=NOW + timedelta(days=days)))
        session.add(KnownUser(user_id=4))
    trial.expose(True, 1, 2, 3, 4, 5)
    for user in (1, 2, 3, 4, 5):
        trial.bring(user)
    found = trial.count()[OFFERED]
    assert (found["referrers"], found["brought"]) == (3, 3)


def test_a_count_goes_on_where_the_batch_before_ended(trial: Trial) -> None:
    users = range(1, experiment_counts._BATCH + 2)
    with trial.database.writer() as session:
        rows = [{"experiment_id": 1, "user_id": user, "offered": user % 2 == 0, "at": NOW} for user in users]
        session.execute(insert(Exposure), rows)
    for user in (1, 2, users[-2], users[-1]):
        trial.bring(user)
    found = trial.count()
    assert [found[side]["referrers"] for side in (OFFERED, WITHHELD)] == [
        len(users) // 2,
        len(users) // 2 + 1,
    ]
    assert [found[side]["brought"] for side in (OFFERED, WITHHELD)] == [2, 2]


def test_a_count_is_taken_once_until_the_next_is_due(trial: Trial) -> None:
    first = trial.take(NOW)
    assert first is not None
    assert (first.until, first.is_last) == (NOW, False)
    assert trial.take(NOW + COUNT_EVERY - timedelta(seconds=1)) is None
    assert trial.take(NOW + COUNT_EVERY) is not None


def test_of_two_who_take_a_count_at_once_one_gets_it(trial: Trial) -> None:
    with ThreadPoolExecutor(1) as pool:
        with trial.database.writer() as session:
            assert take_count(session, now=NOW, late=LATE) is not None
            second = pool.submit(trial.take, NOW)
            with pytest.raises(TimeoutError):
                second.result(timeout=1)
        assert second.result(timeout=30) is None


@pytest.mark.parametrize("stopped_at", [None, NOW + timedelta(days=3), AFTER])
def test_the_last_count_is_taken_when_late_messages_have_had_their_time(
    trial: Trial, stopped_at: datetime | None
) -> None:
    trial.change(stopped_at=stopped_at)
    end = min(HORIZON, stopped_at or HORIZON)
    early = trial.take(end + LATE - timedelta(seconds=1))
    trial.change(count_due_at=None)
    last = trial.take(end + LATE)
    assert early is not None
    assert last is not None
    assert (early.is_last, last.is_last) == (False, True)
    assert early.until == last.until == end


def test_what_was_counted_for_good_stays_and_a_count_that_was_overtaken_is_dropped(trial: Trial) -> None:
    def count(minute: int, brought: int, is_last: bool = False) -> dict[str, dict[str, int]] | None:
        at = NOW + timedelta(minutes=minute)
        with trial.database.writer() as session:
            taken = Count(1, PRODUCT, NOW, at, at, is_last)
            keep_figures(session, taken, {OFFERED: Counter(brought=brought), WITHHELD: Counter()})
        return trial.kept().figures

    def brought(number: int) -> dict[str, dict[str, int]]:
        return {OFFERED: {"brought": number}, WITHHELD: {}}

    assert count(2, 20) == brought(20)
    assert count(1, 10) == brought(20)
    assert count(3, 30, is_last=True) == brought(30)
    assert count(4, 40) == brought(30)
    assert trial.kept().counted_at == NOW + timedelta(minutes=3)
    assert trial.take(AFTER) is None
