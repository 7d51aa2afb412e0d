"""The spend service."""

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

from portal.clients.http import Answer, HttpSystem
from portal.errors import Upstream

# Net of refunds, which may be more than was spent.
_MONEY = re.compile(r"-?[0-9]{1,12}(\.[0-9]{1,2})?", re.ASCII)
_CURRENCY = re.compile(r"[A-Z]{3}")
_EXCERPT = 80


class Spend(NamedTuple):
    """What a user has spent in all, in one currency."""

    amount: Decimal
    currency: str


class Amounts(NamedTuple):
    """What users have spent; `unreadable` is what was said of those of whom no amount can be read."""

    spends: Mapping[int, Spend]
    unreadable: Mapping[int, str]


def amounts(system: HttpSystem, user_ids: Sequence[int]) -> Amounts:
    """Ask what users have spent; one whom the service does not know may be missing.

    Raises Upstream, also when the answer is not what it should be.
    """
    answer = system.ask("/amounts", {"user_ids": list(user_ids)})
    entries = answer.body.get("amounts")
    if not isinstance(entries, list):
        raise _garbage(answer, "without amounts")
    asked, spends, unreadable = set(user_ids), dict[int, Spend](), dict[int, str]()
    for entry in entries:
        user_id = _user_of(entry, answer)
        if user_id not in asked:
            raise _garbage(answer, "with other users than it was asked for, or with one twice")
        asked.remove(user_id)
        try:
            spends[user_id] = _spend(entry)
        except (TypeError, KeyError, ValueError):
            unreadable[user_id] = f"{entry.get('amount')!r}, {entry.get('currency')!r}"[:_EXCERPT]
    return Amounts(spends, unreadable)


def _user_of(entry: Any, answer: Answer) -> int:
    user_id = entry.get("user_id") if isinstance(entry, dict) else None
    if type(user_id) is not int:
        raise _garbage(answer, "with an amount of nobody")
    return user_id


def _spend(entry: dict[str, Any]) -> Spend:
    amount, currency = entry["amount"], entry["currency"]
    if not _MONEY.fullmatch(amount) or not _CURRENCY.fullmatch(currency):
        raise ValueError("not an amount of money")
    return Spend(Decimal(amount), currency)


def _garbage(answer: Answer, how: str) -> Upstream:
    return Upstream(
        f"The spend service answered {how}.", code="spend-garbage", retryable=True, status=answer.status
    )
