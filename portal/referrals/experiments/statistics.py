"""The statistics of experiments: differences with errors clustered by referrer, and the sample-ratio check.

All sums are of whole numbers and exact; only the last step leaves the fractions.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from statistics import NormalDist

_NORMAL = NormalDist()
FEWEST_CLUSTERS = 30
# Below so many expected, chi-square is no good approximation (Cochran, "Some Methods for Strengthening the
# Common χ² Tests", 1954).
_FEWEST_EXPECTED = 5
# Outcomes as likely as what was seen but for the last digits count as as likely.
_SAME = 1 + 1e-7


@dataclass(frozen=True, slots=True)
class Arm:
    """One side of an experiment, as sums over its clusters.

    Each cluster has n observations, whose outcomes add up to t: `clusters` counts the clusters;
    `observations` is Σn, `total` Σt, `squares_of_observations` Σn², `products` Σnt, `squares` Σt².
    """

    clusters: int
    observations: int
    total: int
    squares_of_observations: int
    products: int
    squares: int

    @classmethod
    def of(cls, clusters: Iterable[tuple[int, int]]) -> "Arm":
        """Add up clusters, each given by n and t."""
        given = list(clusters)
        return cls(
            clusters=len(given),
            observations=sum(n for n, _ in given),
            total=sum(t for _, t in given),
            squares_of_observations=sum(n * n for n, _ in given),
            products=sum(n * t for n, t in given),
            squares=sum(t * t for _, t in given),
        )

    @classmethod
    def of_single_observations(cls, clusters: int, total: int, squares: int) -> "Arm":
        """Describe clusters of one observation each, such as referrers, by their number, Σt and Σt²."""
        return cls(clusters, clusters, total, clusters, total, squares)

    @property
    def mean(self) -> Fraction:
        """Return the mean outcome of an observation."""
        return Fraction(self.total, self.observations)

    @property
    def score_squares(self) -> Fraction:
        """Return the sum over clusters of their squared residual sums, Σ(t − n·mean)²."""
        mean = self.mean
        return self.squares - 2 * mean * self.products + mean * mean * self.squares_of_observations


@dataclass(frozen=True, slots=True)
class Difference:
    """The mean of one arm minus that of the other, with its confidence interval and two-sided p-value."""

    estimate: float
    standard_error: float
    low: float
    high: float
    p_value: float

    @property
    def excludes_zero(self) -> bool:
        """Tell whether the interval lies on one side of zero."""
        return self.low > 0 or self.high < 0


def difference(offered: Arm, withheld: Arm, confidence: float = 0.95) -> Difference | None:
    """Compare two arms; None when one has fewer than 30 clusters, or nothing varies within either.

    The interval is that of a normal distribution, which few clusters do not have: with fewer than 20 to 50
    it is too narrow (Cameron and Miller, section VI), and 30 is the customary bound within that. Without any
    spread the error would be 0, and any difference certain, which so few outcomes cannot show.

    The estimate is the slope of the regression of the outcome on the arm; its variance is the
    cluster-robust sandwich with the small-sample factor G/(G−1)·(N−1)/(N−2), for G clusters and N
    observations (CR1: Cameron and Miller, "A Practitioner's Guide to Cluster-Robust Inference", 2015).
    """
    if min(offered.clusters, withheld.clusters) < FEWEST_CLUSTERS:
        return None
    if min(offered.observations, withheld.observations) < 1:
        return None
    clusters = offered.clusters + withheld.clusters
    observations = offered.observations + withheld.observations
    factor = Fraction(clusters, clusters - 1) * Fraction(observations - 1, observations - 2)
    variance = sum(
        (arm.score_squares / arm.observations**2 for arm in (offered, withheld)), start=Fraction(0)
    )
    if variance == 0:
        return None
    estimate = float(offered.mean - withheld.mean)
    error = math.sqrt(factor * variance)
    reach = _NORMAL.inv_cdf((1 + confidence) / 2) * error
    return Difference(estimate, error, estimate - reach, estimate + reach, _two_sided(estimate, error))


def sample_ratio_p_value(offered: int, withheld: int, share: float) -> float:
    """Return how likely so uneven a division is when each user is offered with probability `share`.

    Pearson's chi-square with one degree of freedom, and where fewer than five are expected on a side, the
    exact binomial test. A very small value says that the assignment or the recording of exposures is broken,
    and that nothing else of the experiment can be trusted (Fabijan et al., "Diagnosing Sample Ratio Mismatch
    in Online Controlled Experiments", 2019).
    """
    total = offered + withheld
    expected = total * share, total * (1 - share)
    if not total or share in (0.0, 1.0):
        return 1.0 if offered == expected[0] else 0.0
    if min(expected) < _FEWEST_EXPECTED:
        return _binomial(offered, total, share)
    chi_square = sum((seen - due) ** 2 / due for seen, due in zip((offered, withheld), expected, strict=True))
    return math.erfc(math.sqrt(chi_square / 2))


def _binomial(seen: int, total: int, share: float) -> float:
    """Return the probability of all outcomes that are no more likely than what was seen."""
    whole, hit, miss = math.lgamma(total + 1), math.log(share), math.log1p(-share)

    def likelihood(count: int) -> float:
        orders = whole - math.lgamma(count + 1) - math.lgamma(total - count + 1)
        return math.exp(orders + count * hit + (total - count) * miss)

    most = likelihood(seen) * _SAME
    return min(1.0, math.fsum(one for one in map(likelihood, range(total + 1)) if one <= most))


def _two_sided(estimate: float, error: float) -> float:
    return math.erfc(abs(estimate) / error / math.sqrt(2))
