"""What experiments have shown: who was exposed, what they brought, and what may be concluded from it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sqlalchemy import select
from sqlalchemy.orm import Session

from portal.errors import NotFound
from portal.referrals.experiments.counts import OFFERED, WITHHELD
from portal.referrals.experiments.statistics import Arm, Difference, difference, sample_ratio_p_value
from portal.referrals.rewards.models import Experiment
from portal.referrals.schemes.models import ActiveScheme

# So small a probability is no chance: the division of users, or its recording, is broken.
_MISMATCH = 0.001
_MOST_LISTED = 100


class Verdict(StrEnum):
    """What may be concluded: nothing before the last count, for who looks until it fits finds anything."""

    RUNNING = "running"
    STOPPED_EARLY = "stopped-early"
    MISMATCH = "sample-ratio-mismatch"
    TOO_FEW = "too-few"
    MORE = "brings-more"
    FEWER = "brings-fewer"
    NO_DIFFERENCE = "no-difference"


@dataclass(frozen=True, slots=True)
class Side:
    """One side of an experiment: its referrers, the new users they brought, and how many brought any.

    `converted` of the new users met all conditions. The squares are the sums of the squares of what each
    referrer brought.
    """

    referrers: int = 0
    brought: int = 0
    brought_squares: int = 0
    bringers: int = 0
    converted: int = 0
    converted_squares: int = 0

    @property
    def brought_each(self) -> float | None:
        """Return the new users brought by each exposed referrer."""
        return self.brought / self.referrers if self.referrers else None

    @property
    def converted_each(self) -> float | None:
        """Return the converted ones of them, for each exposed referrer."""
        return self.converted / self.referrers if self.referrers else None

    @property
    def share(self) -> float | None:
        """Return the share of exposed referrers who brought a new user."""
        return self.bringers / self.referrers if self.referrers else None


@dataclass(frozen=True, slots=True)
class Results:
    """What an experiment has shown until `until`, None while it was not counted yet.

    `brought` decides; `converted` and `share` explain.
    """

    until: datetime | None
    offered: Side
    withheld: Side
    brought: Difference | None
    converted: Difference | None
    share: Difference | None
    sample_ratio: float
    verdict: Verdict


def list_experiments(session: Session) -> Sequence[Experiment]:
    """Return the experiments, newest first."""
    return session.scalars(select(Experiment).order_by(Experiment.id.desc()).limit(_MOST_LISTED)).all()


def read_experiment(session: Session, experiment_id: int) -> Experiment:
    """Return an experiment; raises NotFound."""
    experiment = session.get(Experiment, experiment_id)
    if experiment is None:
        raise NotFound("There is no such experiment.")
    return experiment


def active_products(session: Session) -> Sequence[str]:
    """Return the products that have an active scheme, by name."""
    return session.scalars(select(ActiveScheme.product).order_by(ActiveScheme.product)).all()


def results_of(experiment: Experiment) -> Results:
    """Compare what was counted of both sides of an experiment."""
    figures, counted_at = experiment.figures or {}, experiment.counted_at
    offered, withheld = (Side(**figures.get(side, {})) for side in (OFFERED, WITHHELD))
    brought = difference(_brought(offered), _brought(withheld))
    ratio = sample_ratio_p_value(offered.referrers, withheld.referrers, float(experiment.percentage) / 100)
    return Results(
        until=None if counted_at is None else min(counted_at, experiment.ends_at),
        offered=offered,
        withheld=withheld,
        brought=brought,
        converted=difference(_converted(offered), _converted(withheld)),
        share=difference(_share(offered), _share(withheld)),
        sample_ratio=ratio,
        verdict=_verdict(experiment, brought, ratio),
    )


def _brought(side: Side) -> Arm:
    return Arm.of_single_observations(side.referrers, side.brought, side.brought_squares)


def _converted(side: Side) -> Arm:
    return Arm.of_single_observations(side.referrers, side.converted, side.converted_squares)


def _share(side: Side) -> Arm:
    return Arm.of_single_observations(side.referrers, side.bringers, side.bringers)


def _verdict(experiment: Experiment, brought: Difference | None, ratio: float) -> Verdict:
    if experiment.stopped_at is not None and experiment.stopped_at < experiment.horizon_at:
        return Verdict.STOPPED_EARLY
    if not experiment.figures_are_final:
        return Verdict.RUNNING
    if ratio < _MISMATCH:
        return Verdict.MISMATCH
    if brought is None:
        return Verdict.TOO_FEW
    if not brought.excludes_zero:
        return Verdict.NO_DIFFERENCE
    return Verdict.MORE if brought.estimate > 0 else Verdict.FEWER
