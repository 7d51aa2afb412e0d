"""Counting experiments, by a job and not by a page: every few minutes, for the last time past their end."""

from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, CursorResult, Select, case, exists, func, or_, select, update
from sqlalchemy.orm import Session

from portal.referrals.models import ReferralScheme
from portal.referrals.progress.models import KnownUser, ReferralProgress
from portal.referrals.rewards.models import Experiment, Exposure
from portal.referrals.states import ReferralStatus, Review

COUNT_EVERY = timedelta(minutes=5)
_BATCH = 5_000

Figures = dict[str, Counter[str]]
OFFERED, WITHHELD = "offered", "withheld"


@dataclass(frozen=True, slots=True)
class Count:
    """A count of an experiment, taken at `at`: of what happened until `until`; `is_last`: for good."""

    experiment_id: int
    product: str
    started_at: datetime
    until: datetime
    at: datetime
    is_last: bool


def take_count(session: Session, *, now: datetime, late: timedelta) -> Count | None:
    """Take a count that is due, so that nobody else takes it for a while; None when there is none.

    The last one is due when messages of before the end have had their time to come, `late`.
    """
    due_at = Experiment.count_due_at
    is_due = (Experiment.figures_are_final.is_(False), or_(due_at.is_(None), due_at <= now))
    experiment = session.scalar(select(Experiment).where(*is_due).order_by(due_at, Experiment.id).limit(1))
    if experiment is None:
        return None
    taken = session.execute(
        update(Experiment)
        .where(Experiment.id == experiment.id, *is_due)
        .values(count_due_at=now + COUNT_EVERY),
        execution_options={"synchronize_session": False},
    )
    if not isinstance(taken, CursorResult) or taken.rowcount != 1:
        return None
    ends_at = experiment.ends_at
    return Count(
        experiment.id,
        experiment.product,
        experiment.started_at,
        until=min(now, ends_at),
        at=now,
        is_last=now >= ends_at + late,
    )


def count_batch(session: Session, count: Count, after: int) -> tuple[int | None, Figures]:
    """Count those exposed users whose ids follow `after`; return the last id of the batch, None when done.

    Who signed up after the experiment began was no existing user, and is left out; so are referrals that
    were denied or cancelled. Of each side: `referrers`; `brought`, their new users, `bringers`, those who
    brought any; `converted`, new users who met all conditions; and the sums of the squares of both.
    """
    mine = (Exposure.experiment_id == count.experiment_id, Exposure.user_id > after)
    ids = select(Exposure.user_id).where(*mine).order_by(Exposure.user_id)
    last = session.scalar(ids.offset(_BATCH - 1).limit(1))
    exposed = [*mine, Exposure.at <= count.until, ~_is_new(count)]
    if last is not None:
        exposed.append(Exposure.user_id <= last)
    found: Figures = {OFFERED: Counter(), WITHHELD: Counter()}
    referrers = select(Exposure.offered, func.count()).where(*exposed).group_by(Exposure.offered)
    for offered, number in session.execute(referrers):
        found[OFFERED if offered else WITHHELD]["referrers"] = number
    for offered, brought, converted in session.execute(_brought(count, exposed)):
        found[OFFERED if offered else WITHHELD].update(
            bringers=1,
            brought=brought,
            brought_squares=brought**2,
            converted=int(converted),
            converted_squares=int(converted) ** 2,
        )
    return last, found


def keep_figures(session: Session, count: Count, figures: Figures) -> None:
    """Keep what was counted, unless a later count, or the last one, was kept before."""
    newer = or_(Experiment.counted_at.is_(None), Experiment.counted_at < count.at)
    session.execute(
        update(Experiment)
        .where(Experiment.id == count.experiment_id, Experiment.figures_are_final.is_(False), newer)
        .values(
            figures={side: dict(numbers) for side, numbers in figures.items()},
            counted_at=count.at,
            figures_are_final=count.is_last,
        ),
        execution_options={"synchronize_session": False},
    )


def _is_new(count: Count) -> ColumnElement[bool]:
    # An exposure may be recorded before the message of the sign-up has come.
    return exists().where(KnownUser.user_id == Exposure.user_id, KnownUser.signed_up_at >= count.started_at)


def _brought(count: Count, exposed: list[ColumnElement[bool]]) -> Select[bool, int, int]:
    progress = ReferralProgress
    has_converted = (progress.status == ReferralStatus.CONVERTED) & (progress.ended_at <= count.until)
    return (
        select(Exposure.offered, func.count(), func.sum(case((has_converted, 1), else_=0)))
        .join(progress, progress.referrer_user_id == Exposure.user_id)
        .join(ReferralScheme, ReferralScheme.id == progress.scheme_id)
        .where(
            *exposed,
            ReferralScheme.product == count.product,
            progress.started_at >= Exposure.at,
            progress.started_at <= count.until,
            progress.status != ReferralStatus.CANCELLED,
            progress.review != Review.DENIED,
        )
        .group_by(Exposure.user_id, Exposure.offered)
    )
