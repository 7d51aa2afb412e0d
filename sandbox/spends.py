"""The spend service: what users have spent, as somebody set it or by a rule of their ids."""

from __future__ import annotations

import re
from typing import Any

from sandbox.answers import Refused, decode_object, encode, invalid
from sandbox.ledger import Effect, Ledger

ASK, SET = "/spend/amounts", "/users/spends"
MOST_USERS = 5000
# From here on users spend by a rule: a load test asks for more of them than anybody would set.
BY_RULE_FROM = 10**12
_CURRENCY_OF_ALL = "USD"
_KIND = "user.spent"
# Net of refunds; and with more decimals than money has, as a service may say it by mistake.
_MONEY = re.compile(r"-?[0-9]{1,12}(\.[0-9]{1,4})?")
_CURRENCY = re.compile(r"[A-Z]{3}")


class Spends:
    """What was set is in the ledger, under the system `users`, so that it outlasts the process."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._set: dict[int, tuple[str, str]] = {}
        after = 0
        while page := ledger.page("users", order=None, after=after, limit=1000):
            after = page[-1].id
            for effect in page:
                if effect.kind == _KIND:
                    self._keep(decode_object(effect.request.encode()))

    def set_amount(self, body: bytes, at: str) -> bytes:
        """Set what a user has spent in all, in one currency, and write it down."""
        request = decode_object(body)
        for field, shape in (("amount", _MONEY), ("currency", _CURRENCY)):
            value = request.get(field)
            if not isinstance(value, str) or not shape.fullmatch(value):
                raise invalid(field, f"{field} must be a text such as 100.00 or USD.")
        user_id = request.get("user_id")
        if not _is_user(user_id):
            raise invalid("user_id", "user_id must be a whole number from 1.")
        number = self._ledger.next_id()
        answer = encode({"user_id": user_id})
        self._ledger.append(
            Effect(
                id=number,
                at=at,
                system="users",
                key=None,
                order_number=str(user_id),
                kind=_KIND,
                about=str(number),
                external_id=str(number),
                request=body.decode(),
                answer=answer.decode(),
            )
        )
        self._keep(request)
        return answer

    def amounts(self, body: bytes) -> bytes:
        """Answer what users have spent: nothing, unless it was set, or a rule says so."""
        user_ids = decode_object(body).get("user_ids")
        if not isinstance(user_ids, list) or not all(map(_is_user, user_ids)):
            raise invalid("user_ids", "user_ids must be a list of whole numbers from 1.")
        if len(user_ids) > MOST_USERS:
            raise Refused(422, "too-many-users", f"At most {MOST_USERS} users may be asked for at once.")
        return b'{"amounts":[%s]}' % ",".join(map(self._entry, user_ids)).encode()

    def _entry(self, user_id: int) -> str:
        # By hand: this is asked for a million users in two minutes.
        amount, currency = self._set.get(user_id) or (_by_rule(user_id), _CURRENCY_OF_ALL)
        return f'{{"user_id":{user_id},"amount":"{amount}","currency":"{currency}"}}'

    def _keep(self, request: dict[str, Any]) -> None:
        self._set[request["user_id"]] = (request["amount"], request["currency"])


def _by_rule(user_id: int) -> str:
    if user_id < BY_RULE_FROM:
        return "0.00"
    tenths = user_id % 1000
    return f"{tenths // 10}.{tenths % 10}0"


def _is_user(value: object) -> bool:
    return type(value) is int and 0 < value < 2**63
