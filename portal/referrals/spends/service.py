"""The spend condition: whose spend is still asked for, and what an answer comes to."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any, Literal, NamedTuple

from sqlalchemy import Select, Subquery, and_, delete, insert, select, union_all
from sqlalchemy.orm import Session

from portal import events
from portal.clients.spend import Spend
from portal.referrals.models import ReferralCondition, SchemeCondition
from portal.referrals.progress.known_users import lock_users
from portal.referrals.progress.models import ReferralProgress, SpendSeen
from portal.referrals.progress.service import OPEN, SPEND, Evidence, meet_condition
from portal.referrals.recorder import Recorder
from portal.referrals.schemes.conditions import condition_met_by, data_of, threshold_in

_BY_STATUS = "FORCE INDEX (ix_referral_progress_status_referral_id)"
# By the condition it would look at all who ever met it.
_BY_KEY = "FORCE INDEX (PRIMARY)"

Verdict = Literal["met", "below", "other-currency", "no-threshold"]

_WHY_NOT: dict[Verdict, str] = {
    "other-currency": "What the user spent is in another currency than the threshold, and does not count.",
    "no-threshold": "The scheme asks for a spend, but its threshold cannot be read.",
}


class OpenReferral(NamedTuple):
    """A referral whose spend is asked for: the condition's data, and what was seen last."""

    referral_id: int
    user_id: int
    data: str
    seen_amount: Decimal | None
    seen_currency: str | None


@dataclass(frozen=True, slots=True)
class Batch:
    """Open referrals in the order of their ids, as they were at `at`; without `last_id` none were left."""

    referrals: Sequence[OpenReferral]
    at: datetime
    last_id: int | None

    @property
    def user_ids(self) -> list[int]:
        """Give each user once: one may be referred in several schemes."""
        return list(dict.fromkeys(one.user_id for one in self.referrals))


Met = tuple[OpenReferral, Evidence]


@dataclass(frozen=True, slots=True)
class Judged:
    """What the amounts of a batch come to: what was seen anew, who met it, and who never will that way."""

    poll_run_id: int
    at: datetime
    seen: Sequence[tuple[OpenReferral, Spend]]
    met: Sequence[Met]
    told: Sequence[tuple[OpenReferral, Spend, Verdict]]


def spend_condition(session: Session) -> int | None:
    """Return the id of the condition that spends meet, if there is one."""
    return condition_met_by(session, SPEND)


def read_open(
    session: Session,
    condition_id: int,
    *,
    now: datetime,
    after: int,
    before: int | None = None,
    limit: int,
) -> Batch:
    """Read the next `limit` open referrals with ids between `after` and `before`, but not all of them.

    Those that met the condition already, have expired, or came by a scheme without it are left out; the
    batch knows the last id that was looked at, beyond which the next one begins.
    """
    chosen = _next_ids(after, before, limit)
    rows = session.execute(_with_what_is_known(chosen, condition_id, now)).all()
    last_id = rows[-1].referral_id if rows else None
    return Batch([OpenReferral._make(row[:-1]) for row in rows if row[-1]], now, last_id)


def _with_what_is_known(chosen: Subquery, condition_id: int, now: datetime) -> Select[*tuple[Any, ...]]:
    progress = ReferralProgress
    is_asked = and_(
        SchemeCondition.condition_id.is_not(None),
        ReferralCondition.condition_id.is_(None),
        progress.expires_at.is_(None) | (progress.expires_at > now),
    )
    of_scheme = and_(
        SchemeCondition.referral_scheme_id == progress.scheme_id, SchemeCondition.condition_id == condition_id
    )
    met = and_(
        ReferralCondition.referral_id == progress.referral_id, ReferralCondition.condition_id == condition_id
    )
    return (
        select(
            progress.referral_id,
            progress.user_id,
            SchemeCondition.data,
            SpendSeen.amount,
            SpendSeen.currency,
            is_asked,
        )
        .with_hint(ReferralCondition, _BY_KEY, "mysql")
        .select_from(chosen)
        .join(progress, progress.referral_id == chosen.c.referral_id)
        .outerjoin(SchemeCondition, of_scheme)
        .outerjoin(ReferralCondition, met)
        .outerjoin(SpendSeen, SpendSeen.referral_id == progress.referral_id)
        .order_by(chosen.c.referral_id)
    )


def _next_ids(after: int, before: int | None, limit: int) -> Subquery:
    # Of each status a walk through the index, and only then what else is known of those few: a single
    # SELECT with EXISTS makes MariaDB read and sort all open referrals for every batch.
    walks = [select(_walk(status, after, before, limit).subquery()) for status in OPEN]
    found = union_all(*walks).subquery()
    return select(found.c.referral_id).order_by(found.c.referral_id).limit(limit).subquery()


def _walk(status: str, after: int, before: int | None, limit: int) -> Select[int]:
    progress = ReferralProgress
    walk = select(progress.referral_id).with_hint(progress, _BY_STATUS, "mysql")
    walk = walk.where(progress.status == status, progress.referral_id > after)
    if before is not None:
        walk = walk.where(progress.referral_id < before)
    return walk.order_by(progress.referral_id).limit(limit)


@lru_cache(maxsize=1024)
def threshold_of(data: str) -> Spend | None:
    """Read the threshold of a condition's data; None when there is none that can be read."""
    told = data_of(data)
    threshold, currency = threshold_in(told), told.get("currency")
    return Spend(threshold, currency) if threshold is not None and isinstance(currency, str) else None


def verdict_on(spend: Spend, threshold: Spend | None) -> Verdict:
    """Decide what an amount comes to: the threshold is met by what equals it, in its own currency only."""
    if threshold is None:
        return "no-threshold"
    if spend.currency != threshold.currency:
        return "other-currency"
    return "met" if spend.amount >= threshold.amount else "below"


def judge(batch: Batch, amounts: Mapping[int, Spend], *, at: datetime, poll_run_id: int) -> Judged:
    """Hold what users have spent, as was answered at `at`, against the thresholds of their schemes."""
    seen, met, told = [], [], []
    for referral in batch.referrals:
        spend = amounts.get(referral.user_id)
        if spend is None:
            continue
        threshold = threshold_of(referral.data)
        verdict = verdict_on(spend, threshold)
        if _is_news(referral, spend):
            seen.append((referral, spend))
            # Once for each currency, not for each amount.
            if verdict in _WHY_NOT and referral.seen_currency != spend.currency:
                told.append((referral, spend, verdict))
        if verdict == "met" and threshold is not None:
            evidence = Evidence("poll", str(poll_run_id), at, spend.amount, threshold.amount, spend.currency)
            met.append((referral, evidence))
    return Judged(poll_run_id, at, seen, met, told)


def _is_news(referral: OpenReferral, spend: Spend) -> bool:
    if referral.seen_amount is None:
        # Most users have spent nothing: that needs no row.
        return spend.amount != 0
    return (referral.seen_amount, referral.seen_currency) != spend


def keep_seen(session: Session, judged: Judged, recorder: Recorder) -> None:
    """Keep the amounts that changed, and tell on their timelines of those that cannot count."""
    if not judged.seen:
        return
    # Written anew: to insert or update many rows at once, each database has words of its own. Also where
    # no row was known: it is there when this is run again because the answer to its commit was lost.
    ids = [referral.referral_id for referral, _ in judged.seen]
    session.execute(
        delete(SpendSeen).where(SpendSeen.referral_id.in_(ids)),
        execution_options={"synchronize_session": False},
    )
    session.connection().execute(
        insert(SpendSeen),
        [
            {
                "referral_id": referral.referral_id,
                "amount": spend.amount,
                "currency": spend.currency,
                "poll_run_id": judged.poll_run_id,
                "at": judged.at,
            }
            for referral, spend in judged.seen
        ],
    )
    events.record_all(session, [_not_counted(*one, recorder) for one in judged.told])


def _not_counted(
    referral: OpenReferral, spend: Spend, verdict: Verdict, recorder: Recorder
) -> events.NewEvent:
    threshold = threshold_of(referral.data)
    return recorder.event(
        referral.referral_id,
        "referral.spend-not-counted",
        code=verdict,
        reason=_WHY_NOT[verdict],
        amount=str(spend.amount),
        currency=spend.currency,
        threshold=None if threshold is None else str(threshold.amount),
        threshold_currency=None if threshold is None else threshold.currency,
    )


def meet(session: Session, met: Sequence[Met], recorder: Recorder) -> Counter[str]:
    """Record that spends meet their conditions; return of how many that was news, and how many converted."""
    lock_users(session, (referral.user_id for referral, _ in met))
    outcomes = [
        meet_condition(session, referral.referral_id, SPEND, evidence, recorder) for referral, evidence in met
    ]
    news: Counter[str] = Counter()
    news[SPEND] = sum(outcome in ("met", "converted") for outcome in outcomes)
    news["conversion"] = outcomes.count("converted")
    return +news
