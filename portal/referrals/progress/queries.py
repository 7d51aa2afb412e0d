"""What the page of a user's progress shows, in as many statements whatever the number of referrals."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Select, and_, select, union
from sqlalchemy.orm import Session

from portal.crypto import DataCipher
from portal.db import database_now
from portal.events import Event
from portal.keyset import Page, Place, fetch_page
from portal.referrals.addresses import open_address
from portal.referrals.invitations import service as inviting
from portal.referrals.invitations.models import Invitation
from portal.referrals.models import PollTask, ReferralCondition, Reward
from portal.referrals.progress.explanations import (
    Check,
    FailedPoll,
    Known,
    PassedRun,
    Polls,
    Why,
    check_condition,
    why_not_rewarded,
)
from portal.referrals.progress.fraud import flags_of
from portal.referrals.progress.models import (
    ConditionEvidence,
    FailedBatch,
    KnownUser,
    PollRun,
    ReferralProgress,
    SpendSeen,
)
from portal.referrals.progress.timeline import Entry, entry_of
from portal.referrals.recorder import SUBJECT
from portal.referrals.rewards.models import ReferralFlag, RewardGrant
from portal.referrals.schemes.queries import Scheme, find_schemes
from portal.referrals.spends.batches import WORK_KIND
from portal.referrals.states import WAITS_FOR_SIGN_UP
from portal.work import Work, is_leased

PAGE_SIZE = 20
TIMELINE_SIZE = 100
REFERRAL_KEY = INVITATION_KEY = (int,)
_STARTED, _LATE = "referral.started", "referral.came-too-late"
_MOST_AS_RECRUIT = 50


@dataclass(frozen=True, slots=True)
class Grant:
    """A reward of a referral with its name."""

    row: RewardGrant
    name: str


@dataclass(frozen=True, slots=True)
class ReferralView:
    """A referral with its three axes, each of its conditions, and why it is rewarded or not."""

    row: ReferralProgress
    scheme: Scheme
    checks: tuple[Check, ...]
    why: Why
    flags: Sequence[ReferralFlag]
    grants: Sequence[Grant]

    @property
    def places(self) -> set[str]:
        """Return where on the page its rewards stand."""
        return {f"grant-{grant.row.id}" for grant in self.grants}


@dataclass(frozen=True, slots=True)
class InvitationView:
    """An invitation with its address, masked or None when it was erased."""

    row: Invitation
    address: str | None
    may_send_again: bool


@dataclass(frozen=True, slots=True)
class UserView:
    """A user: what is known of them, their referrals on both sides, and those whom they invited."""

    user_id: int
    known: KnownUser | None
    as_recruit: Sequence[ReferralView]
    as_referrer: Page[ReferralView]
    invitations: Page[InvitationView]
    polls: Polls


@dataclass(frozen=True, slots=True)
class Timeline:
    """Entries, newest first, and the id to ask for older ones before, if there are any."""

    entries: Sequence[Entry]
    older: int | None


@dataclass(frozen=True, slots=True)
class Places:
    """Where the two lists of the page begin."""

    referrals: Place | None = None
    invitations: Place | None = None


def read_user(
    session: Session,
    user_id: int,
    *,
    cipher: DataCipher,
    masked: bool,
    places: Places,
    poll_every: timedelta,
    poll_lease: timedelta,
    now: datetime,
) -> UserView:
    """Return what there is of a user; one of whom nothing is known has empty lists."""
    mine = select(ReferralProgress).where(ReferralProgress.user_id == user_id)
    recruit = session.scalars(
        mine.order_by(ReferralProgress.referral_id.desc()).limit(_MOST_AS_RECRUIT)
    ).all()
    brought, invited = _brought(session, user_id, places), _invited(session, user_id, places)
    polls = next_poll(session, poll_every, poll_lease)
    views = _views(session, [*recruit, *(row[0] for row in brought.rows)], polls, now)
    return UserView(
        user_id=user_id,
        known=session.get(KnownUser, user_id),
        as_recruit=[views[row.referral_id] for row in recruit],
        as_referrer=Page([views[row[0].referral_id] for row in brought.rows], brought.newer, brought.older),
        invitations=Page(
            [_invitation(row[0], cipher, masked=masked) for row in invited.rows], invited.newer, invited.older
        ),
        polls=polls,
    )


def read_timeline(session: Session, user: UserView, *, before: int | None = None) -> Timeline:
    """Return what happened to the referrals and invitations that the page of a user shows."""
    referrals = [view.row.referral_id for view in (*user.as_recruit, *user.as_referrer.rows)]
    found: list[Event] = []
    for subject, ids in (
        (SUBJECT, referrals),
        (inviting.SUBJECT, [view.row.id for view in user.invitations.rows]),
    ):
        newest = select(Event).where(Event.subject == subject, Event.subject_id.in_(ids))
        if before is not None:
            newest = newest.where(Event.id < before)
        found += session.scalars(newest.order_by(Event.id.desc()).limit(TIMELINE_SIZE + 1))
    found.sort(key=lambda event: event.id, reverse=True)
    shown = found[:TIMELINE_SIZE]
    return Timeline([entry_of(event) for event in shown], shown[-1].id if len(found) > len(shown) else None)


def next_poll(session: Session, every: timedelta, lease: timedelta) -> Polls:
    """Tell when the spend service is asked next: `every` so long after the last poll began.

    One that was cut short is followed at once; one whose owner is silent, when its lease has run out.
    """
    newest = select(PollRun).order_by(PollRun.id.desc()).limit(1)
    task, run = session.scalar(select(PollTask).limit(1)), session.scalar(newest)
    if task is None or run is None:
        return Polls(None, in_progress=False)
    ended = run if run.ended_at is not None else session.scalar(newest.where(PollRun.ended_at.is_not(None)))
    last = PassedRun(ended.id, ended.started_at, ended.ended_at) if ended and ended.ended_at else None
    if run.ended_at is not None:
        return Polls(run.started_at + every, task.in_progress, last)
    replaced_at = task.updated_at + lease if task.in_progress else task.updated_at
    is_heard_of = task.in_progress and database_now(session) < replaced_at
    return Polls(replaced_at, is_heard_of, last)


def _brought(session: Session, user_id: int, places: Places) -> Page[Any]:
    return fetch_page(
        session,
        select(ReferralProgress).where(ReferralProgress.referrer_user_id == user_id),
        [ReferralProgress.referral_id],
        lambda row: (row[0].referral_id,),
        place=places.referrals,
        size=PAGE_SIZE,
    )


def _invited(session: Session, user_id: int, places: Places) -> Page[Any]:
    return fetch_page(
        session,
        select(Invitation).where(Invitation.referrer_user_id == user_id),
        [Invitation.id],
        lambda row: (row[0].id,),
        place=places.invitations,
        size=PAGE_SIZE,
    )


def _views(
    session: Session, rows: Sequence[ReferralProgress], polls: Polls, now: datetime
) -> dict[int, ReferralView]:
    ids = list({row.referral_id for row in rows})
    schemes = find_schemes(session, (row.scheme_id for row in rows))
    known = _known(session, ids)
    flags, grants = flags_of(session, ids), _grants(session, ids)
    views = {}
    for row in rows:
        scheme = schemes[row.scheme_id]
        told = known.told.get(row.referral_id, {})
        checks = tuple(
            check_condition(
                asked,
                row,
                Known(
                    known.met.get((row.referral_id, asked.id)),
                    known.evidence.get((row.referral_id, asked.id)),
                    known.seen.get(row.referral_id),
                    told.get(asked.event_type),
                    _covering(known.failed_polls, row.referral_id),
                    told.get(_STARTED),
                ),
                polls=polls,
                now=now,
            )
            for asked in scheme.conditions
        )
        of_referral = grants.get(row.referral_id, [])
        why = why_not_rewarded(row, checks, [grant.row for grant in of_referral])
        views[row.referral_id] = ReferralView(
            row, scheme, checks, why, flags.get(row.referral_id, []), of_referral
        )
    return views


@dataclass(frozen=True, slots=True)
class _Recorded:
    met: Mapping[tuple[int, int], datetime]
    evidence: Mapping[tuple[int, int], ConditionEvidence]
    seen: Mapping[int, SpendSeen]
    told: Mapping[int, Mapping[str, datetime]]
    failed_polls: Sequence[tuple[int, int, FailedPoll]]


def _known(session: Session, ids: Sequence[int]) -> _Recorded:
    met = session.scalars(select(ReferralCondition).where(ReferralCondition.referral_id.in_(ids)))
    evidence = session.scalars(select(ConditionEvidence).where(ConditionEvidence.referral_id.in_(ids)))
    seen = session.scalars(select(SpendSeen).where(SpendSeen.referral_id.in_(ids)))
    return _Recorded(
        {(row.referral_id, row.condition_id): row.created_at for row in met},
        {(row.referral_id, row.condition_id): row for row in evidence},
        {row.referral_id: row for row in seen},
        _told(session, ids),
        _failed_polls(session, ids),
    )


def _told(session: Session, ids: Iterable[int]) -> Mapping[int, Mapping[str, datetime]]:
    """Return by referral since when it is known, and when each thing happened that came too late."""
    events = select(Event.subject_id, Event.kind, Event.at, Event.data).where(
        Event.subject == SUBJECT, Event.subject_id.in_(ids), Event.kind.in_((_STARTED, _LATE))
    )
    told: dict[int, dict[str, datetime]] = defaultdict(dict)
    for referral_id, kind, at, data in session.execute(events):
        if kind == _STARTED:
            told[referral_id][_STARTED] = at
        else:
            told[referral_id][_text(data, "event_type")] = datetime.fromisoformat(_text(data, "at"))
    return told


def _failed_polls(session: Session, ids: Sequence[int]) -> list[tuple[int, int, FailedPoll]]:
    """Return the batches that failed around these referrals: first id, last id, and what is known of each."""
    if not ids:
        return []
    nearest = union(*(select(_begun_before(referral_id).subquery()) for referral_id in ids)).subquery()
    retry = and_(Work.kind == WORK_KIND, Work.reference == FailedBatch.id)
    rows = (
        select(FailedBatch, Work.due_at, is_leased(database_now(session)))
        .join(nearest, nearest.c.id == FailedBatch.id)
        .outerjoin(Work, retry)
    )
    return [
        (
            row.first_referral_id,
            row.last_referral_id,
            FailedPoll(row.reason, row.attempts, row.at, due_at, bool(is_tried)),
        )
        for row, due_at, is_tried in session.execute(rows)
    ]


def _begun_before(referral_id: int) -> Select[int]:
    """Choose the one failed batch that may be about a referral: none lies across another."""
    begun = select(FailedBatch.id).where(FailedBatch.first_referral_id <= referral_id)
    return begun.order_by(FailedBatch.first_referral_id.desc()).limit(1)


def _covering(failed: Iterable[tuple[int, int, FailedPoll]], referral_id: int) -> FailedPoll | None:
    return next((found for first, last, found in failed if first <= referral_id <= last), None)


def _text(data: Mapping[str, Any], name: str) -> str:
    return str(data[name])


def _grants(session: Session, ids: Sequence[int]) -> Mapping[int, list[Grant]]:
    found: dict[int, list[Grant]] = defaultdict(list)
    rows = (
        select(RewardGrant, Reward.name)
        .join(Reward, Reward.id == RewardGrant.reward_id)
        .where(RewardGrant.referral_id.in_(ids))
        .order_by(RewardGrant.id)
    )
    for grant, name in session.execute(rows):
        found[grant.referral_id].append(Grant(grant, name))
    return found


def _invitation(row: Invitation, cipher: DataCipher, *, masked: bool) -> InvitationView:
    address = open_address(row.address, cipher, masked=masked)
    return InvitationView(row, address, address is not None and row.status in WAITS_FOR_SIGN_UP)
