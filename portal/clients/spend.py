"""The spend service."""

import re
from collections.abc import Sequence
from decimal import Decimal
from typing import Any, NamedTuple

from portal.clients.http import Answer, HttpSystem
from portal.errors import Upstream

_MONEY = re.compile(r"[0-9]{1,12}(\.[0-9]{1,2})?", re.ASCII)
_CURRENCY = re.compile(r"[A-Z]{3}")


class Spend(NamedTuple):
    """What a user has spent in all, in one currency."""

    amount: Decimal
    currency: str


def amounts(system: HttpSystem, user_ids: Sequence[int]) -> dict[int, Spend]:
    """Ask what users have spent; one whom the service does not know may be missing.

    Raises Upstream, also when the answer is not what it should be.
    """
    answer = system.ask("/amounts", {"user_ids": list(user_ids)})
    entries = answer.body.get("amounts")
    if not isinstance(entries, list):
        raise _garbage(answer, "without amounts")
    try:
        found = {entry["user_id"]: _spend(entry) for entry in entries}
    except (TypeError, KeyError, ValueError):
        raise _garbage(answer, "with an amount that cannot be read") from None
    if len(found) != len(entries) or not found.keys() <= set(user_ids):
        raise _garbage(answer, "with other users than it was asked for, or with one twice")
    return found


def _spend(entry: dict[str, Any]) -> Spend:
    amount, currency = entry["amount"], entry["currency"]
    if not _MONEY.fullmatch(amount) or not _CURRENCY.fullmatch(currency):
        raise ValueError("not an amount of money")
    return Spend(Decimal(amount), currency)


def _garbage(answer: Answer, how: str) -> Upstream:
    return Upstream(
        f"The spend service answered {how}.", code="spend-garbage", retryable=True, status=answer.status
    )
