"""What the rows of conditions say: what meets them, and the data by which a scheme asks for them."""

import json
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from portal.referrals.models import Condition
from portal.referrals.schemes.models import ConditionMeaning


def event_type_of(stored: str, meaning: str | None) -> str:
    """Return what meets a condition: its `meaning` where it was given one, or else the word in its row.

    Without regard to case, as the database of the old service compared such words.
    """
    return meaning or stored.strip().casefold()


def event_types(session: Session) -> dict[int, str]:
    """Return what meets each condition, by its id."""
    rows = select(Condition.id, Condition.event_type, ConditionMeaning.event_type).outerjoin(
        ConditionMeaning, ConditionMeaning.condition_id == Condition.id
    )
    return {condition_id: event_type_of(*words) for condition_id, *words in session.execute(rows)}


def condition_met_by(session: Session, event_type: str) -> int | None:
    """Return the id of the condition that such an event meets, if there is one."""
    found = (condition_id for condition_id, one in event_types(session).items() if one == event_type)
    return next(found, None)


def data_of(stored: str) -> dict[str, Any]:
    """Return the data by which a scheme asks for a condition, its currency in capitals.

    Empty where the old service left something that is not a JSON object.
    """
    try:
        told = json.loads(stored)
    except (ValueError, RecursionError):
        return {}
    if not isinstance(told, dict):
        return {}
    currency = told.get("currency")
    return told | {"currency": currency.strip().upper()} if isinstance(currency, str) else told


def threshold_in(data: Mapping[str, Any]) -> Decimal | None:
    """Return the amount from which on a spend meets a condition; None when none can be read.

    Also one that the old service left as a number: by its digits, not by the binary number next to them.
    """
    try:
        threshold = Decimal(str(data["threshold"]))
    except (KeyError, InvalidOperation):
        return None
    return threshold if threshold.is_finite() else None
