"""What experiments have shown: who was exposed, what they brought, and what may be concluded from it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from portal.errors import NotFound
from portal.referrals.models import ReferralScheme
from portal.referrals.progress_models import ReferralProgress
from portal.referrals.reward_models import Experiment, Exposure
from portal.referrals.scheme_models import ActiveScheme
from portal.referrals.states import ReferralStatus
from portal.referrals.statistics import Arm, Difference, difference, sample_ratio_p_value

# So small a probability is no chance: the division of users, or its recording, is broken.
_MISMATCH = 0.001
_MOST_LISTED = 100


class Verdict(StrEnum):
    """What may be concluded; before the horizon, nothing: who looks until it fits finds what is not there."""

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

    `squares` is the sum of the squares of what each brought.
    """

    referrers: int
    brought: int
    squares: int
    bringers: int

    @property
    def brought_each(self) -> float | None:
        """Return the new users brought by each exposed referrer."""
        return self.brought / self.referrers if self.referrers else None

    @property
    def share(self) -> float | None:
        """Return the share of exposed referrers who brought a new user."""
        return self.bringers / self.referrers if self.referrers else None


@dataclass(frozen=True, slots=True)
class Results:
    """What an experiment has shown until `until`; `brought` decides, `share` explains."""

    until: datetime
    offered: Side
    withheld: Side
    brought: Difference | None
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


def read_results(session: Session, experiment: Experiment, now: datetime) -> Results:
    """Compare the new users whom referrers brought after they came into the experiment, until its end."""
    until = min(now, experiment.horizon_at, experiment.stopped_at or now)
    sides = _sides(session, experiment, until)
    offered, withheld = sides[True], sides[False]
    brought = difference(_brought(offered), _brought(withheld))
    ratio = sample_ratio_p_value(offered.referrers, withheld.referrers, float(experiment.percentage) / 100)
    return Results(
        until=until,
        offered=offered,
        withheld=withheld,
        brought=brought,
        share=difference(_share(offered), _share(withheld)),
        sample_ratio=ratio,
        verdict=_verdict(experiment, brought, ratio, now),
    )


def _sides(session: Session, experiment: Experiment, until: datetime) -> dict[bool, Side]:
    exposed = (Exposure.experiment_id == experiment.id, Exposure.at <= until)
    counted = (
        select(Exposure.offered, func.count().label("referrers")).where(*exposed).group_by(Exposure.offered)
    )
    referrers = {row.offered: row.referrers for row in session.execute(counted)}
    each = (
        select(Exposure.offered, func.count().label("brought"))
        .join(ReferralProgress, ReferralProgress.referrer_user_id == Exposure.user_id)
        .join(ReferralScheme, ReferralScheme.id == ReferralProgress.scheme_id)
        .where(
            *exposed,
            ReferralScheme.product == experiment.product,
            ReferralProgress.started_at >= Exposure.at,
            ReferralProgress.started_at <= until,
            ReferralProgress.status != ReferralStatus.CANCELLED,
        )
        .group_by(Exposure.user_id, Exposure.offered)
        .subquery()
    )
    sums = select(
        each.c.offered, func.sum(each.c.brought), func.sum(each.c.brought * each.c.brought), func.count()
    ).group_by(each.c.offered)
    found = {bool(row[0]): [int(value) for value in row[1:]] for row in session.execute(sums)}
    return {side: Side(referrers.get(side, 0), *found.get(side, (0, 0, 0))) for side in (True, False)}


def _brought(side: Side) -> Arm:
    return Arm.of_single_observations(side.referrers, side.brought, side.squares)


def _share(side: Side) -> Arm:
    return Arm.of_single_observations(side.referrers, side.bringers, side.bringers)


def _verdict(experiment: Experiment, brought: Difference | None, ratio: float, now: datetime) -> Verdict:
    if experiment.stopped_at is not None and experiment.stopped_at < experiment.horizon_at:
        return Verdict.STOPPED_EARLY
    if now < experiment.horizon_at:
        return Verdict.RUNNING
    if ratio < _MISMATCH:
        return Verdict.MISMATCH
    if brought is None:
        return Verdict.TOO_FEW
    if not brought.excludes_zero:
        return Verdict.NO_DIFFERENCE
    return Verdict.MORE if brought.estimate > 0 else Verdict.FEWER
