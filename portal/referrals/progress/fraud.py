"""The fraud check: rules that flag a referral, each with its reason; flagged rewards wait for approval.

A rule speaks whatever the order in which sign-ups were recorded: the one that completes a pattern flags
the others of the pattern too. What two transactions at once could not see of each other is seen at the
conversion, when the check looks again.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, and_, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from portal import events
from portal.referrals.progress.models import KnownUser, ReferralProgress
from portal.referrals.recorder import Recorder
from portal.referrals.rewards import earnings
from portal.referrals.rewards.models import ReferralFlag
from portal.referrals.states import Review

SELF_REFERRAL = "self-referral"
SAME_ADDRESS = "same-address"
SAME_NETWORK = "same-network"
SAME_DEVICE = "same-device"
VELOCITY = "referrer-velocity"

_DAY = timedelta(days=1)
# As many recruits of one mailbox are flagged at once; each further one is when it signs up.
_MOST_ALIKE = 100
# The velocity is that of the newest recruits of a referrer: of so many, no index knows the times.
_NEWEST_RECRUITS = 1_000


@dataclass(frozen=True, slots=True)
class Finding:
    """A rule that speaks, why, and the recruits that it speaks of, or only some referrals of theirs."""

    rule: str
    reason: str
    user_ids: frozenset[int] = frozenset()
    referral_ids: frozenset[int] = frozenset()


def check(session: Session, progress: ReferralProgress, recorder: Recorder) -> None:
    """Flag a referral, and others that are of one pattern with it, by every rule that speaks.

    Rewards that they have earned are taken back, but for those whose delivery has begun.
    """
    user = session.get_one(KnownUser, progress.user_id)
    news = [
        (referral_id, finding)
        for finding in _findings(session, progress, user, recorder)
        for referral_id in _referrals_of(session, progress, finding)
        if not _has_spoken(session, referral_id, finding.rule)
    ]
    if not news:
        return
    referrals = earnings.lock_referrals(session, {referral_id for referral_id, _ in news})
    flagged = [
        referral_id
        for referral_id, finding in news
        if _flag(session, referrals[referral_id], finding, recorder)
    ]
    earnings.take_back(session, earnings.recall(session, flagged), recorder)


def _findings(
    session: Session, progress: ReferralProgress, user: KnownUser, recorder: Recorder
) -> Iterator[Finding]:
    rules = recorder.fraud
    yield from _self_referral(session, progress, user)
    yield from _same_address(session, user)
    yield from _burst(
        session, user, KnownUser.network_index, rules.sign_ups_of_network, rules.window, SAME_NETWORK
    )
    yield from _burst(
        session, user, KnownUser.device_index, rules.sign_ups_of_device, rules.window, SAME_DEVICE
    )
    yield from _velocity(session, progress, rules.referrals_a_day)


def _self_referral(session: Session, progress: ReferralProgress, user: KnownUser) -> Iterator[Finding]:
    referrer = session.get(KnownUser, progress.referrer_user_id)
    if user.user_id == progress.referrer_user_id:
        reason = "The recruit is the referrer."
    elif referrer is None:
        return
    elif user.folded_index and user.folded_index == referrer.folded_index:
        reason = "The recruit signed up with the mailbox of the referrer."
    elif user.device_index and user.device_index == referrer.device_index:
        reason = "The recruit signed up on the device of the referrer."
    else:
        return
    yield Finding(SELF_REFERRAL, reason, frozenset({user.user_id}))


def _same_address(session: Session, user: KnownUser) -> Iterator[Finding]:
    if user.folded_index is None:
        return
    alike = select(KnownUser.user_id).where(
        KnownUser.folded_index == user.folded_index, KnownUser.signed_up_at.is_not(None)
    )
    recruits = select(ReferralProgress.user_id).where(ReferralProgress.user_id.in_(alike)).distinct()
    users = {user.user_id, *session.scalars(recruits.limit(_MOST_ALIKE))}
    if len(users) > 1:
        reason = f"{len(users)} recruits signed up with addresses of one mailbox."
        yield Finding(SAME_ADDRESS, reason, frozenset(users))


def _burst(
    session: Session,
    user: KnownUser,
    index: InstrumentedAttribute[str | None],
    most: int,
    window: timedelta,
    rule: str,
) -> Iterator[Finding]:
    """Find `most` sign-ups of one origin within a window; the user's own is among them."""
    origin, at = getattr(user, index.key), user.signed_up_at
    if origin is None or at is None:
        return
    others = and_(index == origin, KnownUser.user_id != user.user_id)
    near = sorted([(at, user.user_id), *_around(session, others, at, window, most)])
    users: set[int] = set()
    for first, last in zip(near, near[most - 1 :], strict=False):
        if last[0] - first[0] <= window:
            users |= {user_id for when, user_id in near if first[0] <= when <= last[0]}
    if user.user_id in users:
        what = "address block" if rule == SAME_NETWORK else "device"
        reason = f"{most} or more users signed up from one {what} within {_in_words(window)}."
        yield Finding(rule, reason, frozenset(users))


def _around(
    session: Session, others: ColumnElement[bool], at: datetime, window: timedelta, most: int
) -> list[tuple[datetime, int]]:
    """Return the sign-ups of others around an instant, the nearest `most` on each side."""
    when = KnownUser.signed_up_at
    rows = select(when, KnownUser.user_id).where(others)
    before = rows.where(when <= at, when >= at - window).order_by(when.desc()).limit(most)
    after = rows.where(when > at, when <= at + window).order_by(when).limit(most)
    found = [*session.execute(before), *session.execute(after)]
    return [(found_at, user_id) for found_at, user_id in found if found_at is not None]


def _velocity(session: Session, progress: ReferralProgress, most: int) -> Iterator[Finding]:
    """Find recruits, this one or later ones, who came when the referrer had `most` others within a day."""
    newest = (
        select(ReferralProgress.started_at, ReferralProgress.user_id, ReferralProgress.referral_id)
        .where(ReferralProgress.referrer_user_id == progress.referrer_user_id)
        .order_by(ReferralProgress.referral_id.desc())
        .limit(_NEWEST_RECRUITS)
    )
    recruits = sorted((row.started_at, row.user_id, row.referral_id) for row in session.execute(newest))
    beyond = [
        last[2]
        for first, last in zip(recruits, recruits[most:], strict=False)
        if last[:2] >= (progress.started_at, progress.user_id) and last[0] - first[0] < _DAY
    ]
    if beyond:
        reason = f"The referrer has more than {most} recruits within a day."
        # Those after the first `most` of them were beyond it without this recruit.
        yield Finding(VELOCITY, reason, referral_ids=frozenset(beyond[: most + 1]))


def _referrals_of(session: Session, progress: ReferralProgress, finding: Finding) -> Collection[int]:
    if finding.referral_ids:
        return finding.referral_ids
    if finding.user_ids == {progress.user_id}:
        return [progress.referral_id]
    others = select(ReferralProgress.referral_id).where(ReferralProgress.user_id.in_(finding.user_ids))
    return sorted({progress.referral_id, *session.scalars(others)})


def _has_spoken(session: Session, referral_id: int, rule: str) -> bool:
    spoken = select(ReferralFlag.id).where(ReferralFlag.referral_id == referral_id, ReferralFlag.rule == rule)
    return session.scalar(spoken) is not None


def _flag(session: Session, progress: ReferralProgress, finding: Finding, recorder: Recorder) -> bool:
    """Flag a locked referral by a rule; return whether it is to be reviewed from now on.

    What a person has decided stays decided.
    """
    referral_id, is_undecided = progress.referral_id, progress.review == Review.PENDING
    session.add(
        ReferralFlag(referral_id=referral_id, rule=finding.rule, reason=finding.reason, at=recorder.now)
    )
    if is_undecided:
        progress.review = Review.FLAGGED
    session.flush()
    data = {"rule": finding.rule, "reason": finding.reason}
    events.record(session, recorder.event(referral_id, "referral.flagged", **data))
    return is_undecided


def _in_words(window: timedelta) -> str:
    hours = window.total_seconds() / 3600
    return "an hour" if hours == 1 else f"{hours:g} hours"


def flags_of(session: Session, referral_ids: Sequence[int]) -> dict[int, list[ReferralFlag]]:
    """Return the flags of referrals, oldest first."""
    found: dict[int, list[ReferralFlag]] = {referral_id: [] for referral_id in referral_ids}
    rows = select(ReferralFlag).where(ReferralFlag.referral_id.in_(referral_ids)).order_by(ReferralFlag.id)
    for flag in session.scalars(rows):
        found[flag.referral_id].append(flag)
    return found
