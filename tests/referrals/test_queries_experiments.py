"""What an experiment has shown counts what came after the exposure and before the end, and no more."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal

import pytest

from portal.db import Database
from portal.referrals.models import Referral
from portal.referrals.progress_models import ReferralProgress
from portal.referrals.queries_experiments import Results, Verdict, read_results
from portal.referrals.reward_models import Experiment, Exposure
from portal.referrals.states import ReferralStatus
from portal.referrals.statistics import Arm, difference
from tests.referrals.inviting import NOW, PRODUCT, add_active_scheme

HORIZON = NOW + timedelta(days=30)
AFTER = HORIZON + timedelta(days=1)
LAST_SECOND = HORIZON - timedelta(seconds=1)


class Trial:
    """An experiment with those who came into it, and whom they brought."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self._users = 1_000
        with database.writer() as session:
            self.scheme_id = add_active_scheme(session)
            self.other_scheme_id = add_active_scheme(session, "cards")
            self.experiment = Experiment(
                name="spring", product=PRODUCT, percentage=Decimal(50), started_at=NOW, horizon_at=HORIZON
            )
            session.add(self.experiment)

    def expose(self, offered: bool, *users: int, at: datetime = NOW) -> None:
        with self.database.writer() as session:
            for user in users:
                session.add(Exposure(experiment_id=self.experiment.id, user_id=user, offered=offered, at=at))

    def bring(
        self,
        referrer: int,
        count: int = 1,
        *,
        at: datetime = NOW + timedelta(days=1),
        scheme_id: int | None = None,
        status: str = ReferralStatus.QUALIFYING,
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
                session.add(
                    ReferralProgress(
                        referral_id=referral.id,
                        family_id=scheme,
                        scheme_id=scheme,
                        user_id=self._users,
                        referrer_user_id=referrer,
                        status=status,
                        review="pending",
                        started_at=at,
                    )
                )

    def results(self, now: datetime = AFTER) -> Results:
        with self.database.reader() as session:
            return read_results(session, self.experiment, now)


@pytest.fixture
def trial(database: Database) -> Trial:
    return Trial(database)


def test_each_side_counts_its_referrers_and_whom_they_brought(trial: Trial) -> None:
    trial.expose(True, 1, 2, 3, 4)
    trial.expose(False, 5, 6, 7)
    trial.bring(1, 3)
    trial.bring(2)
    trial.bring(5)
    found = trial.results()
    assert (found.offered.referrers, found.offered.brought, found.offered.bringers) == (4, 4, 2)
    assert (found.withheld.referrers, found.withheld.brought, found.withheld.bringers) == (3, 1, 1)
    assert (found.offered.brought_each, found.offered.share) == (1.0, 0.5)
    assert (found.brought, found.share) == (None, None)


def test_the_differences_are_clustered_by_referrer(trial: Trial) -> None:
    trial.expose(True, *range(1, 31))
    trial.expose(False, *range(31, 61))
    trial.bring(1, 3)
    trial.bring(2)
    trial.bring(31)
    found = trial.results()
    others = [(1, 0)] * 28
    assert found.brought is not None
    assert found.brought == difference(Arm.of([(1, 3), (1, 1), *others]), Arm.of([(1, 1), (1, 0), *others]))
    assert found.share == difference(Arm.of([(1, 1), (1, 1), *others]), Arm.of([(1, 1), (1, 0), *others]))


def test_only_what_the_experiment_may_have_caused_is_counted(trial: Trial) -> None:
    trial.expose(True, 1, at=NOW + timedelta(days=2))
    trial.expose(True, 2, at=AFTER)
    trial.bring(1, at=NOW + timedelta(days=1))
    trial.bring(1, at=AFTER)
    trial.bring(1, at=LAST_SECOND, scheme_id=trial.other_scheme_id)
    trial.bring(1, at=LAST_SECOND, status=ReferralStatus.CANCELLED)
    trial.bring(9, at=LAST_SECOND)
    assert trial.results().offered.brought == 0
    trial.bring(1, at=LAST_SECOND)
    found = trial.results()
    assert (found.offered.referrers, found.offered.brought, found.until) == (1, 1, HORIZON)


def clear_cut(trial: Trial) -> None:
    """Let all but one of thirty offered bring one, and none of thirty others."""
    trial.expose(True, *range(1, 31))
    trial.expose(False, *range(31, 61))
    for referrer in range(1, 30):
        trial.bring(referrer)


def test_there_is_no_verdict_before_the_horizon_however_clear_it_looks(trial: Trial) -> None:
    clear_cut(trial)
    before = trial.results(LAST_SECOND)
    assert before.brought is not None
    assert before.brought.excludes_zero
    assert before.verdict == Verdict.RUNNING
    assert trial.results(HORIZON).verdict == Verdict.MORE


def test_stopped_before_its_horizon_an_experiment_has_no_verdict_ever(trial: Trial) -> None:
    clear_cut(trial)
    trial.experiment.stopped_at = NOW + timedelta(days=3)
    found = trial.results()
    assert (found.verdict, found.until) == (Verdict.STOPPED_EARLY, NOW + timedelta(days=3))
    trial.experiment.stopped_at = AFTER
    assert trial.results().verdict == Verdict.MORE


def test_an_uneven_division_takes_the_verdict_away(trial: Trial) -> None:
    clear_cut(trial)
    trial.expose(False, *range(61, 120))
    found = trial.results()
    assert found.sample_ratio < 0.001
    assert found.verdict == Verdict.MISMATCH


def test_the_verdict_follows_the_interval(trial: Trial) -> None:
    assert trial.results().verdict == Verdict.TOO_FEW
    trial.expose(True, 1, 2)
    trial.expose(False, 3, 4)
    for referrer in (1, 2):
        trial.bring(referrer)
    assert trial.results().verdict == Verdict.TOO_FEW
    trial.expose(True, *range(11, 39))
    trial.expose(False, *range(41, 69))
    assert trial.results().verdict == Verdict.NO_DIFFERENCE
    for referrer in range(41, 60):
        trial.bring(referrer, 2)
    assert trial.results().verdict == Verdict.FEWER
