"""Experiments: referring is offered to a percentage of existing users, the same ones every time."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from sqlalchemy import CursorResult, select, update
from sqlalchemy.dialects import mysql, sqlite
from sqlalchemy.orm import Session

from portal import events
from portal.crypto import DataCipher
from portal.errors import Conflict, FieldError, InvalidInput, NotFound
from portal.events import Actor, NewEvent
from portal.referrals.progress.models import KnownUser
from portal.referrals.rewards.models import Experiment, Exposure
from portal.referrals.schemes.models import ActiveScheme

SUBJECT = "experiment"
LONGEST_NAME = 64
_HEX_DIGITS = 13


@dataclass(frozen=True, slots=True)
class Plan:
    """What is decided before an experiment starts, and never changed: a percentage of users, and its end."""

    name: str
    product: str
    percentage: Decimal
    horizon_at: datetime


@dataclass(frozen=True, slots=True)
class Offer:
    """Whether referring is offered to a user; `experiment_id` is the experiment that decided it, if one did.

    `is_new` says that the user comes into the experiment now, which is to be recorded.
    """

    offered: bool
    experiment_id: int | None = None
    is_new: bool = False


def start_experiment(session: Session, plan: Plan, *, actor: Actor, now: datetime) -> int:
    """Start an experiment and return its id; raises Conflict when one already runs for the product."""
    _check(plan, now)
    # Its row is locked, so that of two starts at once the later sees the earlier.
    active = session.get(ActiveScheme, plan.product, with_for_update=True, populate_existing=True)
    if active is None:
        raise Conflict(f"No scheme of the product {plan.product} is active.", code="no-active-scheme")
    running = _running(session, plan.product)
    if running is not None:
        raise Conflict(
            f"The experiment {running.name} still runs for this product.", code="experiment-running"
        )
    if session.scalar(select(Experiment.id).where(Experiment.name == plan.name)) is not None:
        raise Conflict("There has been an experiment of this name.", code="name-taken")
    experiment = Experiment(
        name=plan.name,
        product=plan.product,
        percentage=plan.percentage,
        started_at=now,
        horizon_at=plan.horizon_at,
    )
    session.add(experiment)
    session.flush()
    data = {
        "name": plan.name,
        "product": plan.product,
        "percentage": str(plan.percentage),
        "horizon_at": plan.horizon_at.isoformat(),
    }
    events.record(session, NewEvent(SUBJECT, experiment.id, "experiment.started", actor, now, data))
    return experiment.id


def stop_experiment(session: Session, experiment_id: int, *, actor: Actor, now: datetime) -> None:
    """Stop an experiment, after which referring is offered to everybody; a second stop is a Conflict."""
    stopped = session.execute(
        update(Experiment)
        .where(Experiment.id == experiment_id, Experiment.stopped_at.is_(None))
        .values(stopped_at=now)
    )
    if not isinstance(stopped, CursorResult) or stopped.rowcount != 1:
        if session.get(Experiment, experiment_id) is None:
            raise NotFound("There is no such experiment.")
        raise Conflict("The experiment has been stopped already.", code="already-stopped")
    events.record(session, NewEvent(SUBJECT, experiment_id, "experiment.stopped", actor, now))


def find_offer(session: Session, cipher: DataCipher, user_id: int, product: str, now: datetime) -> Offer:
    """Say whether referring is offered to a user.

    Without a running experiment it is offered to everybody, and without an active scheme to nobody. After
    the horizon the users stay divided until somebody stops the experiment, but no other user comes in. Nor
    does a user who signed up since it began, such as a recruit of it: they are divided like all others, so
    that their answer stays the same, but are no part of it.
    """
    if session.get(ActiveScheme, product) is None:
        return Offer(offered=False)
    experiment = _running(session, product)
    if experiment is None:
        return Offer(offered=True)
    offered = is_chosen(cipher, experiment.id, user_id, experiment.percentage)
    return Offer(offered, experiment.id, _comes_in(session, experiment, user_id, now))


def record_exposure(session: Session, offer: Offer, user_id: int, now: datetime) -> None:
    """Keep that a user came into an experiment; kept already, nothing happens."""
    if offer.experiment_id is None:
        return
    values = {"experiment_id": offer.experiment_id, "user_id": user_id, "offered": offer.offered, "at": now}
    if session.get_bind().dialect.name == "sqlite":
        session.execute(sqlite.insert(Exposure).values(values).on_conflict_do_nothing())
        return
    insert = mysql.insert(Exposure).values(values)
    session.execute(insert.on_duplicate_key_update(user_id=Exposure.user_id))


def is_chosen(cipher: DataCipher, experiment_id: int, user_id: int, percentage: Decimal) -> bool:
    """Tell whether a user is among the percentage: by a keyed hash, the same at every time and place.

    Each experiment divides the users anew, and nobody without the key can tell who is where.
    """
    digits = cipher.blind_index(f"experiment {experiment_id} user {user_id}")[:_HEX_DIGITS]
    return bool(int(digits, 16) * 100 < percentage * 16**_HEX_DIGITS)


def _comes_in(session: Session, experiment: Experiment, user_id: int, now: datetime) -> bool:
    if now >= experiment.horizon_at or session.get(Exposure, (experiment.id, user_id)) is not None:
        return False
    known = session.get(KnownUser, user_id)
    signed_up_at = known.signed_up_at if known is not None else None
    return signed_up_at is None or signed_up_at < experiment.started_at


def _running(session: Session, product: str) -> Experiment | None:
    return session.scalar(
        select(Experiment).where(Experiment.product == product, Experiment.stopped_at.is_(None))
    )


def _check(plan: Plan, now: datetime) -> None:
    errors = []
    if not plan.name.strip() or len(plan.name) > LONGEST_NAME or not plan.name.isprintable():
        errors.append(FieldError("name", f"A name has 1 to {LONGEST_NAME} characters."))
    percentage = plan.percentage
    if not (percentage.is_finite() and 0 < percentage < 100 and percentage == round(percentage, 2)):
        errors.append(FieldError("percentage", "A percentage is above 0 and below 100, in steps of 0.01."))
    if plan.horizon_at <= now:
        errors.append(FieldError("horizon", "The horizon is in the future."))
    if errors:
        raise InvalidInput.of(errors)
