"""What may be concluded from what was counted of an experiment, and what may not."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

from portal.referrals.experiments.counts import OFFERED, WITHHELD
from portal.referrals.experiments.queries import Verdict, results_of
from portal.referrals.experiments.statistics import Arm, difference
from portal.referrals.rewards.models import Experiment
from tests.referrals.inviting import NOW, PRODUCT

HORIZON = NOW + timedelta(days=30)
AFTER = HORIZON + timedelta(days=1)


def experiment(offered: list[int], withheld: list[int], **more: object) -> Experiment:
    """Give an experiment of referrers who brought so many, half of whom converted; it is counted for good."""
    values = {"counted_at": AFTER, "figures_are_final": True, "stopped_at": None} | more
    figures = {OFFERED: side(offered), WITHHELD: side(withheld)}
    return Experiment(
        name="spring", product=PRODUCT, percentage=50, horizon_at=HORIZON, figures=figures, **values
    )


def side(brought: list[int]) -> dict[str, int]:
    converted = [number // 2 for number in brought]
    return {
        "referrers": len(brought),
        "brought": sum(brought),
        "brought_squares": sum(number**2 for number in brought),
        "bringers": sum(number > 0 for number in brought),
        "converted": sum(converted),
        "converted_squares": sum(number**2 for number in converted),
    }


def arm(outcomes: list[int]) -> Arm:
    return Arm.of((1, outcome) for outcome in outcomes)


def clear_cut(**more: object) -> Experiment:
    """Let all but one of thirty offered bring one, and none of thirty others."""
    return experiment([1] * 29 + [0], [0] * 30, **more)


def test_the_sides_are_compared_by_what_each_referrer_brought() -> None:
    offered, withheld = [5, 2, 1, *[0] * 27], [2, *[0] * 29]
    found = results_of(experiment(offered, withheld))
    assert (found.offered.brought_each, found.offered.converted_each, found.offered.share) == (
        8 / 30,
        0.1,
        0.1,
    )
    assert found.brought == difference(arm(offered), arm(withheld))
    assert found.converted == difference(arm([2, 1, *[0] * 28]), arm([1, *[0] * 29]))
    assert found.share == difference(arm([1, 1, 1, *[0] * 27]), arm([1, *[0] * 29]))
    assert found.until == HORIZON


def test_there_is_no_verdict_before_the_last_count_however_clear_it_looks() -> None:
    before = results_of(clear_cut(counted_at=AFTER, figures_are_final=False))
    assert before.brought is not None
    assert before.brought.excludes_zero
    assert before.verdict == Verdict.RUNNING
    assert results_of(clear_cut()).verdict == Verdict.MORE


def test_stopped_before_its_horizon_an_experiment_has_no_verdict_ever() -> None:
    early = NOW + timedelta(days=3)
    found = results_of(clear_cut(stopped_at=early))
    assert (found.verdict, found.until) == (Verdict.STOPPED_EARLY, early)
    assert results_of(clear_cut(stopped_at=AFTER)).verdict == Verdict.MORE


def test_what_was_not_counted_yet_is_nothing_until_no_time() -> None:
    new = Experiment(name="new", product=PRODUCT, percentage=Decimal(50), horizon_at=HORIZON)
    found = results_of(new)
    assert (found.until, found.offered.referrers, found.verdict) == (None, 0, Verdict.RUNNING)


def test_an_uneven_division_takes_the_verdict_away() -> None:
    found = results_of(experiment([1] * 29 + [0], [0] * 90))
    assert found.sample_ratio < 0.001
    assert found.verdict == Verdict.MISMATCH


def test_the_verdict_follows_the_interval() -> None:
    for offered, withheld, verdict in (
        ([1, 1], [0, 0], Verdict.TOO_FEW),
        ([1] * 30, [0] * 30, Verdict.TOO_FEW),
        ([1, *[0] * 29], [0] * 30, Verdict.NO_DIFFERENCE),
        ([1, *[0] * 29], [2] * 19 + [0] * 11, Verdict.FEWER),
    ):
        assert results_of(experiment(offered, withheld)).verdict == verdict
