"""Taking over a database of the old service: our rows beside its own, which stay as they are."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import func, insert, inspect, select, text
from sqlalchemy.dialects import mysql
from sqlalchemy.orm import Session

from portal import events
from portal.events import Actor, NewEvent
from portal.referrals.adoption import conditions as adopted_conditions
from portal.referrals.adoption import established
from portal.referrals.adoption.established import Difference, Weight
from portal.referrals.models import (
    PollTask,
    Referral,
    ReferralCondition,
    ReferralScheme,
    SchemeCondition,
)
from portal.referrals.progress.models import ADOPTED, ConditionEvidence, ReferralProgress
from portal.referrals.progress.service import SIGN_UP
from portal.referrals.schemes.conditions import condition_met_by, data_of
from portal.referrals.schemes.models import ActiveScheme, ReferrerUsage, SchemeBudget, SchemeVersion
from portal.referrals.schemes.periods import PeriodType, end_of_period, period_type
from portal.referrals.states import ReferralStatus, Review, SchemeState

BATCH = 2_000
# The clock of MySQL begins there; what lies before are the zeros of a server that was not strict.
_FIRST_TIME = "1970-01-01 00:00:01"
_LAST_ACTIVATED_FIRST = (
    ReferralScheme.active.desc(),
    ReferralScheme.activated_at.desc(),
    ReferralScheme.id.desc(),
)


@dataclass(frozen=True, slots=True)
class Survey:
    """What an adoption found, and how many schemes, referrals and met conditions have no rows of ours yet.

    `active` of the schemes will be active with us.
    """

    differences: list[Difference]
    schemes: int = 0
    active: int = 0
    referrals: int = 0
    met: int = 0

    @property
    def is_possible(self) -> bool:
        return all(difference.weight is not Weight.STOPS for difference in self.differences)


@dataclass(frozen=True, slots=True)
class Batch:
    """What one batch did: the last referral it looked at (None: there are no more), and their statuses."""

    last_id: int | None
    statuses: Counter[str]


@dataclass(frozen=True, slots=True)
class _Terms:
    """What a scheme asks for: its conditions, those of them beyond the sign-up, and its period."""

    conditions: frozenset[int]
    beyond: frozenset[int]
    period_type: str
    period_length: int


def survey(session: Session, meanings: Mapping[str, str]) -> Survey:
    """Tell how a database differs from the established one, and what has no rows of ours yet.

    `meanings` say what event types of the old service mean.
    """
    if session.get_bind().dialect.name == "sqlite":
        return Survey([Difference(Weight.STOPS, "The old service used MySQL; this is SQLite.")])
    if not established.has_established_tables(session):
        said = "There is nothing to adopt: none of the established tables is in this database."
        return Survey([Difference(Weight.STOPS, said)])
    differences = established.differences(session)
    if any(one.weight is Weight.STOPS for one in differences):
        return Survey(differences)
    present = set(inspect(session.connection()).get_table_names())
    differences += _of_rows(session, meanings, present)
    schemes, active = _schemes_without(session, present)
    differences += _of_schemes(session, schemes, active, present)
    return Survey(
        differences,
        len(schemes),
        len(active),
        _count_without(session, Referral.id, ReferralProgress.referral_id, present),
        _count_without(session, ReferralCondition.referral_id, ReferralProgress.referral_id, present),
    )


def add_missing(session: Session, differences: Sequence[Difference]) -> None:
    """Add the indexes and constraints that are missing; missing tables come with the migrations."""
    for difference in differences:
        if difference.statement is not None:
            session.execute(text(difference.statement))


def adopt_schemes(
    session: Session, *, currency: str, meanings: Mapping[str, str], actor: Actor, now: datetime
) -> int:
    """Make each old scheme that is not ours yet a family of its own, and return how many there were.

    What event types of the old service mean is kept with them.
    `currency` is that of rewards where no condition of the scheme names one. Of several active schemes of a
    product the one that was activated last is active with us.
    """
    unknown = (
        select(ReferralScheme)
        .outerjoin(SchemeVersion, SchemeVersion.scheme_id == ReferralScheme.id)
        .where(SchemeVersion.scheme_id.is_(None))
        .order_by(*_LAST_ACTIVATED_FIRST)
        .with_for_update()
    )
    schemes = session.scalars(unknown).all()
    adopted_conditions.keep_meanings(session, meanings, actor=actor, now=now)
    active = _to_activate(schemes, set(session.scalars(select(ActiveScheme.product))))
    named = _currencies(session)
    for scheme in schemes:
        state = SchemeState.ACTIVE if scheme.id in active else SchemeState.HISTORIC
        session.add(_version_of(scheme, state, named.get(scheme.id, currency), actor))
        session.add(SchemeBudget(family_id=scheme.id, total=None, reserved=0, committed=0, spent=0))
        if scheme.id in active:
            session.add(ActiveScheme(product=scheme.product, scheme_id=scheme.id))
    session.flush()
    events.record_all(
        session,
        [
            NewEvent("scheme", scheme.id, "scheme.adopted", actor, now, {"product": scheme.product})
            for scheme in sorted(schemes, key=lambda scheme: scheme.id)
        ],
    )
    return len(schemes)


def adopt_referrals(session: Session, *, after: int, until: datetime, limit: int = BATCH) -> Batch:
    """Give the next referrals above an id their progress and evidence, where they have none.

    A referral that met all conditions is converted, and counts against its referrer's limit, but nothing is
    granted: the old service did that. The rest is open, or expired when its period ended at `until` or
    before.
    """
    referrals = session.scalars(
        select(Referral)
        .outerjoin(ReferralProgress, ReferralProgress.referral_id == Referral.id)
        .where(Referral.id > after, ReferralProgress.referral_id.is_(None))
        .order_by(Referral.id)
        .limit(limit)
    ).all()
    if not referrals:
        return Batch(None, Counter())
    terms = _terms(session, {referral.referral_scheme_id for referral in referrals})
    met: dict[int, list[ReferralCondition]] = defaultdict(list)
    ids = [referral.id for referral in referrals]
    for row in session.scalars(select(ReferralCondition).where(ReferralCondition.referral_id.in_(ids))):
        met[row.referral_id].append(row)
    progress = [
        _progress_of(referral, terms[referral.referral_scheme_id], met[referral.id], until)
        for referral in referrals
    ]
    session.execute(insert(ReferralProgress), progress)
    if evidence := [_evidence_of(row) for rows in met.values() for row in rows]:
        session.execute(insert(ConditionEvidence), evidence)
    _count_rewards(session, progress)
    return Batch(ids[-1], Counter(str(row["status"]) for row in progress))


def _of_rows(session: Session, meanings: Mapping[str, str], present: set[str]) -> list[Difference]:
    told: list[Difference] = []
    for column in (
        ReferralScheme.activated_at,
        Referral.created_at,
        ReferralCondition.created_at,
        PollTask.updated_at,
    ):
        table = column.class_.__tablename__
        zeros = select(func.count()).select_from(column.class_).where(column < func.timestamp(_FIRST_TIME))
        if table in present and (count := session.scalar(zeros)):
            told.append(Difference(Weight.STOPS, f"{count} rows of {table} have no valid {column.key}."))
    if "task_manager" in present:
        told += _of_task(session.scalar(select(func.count()).select_from(PollTask)) or 0)
    if "condition_table" in present:
        told += adopted_conditions.differences(session, meanings, present)
    return told


def _of_task(rows: int) -> list[Difference]:
    if rows == 0:
        return [Difference(Weight.ADDS, "The row of task_manager is missing; it will be added.")]
    if rows > 1:
        return [Difference(Weight.STOPS, f"There are {rows} rows of task_manager instead of one.")]
    return []


def _schemes_without(session: Session, present: set[str]) -> tuple[Sequence[ReferralScheme], set[int]]:
    """Return the schemes that have no rows of ours yet, and which of them will be active with us."""
    if ReferralScheme.__tablename__ not in present:
        return [], set()
    wanted = select(ReferralScheme).order_by(*_LAST_ACTIVATED_FIRST)
    if SchemeVersion.__tablename__ in present:
        wanted = wanted.where(ReferralScheme.id.not_in(select(SchemeVersion.scheme_id)))
    taken = set[str]()
    if ActiveScheme.__tablename__ in present:
        taken = set(session.scalars(select(ActiveScheme.product)))
    schemes = session.scalars(wanted).all()
    return schemes, _to_activate(schemes, taken)


def _to_activate(last_activated_first: Sequence[ReferralScheme], taken: Collection[str]) -> set[int]:
    """Return of each product that has no active scheme with us the one that was activated last."""
    chosen: dict[str, int] = {}
    for scheme in last_activated_first:
        if scheme.active and scheme.product not in taken:
            chosen.setdefault(scheme.product, scheme.id)
    return set(chosen.values())


def _of_schemes(
    session: Session, schemes: Sequence[ReferralScheme], active: Collection[int], present: set[str]
) -> Iterator[Difference]:
    named: Mapping[int, str] = {}
    asking: Collection[int] = ()
    if SchemeCondition.__tablename__ in present:
        named = _currencies(session)
        asking = set(session.scalars(select(SchemeCondition.referral_scheme_id).distinct()))
    for product, count in Counter(scheme.product for scheme in schemes if scheme.active).items():
        if count > 1:
            said = f"{count} schemes of the product {product} are active"
            yield Difference(Weight.NOTE, f"{said}; with us the last activated one will be.")
    for scheme in sorted(schemes, key=lambda scheme: scheme.id):
        if scheme.id in active and scheme.id not in asking:
            said = (
                f"The active scheme {scheme.id} asks for no condition, so that no referral could convert"
                " under it: give it its conditions, or make it inactive."
            )
            yield Difference(Weight.STOPS, said)
        for said in _of_terms(scheme, has_currency=scheme.id in named):
            yield Difference(Weight.NOTE, f"The scheme {scheme.id} {said}")


def _of_terms(scheme: ReferralScheme, *, has_currency: bool) -> Iterator[str]:
    kind, length = period_type(scheme.expiry_period_type), scheme.expiry_period_length
    if kind is None:
        yield f"has a period of type {scheme.expiry_period_type!r}, which is unknown: it never ends."
    elif kind is not PeriodType.NEVER and length <= 0:
        yield f"has a period of {length} {kind}s: it never ends."
    if not has_currency:
        yield "names no currency: its rewards are in that which --currency says."


def _count_without(session: Session, theirs: Any, ours: Any, present: set[str]) -> int:
    if theirs.class_.__tablename__ not in present:
        return 0
    counted = select(func.count()).select_from(theirs.class_)
    if ours.class_.__tablename__ in present:
        counted = counted.outerjoin(ours.class_, ours == theirs).where(ours.is_(None))
    return session.scalar(counted) or 0


def _version_of(scheme: ReferralScheme, state: SchemeState, currency: str, actor: Actor) -> SchemeVersion:
    return SchemeVersion(
        scheme_id=scheme.id,
        family_id=scheme.id,
        version=1,
        name=f"{scheme.product} {scheme.id}",
        state=state,
        currency=currency,
        created_by=actor.name,
        created_at=scheme.activated_at,
    )


def _currencies(session: Session) -> dict[int, str]:
    """Return the currency that the conditions of each scheme name, where they do."""
    found: dict[int, str] = {}
    for scheme_id, data in session.execute(select(SchemeCondition.referral_scheme_id, SchemeCondition.data)):
        currency = data_of(data).get("currency")
        if isinstance(currency, str) and len(currency) == 3 and currency.isascii() and currency.isalpha():
            found.setdefault(scheme_id, currency)
    return found


def _terms(session: Session, scheme_ids: set[int]) -> Mapping[int, _Terms]:
    conditions: dict[int, list[int]] = defaultdict(list)
    asked = (
        select(SchemeCondition.referral_scheme_id, SchemeCondition.condition_id)
        .where(SchemeCondition.referral_scheme_id.in_(scheme_ids))
        .order_by(SchemeCondition.referral_scheme_id, SchemeCondition.ordinal, SchemeCondition.condition_id)
    )
    for scheme_id, condition_id in session.execute(asked):
        conditions[scheme_id].append(condition_id)
    # Where no condition is known to be the sign-up, the first one was it.
    sign_up = condition_met_by(session, SIGN_UP)
    schemes = session.scalars(select(ReferralScheme).where(ReferralScheme.id.in_(scheme_ids)))
    return {
        scheme.id: _Terms(
            frozenset(conditions[scheme.id]),
            frozenset(conditions[scheme.id]) - {sign_up or next(iter(conditions[scheme.id]), 0)},
            scheme.expiry_period_type,
            scheme.expiry_period_length,
        )
        for scheme in schemes
    }


def _progress_of(
    referral: Referral, terms: _Terms, met: Sequence[ReferralCondition], until: datetime
) -> dict[str, Any]:
    expires_at = end_of_period(referral.created_at, terms.period_type, terms.period_length)
    done = {row.condition_id for row in met}
    ended_at = None
    if terms.conditions and done.issuperset(terms.conditions):
        status = ReferralStatus.CONVERTED
        ended_at = max(row.created_at for row in met)
    elif expires_at is not None and expires_at <= until:
        status, ended_at = ReferralStatus.EXPIRED, expires_at
    elif done & terms.beyond:
        status = ReferralStatus.QUALIFYING
    else:
        status = ReferralStatus.STARTED
    return {
        "referral_id": referral.id,
        "family_id": referral.referral_scheme_id,
        "scheme_id": referral.referral_scheme_id,
        "user_id": referral.user_id,
        "referrer_user_id": referral.referrer_user_id,
        "invitation_id": None,
        "status": status,
        "review": Review.APPROVED if status is ReferralStatus.CONVERTED else Review.PENDING,
        "started_at": referral.created_at,
        "expires_at": expires_at,
        "ended_at": ended_at,
    }


def _evidence_of(row: ReferralCondition) -> dict[str, Any]:
    return {
        "referral_id": row.referral_id,
        "condition_id": row.condition_id,
        "source": ADOPTED,
        "source_id": f"referral_condition {row.referral_id}/{row.condition_id}",
        "at": row.created_at,
    }


def _count_rewards(session: Session, progress: Sequence[Mapping[str, Any]]) -> None:
    earned = Counter(
        (row["family_id"], row["referrer_user_id"])
        for row in progress
        if row["status"] is ReferralStatus.CONVERTED
    )
    if not earned:
        return
    rows = [
        {"family_id": family, "referrer_user_id": referrer, "rewards": number}
        for (family, referrer), number in sorted(earned.items())
    ]
    added = mysql.insert(ReferrerUsage)
    session.execute(
        added.on_duplicate_key_update(rewards=ReferrerUsage.rewards + added.inserted.rewards), rows
    )
