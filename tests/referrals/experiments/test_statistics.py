"""The statistics agree with statsmodels and scipy to eight digits."""

from __future__ import annotations

import math
from random import Random

import numpy
import pytest
from scipy import stats
from statsmodels.regression.linear_model import OLS

from portal.referrals.experiments.statistics import Arm, Difference, difference, sample_ratio_p_value

Clusters = list[tuple[int, int]]


def by_statsmodels(offered: Clusters, withheld: Clusters, confidence: float) -> Difference:
    """Regress every observation on its arm, with errors clustered by referrer."""
    outcomes: list[float] = []
    arms: list[list[float]] = []
    groups: list[int] = []
    group = 0
    for arm, clusters in ((1.0, offered), (0.0, withheld)):
        for n, t in clusters:
            group += 1
            outcomes += [t / n] * n
            arms += [[1.0, arm]] * n
            groups += [group] * n
    fitted = OLS(numpy.array(outcomes), numpy.array(arms)).fit(
        cov_type="cluster", cov_kwds={"groups": numpy.array(groups)}
    )
    low, high = fitted.conf_int(1 - confidence)[1]
    return Difference(fitted.params[1], fitted.bse[1], low, high, fitted.pvalues[1])


def close(one: Difference, other: Difference) -> bool:
    pairs = zip(
        (one.estimate, one.standard_error, one.low, one.high, one.p_value),
        (other.estimate, other.standard_error, other.low, other.high, other.p_value),
        strict=True,
    )
    return all(math.isclose(ours, theirs, rel_tol=1e-8, abs_tol=1e-12) for ours, theirs in pairs)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("confidence", [0.95, 0.99])
def test_the_difference_agrees_with_statsmodels_for_clusters_of_any_size(
    seed: int, confidence: float
) -> None:
    random = Random(seed)

    def arm(rate: float) -> Clusters:
        sizes = [random.randint(1, 6) for _ in range(random.randint(30, 80))]
        return [(n, sum(random.random() < rate for _ in range(n))) for n in sizes]

    offered, withheld = arm(0.4), arm(0.2)
    found = difference(Arm.of(offered), Arm.of(withheld), confidence)
    assert found is not None
    assert close(found, by_statsmodels(offered, withheld, confidence))


@pytest.mark.parametrize("seed", range(3))
def test_the_difference_of_referrers_agrees_with_statsmodels(seed: int) -> None:
    random = Random(seed)
    offered = [random.choice((0, 0, 0, 1, 2, 7)) for _ in range(300)]
    withheld = [random.choice((0, 0, 0, 0, 1)) for _ in range(250)]
    one, other = (
        Arm.of_single_observations(len(brought), sum(brought), sum(n * n for n in brought))
        for brought in (offered, withheld)
    )
    found = difference(one, other)
    assert found is not None
    expected = by_statsmodels([(1, n) for n in offered], [(1, n) for n in withheld], 0.95)
    assert close(found, expected)
    assert found.excludes_zero == (expected.low > 0 or expected.high < 0)


def test_millions_of_clusters_lose_no_digits() -> None:
    arm = Arm.of_single_observations(10**9, 10**9 - 1, 10**9 - 1)
    found = difference(arm, arm)
    assert found is not None
    # The variance of one zero among a milliard ones, twice.
    assert math.isclose(found.standard_error, math.sqrt(2 * 1e-18), rel_tol=1e-8)


@pytest.mark.parametrize("offered", [[], [(1, 1), (1, 0)], [(1, 1), (1, 0)] * 14 + [(1, 1)], [(0, 0)] * 30])
def test_an_arm_with_too_little_in_it_gives_no_difference(offered: Clusters) -> None:
    enough = Arm.of([(1, 0), (1, 1)] * 15)
    assert difference(enough, enough) is not None
    assert difference(Arm.of(offered), enough) is None
    assert difference(enough, Arm.of(offered)) is None


def test_arms_without_any_spread_show_nothing_however_large() -> None:
    same, other = Arm.of([(1, 1)] * 500), Arm.of([(1, 0)] * 500)
    assert difference(same, other) is None
    assert difference(same, same) is None


@pytest.mark.parametrize(
    ("offered", "withheld", "share"),
    [(500, 500, 0.5), (520, 480, 0.5), (5_200, 4_800, 0.5), (110, 880, 0.1), (9, 10**6, 1e-5)],
)
def test_the_sample_ratio_check_of_many_agrees_with_scipy(offered: int, withheld: int, share: float) -> None:
    total = offered + withheld
    expected = stats.chisquare([offered, withheld], [total * share, total * (1 - share)]).pvalue
    found = sample_ratio_p_value(offered, withheld, share)
    assert math.isclose(found, float(expected), rel_tol=1e-8, abs_tol=1e-12)


@pytest.mark.parametrize(
    ("offered", "withheld", "share"),
    [(1, 0, 0.25), (0, 1, 0.25), (3, 0, 0.01), (5, 4, 0.5), (0, 9, 0.5), (2, 90, 0.04), (0, 49_000, 1e-4)],
)
def test_the_sample_ratio_check_of_few_is_exact_as_scipy_has_it(
    offered: int, withheld: int, share: float
) -> None:
    expected = stats.binomtest(offered, offered + withheld, share).pvalue
    found = sample_ratio_p_value(offered, withheld, share)
    assert math.isclose(found, float(expected), rel_tol=1e-8)


def test_three_users_of_whom_all_were_offered_are_no_mismatch() -> None:
    # Chi-square would say p = 0.0027 of three at 25%, and 1e-66 of three at 1%.
    assert sample_ratio_p_value(3, 0, 0.25) == pytest.approx(0.25**3)


def test_a_division_that_cannot_be_uneven_is_told() -> None:
    assert sample_ratio_p_value(0, 0, 0.5) == 1.0
    assert sample_ratio_p_value(10, 0, 1.0) == 1.0
    assert sample_ratio_p_value(9, 1, 1.0) == 0.0
