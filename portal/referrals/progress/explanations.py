"""Why a referral is rewarded or not: each condition with its evidence or what it waits for. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

from portal.referrals.progress.models import ADOPTED, ConditionEvidence, ReferralProgress, SpendSeen
from portal.referrals.progress.service import OPEN, SPEND
from portal.referrals.rewards.models import RewardGrant
from portal.referrals.schemes.conditions import threshold_in
from portal.referrals.schemes.queries import AskedCondition
from portal.referrals.states import ReferralStatus, Review, RewardStatus

_DELIVERED = frozenset({RewardStatus.FULFILLED, RewardStatus.SENT, RewardStatus.REDEEMED})
_UNDER_WAY = frozenset({RewardStatus.EARNED})
_UNLESS_THERE = {
    Review.FLAGGED: "it waits for somebody to decide about the referral",
    Review.DENIED: "it is not delivered, since a review denied it",
}


class CheckState(StrEnum):
    MET = "met"
    WAITING = "waiting"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class PassedRun:
    """The last poll that came to its end: whom it passed over, a retry has asked since, or will."""

    id: int
    started_at: datetime
    ended_at: datetime


@dataclass(frozen=True, slots=True)
class Polls:
    """When the spend service is asked next; None while nothing is known of earlier polls."""

    next_at: datetime | None
    in_progress: bool
    last: PassedRun | None = None


@dataclass(frozen=True, slots=True)
class FailedPoll:
    """That the batch of a referral failed, `attempts` times so far; without `next_at` it is out of retries.

    `under_way` is a retry that is being made just now.
    """

    reason: str
    attempts: int
    at: datetime
    next_at: datetime | None
    under_way: bool = False


@dataclass(frozen=True, slots=True)
class Known:
    """What is recorded about one condition of a referral; `late_at` is when it happened too late.

    `recorded_at` is since when the referral is known, and so asked for, if that is known.
    """

    met_at: datetime | None = None
    evidence: ConditionEvidence | None = None
    seen: SpendSeen | None = None
    late_at: datetime | None = None
    failed_poll: FailedPoll | None = None
    recorded_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Check:
    """One condition of a referral: its state, why, what shows it, and when it is looked at next.

    `threshold` and `currency` are asked for; `amount` was seen, at `at`, by the source. `next_at` is the
    next poll; `until` is the instant from which on nothing counts. `trouble` tells of a poll that failed, at
    `trouble_at`; `asked_by` is the last poll of which it is sure that the user was asked for, then or since.
    """

    name: str
    event_type: str
    state: CheckState
    reason: str
    at: datetime | None = None
    source: str | None = None
    source_id: str | None = None
    amount: Decimal | None = None
    seen_currency: str | None = None
    threshold: Decimal | None = None
    currency: str | None = None
    next_check: str | None = None
    next_at: datetime | None = None
    until: datetime | None = None
    trouble: str | None = None
    trouble_at: datetime | None = None
    asked_by: PassedRun | None = None


@dataclass(frozen=True, slots=True)
class Why:
    """In one sentence, why a referral has brought its rewards or not; `at` is when that was decided."""

    tone: str
    text: str
    at: datetime | None = None


def check_condition(
    asked: AskedCondition, progress: ReferralProgress, known: Known, *, polls: Polls, now: datetime
) -> Check:
    """Explain one condition of a referral."""
    threshold, currency = _asked_amount(asked)
    if known.met_at is not None:
        return _met(asked, known, known.met_at, threshold, currency)
    seen = known.seen if asked.event_type == SPEND else None
    facts: dict[str, Any] = {"threshold": threshold, "currency": currency}
    if seen is not None:
        facts |= {
            "at": seen.at,
            "source": "poll",
            "source_id": str(seen.poll_run_id),
            "amount": seen.amount,
            "seen_currency": seen.currency,
        }
    if progress.status not in OPEN:
        facts |= {"at": known.late_at} if known.late_at else {}
        reason = _why_failed(asked, progress, known)
        return Check(asked.name, asked.event_type, CheckState.FAILED, reason, **facts)
    until = progress.expires_at
    is_over = until is not None and now >= until
    facts["until"] = until
    if asked.event_type != SPEND:
        facts["next_check"] = "as soon as a message comes"
    elif not is_over:
        facts |= _asking(known, polls, until)
    reason = _why_waiting(asked, seen, currency, known, is_over=is_over)
    return Check(asked.name, asked.event_type, CheckState.WAITING, reason, **facts)


def why_not_rewarded(
    progress: ReferralProgress, checks: Sequence[Check], grants: Sequence[RewardGrant]
) -> Why:
    """Say in one sentence where the rewards of a referral are."""
    missing = [check.name for check in checks if check.state is not CheckState.MET]
    if progress.status == ReferralStatus.EXPIRED:
        return Why("bad", f"No reward: its time was over before {_list(missing)}.", progress.ended_at)
    if progress.status == ReferralStatus.CANCELLED:
        return Why("bad", "No reward: the referral was cancelled.", progress.ended_at)
    if progress.status in OPEN:
        met = len(checks) - len(missing)
        text = f"No reward yet: waits for {_list(missing)} ({met} of {len(checks)} conditions met)."
        if progress.review == Review.FLAGGED:
            text += " It is flagged: its rewards will wait for a review."
        if progress.review == Review.DENIED:
            text += " A review has denied it: it will bring no rewards."
        return Why("wait", text)
    return _why_grants(progress, checks, grants)


def _why_grants(progress: ReferralProgress, checks: Sequence[Check], grants: Sequence[RewardGrant]) -> Why:
    if not grants and all(check.source == ADOPTED for check in checks):
        text = "It converted in the old service, which dealt with its rewards; what it paid is not known."
        return Why("info", text, progress.ended_at)
    if not grants:
        return Why("wait", "It has converted, and its rewards are not recorded yet.", progress.ended_at)
    if all(grant.status in _DELIVERED for grant in grants):
        return Why("ok", "Rewarded: both rewards are delivered.", progress.ended_at)
    unless_there = _UNLESS_THERE.get(Review(progress.review))
    parts = [_of_grant(grant, unless_there) for grant in grants if grant.status not in _DELIVERED]
    waits = unless_there is None and all(grant.status in _DELIVERED | _UNDER_WAY for grant in grants)
    return Why("info" if waits else "bad", " ".join(parts), progress.ended_at)


def _of_grant(grant: RewardGrant, unless_there: str | None) -> str:
    whose = f"The {grant.side}’s reward"
    if grant.status == RewardStatus.EARNED:
        tried = f" It was tried {grant.attempts} times: {grant.reason}" if grant.reason else ""
        if unless_there is not None:
            return f"{whose} may be there, and is asked for: if it is not, {unless_there}.{tried}"
        return f"{whose} is earned, and its delivery is under way.{tried}"
    words = {
        RewardStatus.PENDING: "waits",
        RewardStatus.FAILED: "could not be delivered",
        RewardStatus.CANCELLED: "was cancelled",
    }
    text = f"{whose} {words.get(RewardStatus(grant.status), f'is {grant.status}')}"
    return f"{text}: {grant.reason}" if grant.reason else f"{text}."


def _met(
    asked: AskedCondition, known: Known, met_at: datetime, threshold: Decimal | None, currency: str | None
) -> Check:
    evidence = known.evidence
    if evidence is None or evidence.source == ADOPTED:
        reason = "Met in the old service, which kept no evidence of it."
        return Check(asked.name, asked.event_type, CheckState.MET, reason, at=met_at, source=ADOPTED)
    return Check(
        asked.name,
        asked.event_type,
        CheckState.MET,
        "Met: a poll saw the spend." if evidence.source == "poll" else "Met: a message told of it.",
        at=evidence.at,
        source=evidence.source,
        source_id=evidence.source_id,
        amount=evidence.amount,
        seen_currency=evidence.currency,
        # What the evidence was held against, which an adopted scheme's data may not tell.
        threshold=evidence.threshold if evidence.threshold is not None else threshold,
        currency=evidence.currency or currency,
    )


def _why_failed(asked: AskedCondition, progress: ReferralProgress, known: Known) -> str:
    if known.late_at is not None:
        return "It came when the time of the referral was over."
    if progress.status == ReferralStatus.EXPIRED:
        if asked.event_type == SPEND:
            return "It had not come when the referral expired."
        return "It had not come when the referral expired. Late word of what happened before still counts."
    return f"It had not come when the referral was {progress.status}."


def _why_waiting(
    asked: AskedCondition, seen: SpendSeen | None, currency: str | None, known: Known, *, is_over: bool
) -> str:
    if known.late_at is not None:
        return "It came when the time of the referral was over; the referral expires shortly."
    if is_over and asked.event_type == SPEND:
        return "The time is over: no poll asks for it any more; the referral expires shortly."
    if is_over:
        return "The time is over: only what happened before still counts, if a message comes late."
    if asked.event_type != SPEND:
        return "No message has told of it."
    if seen is None:
        return "No poll has seen a spend."
    if currency is not None and seen.currency != currency:
        return f"The spend that was seen is in {seen.currency}, the threshold is in {currency}."
    return "The spend that was seen is below the threshold."


def _asking(known: Known, polls: Polls, until: datetime | None) -> dict[str, Any]:
    """Tell when the spend of a user is asked for next, and what came of the last time."""
    failed = known.failed_poll
    if failed is None:
        facts: dict[str, Any] = {"asked_by": _asked_by(known, polls, until)}
    else:
        times = "once" if failed.attempts == 1 else f"{failed.attempts} times"
        facts = {"trouble": f"The last poll failed, {times} so far: {failed.reason}", "trouble_at": failed.at}
        if failed.under_way:
            return facts | {"next_check": "a try is under way"}
        if failed.next_at is not None:
            return facts | {"next_check": "the next try", "next_at": failed.next_at}
        facts["trouble"] += " It is out of retries and waits for a push; each poll asks once more."
    if polls.in_progress:
        return facts | {"next_check": "a poll is under way"}
    return facts | {
        "next_check": "the next poll" if polls.next_at else "the first poll",
        "next_at": polls.next_at,
    }


def _asked_by(known: Known, polls: Polls, until: datetime | None) -> PassedRun | None:
    last = polls.last
    if last is None or known.recorded_at is None or known.recorded_at >= last.started_at:
        return None
    return last if until is None or last.ended_at < until else None


def _asked_amount(asked: AskedCondition) -> tuple[Decimal | None, str | None]:
    currency = asked.data.get("currency")
    return threshold_in(asked.data), currency if isinstance(currency, str) else None


def _list(names: Sequence[str]) -> str:
    if len(names) < 2:
        return "".join(names) or "nothing more"
    return f"{', '.join(names[:-1])} and {names[-1]}"
