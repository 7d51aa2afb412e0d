"""What needs a person: rewards that failed or wait, flagged referrals, and polls of spends that failed."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from portal.db import database_now
from portal.keyset import Page, Place, fetch_page
from portal.orders.queries import count_up_to
from portal.referrals.models import Reward
from portal.referrals.progress.fraud import flags_of
from portal.referrals.progress.models import FailedBatch, PollRun, ReferralProgress
from portal.referrals.rewards import earnings
from portal.referrals.rewards.earnings import Hold
from portal.referrals.rewards.models import ReferralFlag, RewardGrant
from portal.referrals.spends.batches import WORK_KIND
from portal.referrals.states import Review, RewardStatus
from portal.work import Work, is_leased

PAGE_SIZE = 50
KEY = (int,)
MOST_COUNTED = 1_000
# So many failed rewards are grouped at most, the newest.
MOST_GROUPED = 10_000
# What a denied reward waits for is decided.
_DELIVERED = (RewardStatus.FULFILLED, RewardStatus.SENT, RewardStatus.REDEEMED)
WAITING_FOR = (Hold.IN_REVIEW, Hold.BUDGET_EXHAUSTED, Hold.LIMIT_REACHED)


@dataclass(frozen=True, slots=True)
class Counts:
    """How many of each there are, up to MOST_COUNTED and one."""

    failed: int
    pending: dict[Hold, int]
    flagged: int
    batches: int

    @property
    def all_pending(self) -> int:
        return sum(self.pending.values())


@dataclass(frozen=True, slots=True)
class Cause:
    """Failed rewards with one code; `reason` is that of the newest of them."""

    code: str
    count: int
    first_at: datetime
    last_at: datetime
    reason: str


@dataclass(frozen=True, slots=True)
class Causes:
    """Why rewards failed; unless `complete`, each count is "at least", and older causes may be missing."""

    rows: Sequence[Cause]
    complete: bool


@dataclass(frozen=True, slots=True)
class ListedReward:
    """A reward with its name, and the recruit of its referral, on whose page it always stands."""

    row: RewardGrant
    name: str
    recruit_user_id: int


@dataclass(frozen=True, slots=True)
class PushedReward:
    """A reward that was pushed, and how often its delivery was begun since; `is_tried_now` while it is."""

    row: RewardGrant
    name: str
    recruit_user_id: int
    tries: int
    is_tried_now: bool

    @property
    def is_under_way(self) -> bool:
        return self.row.status == RewardStatus.EARNED

    @property
    def verdict(self) -> str:
        """Return what the push has come to; of a reward that was cancelled since, its status."""
        if self.is_under_way:
            return "running" if self.is_tried_now else "retrying" if self.tries else "requested"
        if self.row.status == RewardStatus.FAILED:
            return "failed-again"
        if self.row.status == RewardStatus.PENDING:
            return "waiting"
        return "passed" if self.row.status in _DELIVERED else self.row.status

    @property
    def reason(self) -> str | None:
        """Return why it failed since it was pushed, or waits."""
        return None if self.verdict in ("requested", "running") else self.row.reason


@dataclass(frozen=True, slots=True)
class FlaggedReferral:
    """A referral that waits for a decision, and the rules that spoke."""

    row: ReferralProgress
    flags: Sequence[ReferralFlag]


@dataclass(frozen=True, slots=True)
class ListedBatch:
    """A batch of a poll that failed: `next_at` is when it is tried again by itself, None out of retries."""

    row: FailedBatch
    next_at: datetime | None
    is_tried_now: bool

    @property
    def may_be_pushed(self) -> bool:
        return self.next_at is None


def count_attention(session: Session) -> Counts:
    """Count what needs a person."""
    grants = select(RewardGrant.id)
    pending = grants.where(RewardGrant.status == RewardStatus.PENDING)
    flagged = select(ReferralProgress.referral_id).where(ReferralProgress.review == Review.FLAGGED)
    return Counts(
        failed=count_up_to(session, grants.where(RewardGrant.status == RewardStatus.FAILED), MOST_COUNTED),
        pending={
            why: count_up_to(session, pending.where(RewardGrant.code == why), MOST_COUNTED)
            for why in WAITING_FOR
        },
        flagged=count_up_to(session, flagged, MOST_COUNTED),
        batches=count_up_to(session, select(FailedBatch.id), MOST_COUNTED),
    )


def causes_of_failed(session: Session, most: int = MOST_GROUPED) -> Causes:
    """Group the newest `most` failed rewards by code, the most frequent first."""
    failed = (
        select(RewardGrant.id, RewardGrant.code, RewardGrant.earned_at)
        .where(RewardGrant.status == RewardStatus.FAILED)
        .order_by(RewardGrant.id.desc())
        .limit(most)
        .subquery()
    )
    grouped = (
        select(
            failed.c.code,
            func.count().label("number"),
            func.min(failed.c.earned_at).label("first_at"),
            func.max(failed.c.earned_at).label("last_at"),
            func.max(failed.c.id).label("newest"),
        )
        .group_by(failed.c.code)
        .subquery()
    )
    rows = session.execute(
        select(grouped, RewardGrant.reason)
        .join(RewardGrant, RewardGrant.id == grouped.c.newest)
        .order_by(grouped.c.number.desc(), grouped.c.newest.desc())
    )
    causes = [Cause(row.code or "", row.number, row.first_at, row.last_at, row.reason or "") for row in rows]
    return Causes(causes, sum(cause.count for cause in causes) < most)


def list_rewards(
    session: Session, status: RewardStatus, code: str | None, place: Place | None
) -> Page[ListedReward]:
    """Return one page of the rewards of a status, also of one code only, the newest first."""
    wanted = _rewards().where(RewardGrant.status == status)
    if code is not None:
        wanted = wanted.where(RewardGrant.code == code)
    page = fetch_page(
        session,
        wanted,
        [RewardGrant.id],
        lambda row: (row.RewardGrant.id,),
        place=place,
        size=PAGE_SIZE,
    )
    return Page([ListedReward(*row) for row in page.rows], page.newer, page.older)


def read_pushed(session: Session, ids: Sequence[int]) -> list[PushedReward]:
    """Return what has become of rewards that were pushed."""
    delivery = (Work.kind == earnings.WORK_KIND) & (Work.reference == RewardGrant.id)
    is_tried = is_leased(database_now(session)).label("is_tried")
    wanted = _rewards().add_columns(Work.attempt, is_tried).outerjoin(Work, delivery)
    rows = session.execute(wanted.where(RewardGrant.id.in_(ids)).order_by(RewardGrant.id))
    return [PushedReward(row[0], row[1], row[2], row.attempt or 0, bool(row.is_tried)) for row in rows]


def oldest_failed(session: Session, code: str, most: int) -> list[int]:
    """Return the ids of the oldest failed rewards of a cause, those that nobody has pushed yet first."""
    failed = select(RewardGrant.id).where(RewardGrant.status == RewardStatus.FAILED, RewardGrant.code == code)
    return list(session.scalars(failed.order_by(RewardGrant.pushed_at, RewardGrant.id).limit(most)))


def list_flagged(session: Session, place: Place | None) -> Page[FlaggedReferral]:
    """Return one page of the referrals that wait for a decision, the newest first."""
    page = fetch_page(
        session,
        select(ReferralProgress).where(ReferralProgress.review == Review.FLAGGED),
        [ReferralProgress.referral_id],
        lambda row: (row.ReferralProgress.referral_id,),
        place=place,
        size=PAGE_SIZE,
    )
    rows = [row.ReferralProgress for row in page.rows]
    flags = flags_of(session, [row.referral_id for row in rows])
    return Page([FlaggedReferral(row, flags[row.referral_id]) for row in rows], page.newer, page.older)


def list_batches(session: Session, place: Place | None) -> Page[ListedBatch]:
    """Return one page of the batches that failed and did not pass since, the newest first."""
    retries = (Work.kind == WORK_KIND) & (Work.reference == FailedBatch.id)
    is_tried = is_leased(database_now(session)).label("is_tried")
    page = fetch_page(
        session,
        select(FailedBatch, Work.due_at, is_tried).outerjoin(Work, retries),
        [FailedBatch.id],
        lambda row: (row.FailedBatch.id,),
        place=place,
        size=PAGE_SIZE,
    )
    batches = [ListedBatch(row.FailedBatch, row.due_at, bool(row.is_tried)) for row in page.rows]
    return Page(batches, page.newer, page.older)


def list_polls(session: Session, place: Place | None) -> Page[PollRun]:
    """Return one page of the polls of spends, the newest first."""
    page = fetch_page(
        session,
        select(PollRun),
        [PollRun.id],
        lambda row: (row.PollRun.id,),
        place=place,
        size=PAGE_SIZE,
    )
    return Page([row.PollRun for row in page.rows], page.newer, page.older)


def _rewards() -> Select[*tuple[Any, ...]]:
    return (
        select(RewardGrant, Reward.name, ReferralProgress.user_id)
        .join(Reward, Reward.id == RewardGrant.reward_id)
        .join(ReferralProgress, ReferralProgress.referral_id == RewardGrant.referral_id)
    )
