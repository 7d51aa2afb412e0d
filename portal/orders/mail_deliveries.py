"""What the mail provider says became of mails: the evidence that one went out."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from portal.orders.models import MailDelivery


@dataclass(frozen=True, slots=True)
class Delivered:
    """A mail reached its recipient's server."""

    effect_key: str
    message_id: str
    at: datetime


def record_deliveries(session: Session, deliveries: Sequence[Delivered]) -> int:
    """Keep the first notice of each mail; return how many were new."""
    first = {delivery.effect_key: delivery for delivery in reversed(deliveries)}
    known = set(session.scalars(select(MailDelivery.effect_key).where(MailDelivery.effect_key.in_(first))))
    rows = [
        {"effect_key": key, "message_id": delivery.message_id, "at": delivery.at}
        for key, delivery in sorted(first.items())
        if key not in known
    ]
    if rows:
        session.execute(insert(MailDelivery), rows)
    return len(rows)


def message_id_of(session: Session, effect_key: str) -> str | None:
    """Return the provider's id of a mail that is known to have gone out."""
    return session.scalar(select(MailDelivery.message_id).where(MailDelivery.effect_key == effect_key))
