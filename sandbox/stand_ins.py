"""The stand-ins that take a JSON call and cause an effect: what each accepts, refuses and answers."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from sandbox.answers import Refused, invalid

CARD_CREDIT = Decimal(1_000_000_000)
_MAX_NUMBER = 64
_LARGEST_ID = 2**63
_MONEY = re.compile(r"[0-9]{1,12}(\.[0-9]{1,2})?")


@dataclass(frozen=True, slots=True)
class Outcome:
    """An effect before it is written down; `about` tells apart effects of one kind for one order."""

    kind: str
    external_id: str
    answer: dict[str, Any]
    about: str = ""


@dataclass(frozen=True, slots=True)
class StandIn:
    """One call of one outside system; `act` gets the request, the effect's number and its time (ISO 8601).

    `belongs_to` names what the ledger counts effects by: the order, or what takes its place.
    """

    system: str
    act: Callable[[dict[str, Any], int, str], Outcome]
    belongs_to: Callable[[dict[str, Any]], str]


def redeem(request: dict[str, Any], number: int, _at: str) -> Outcome:
    """Take an amount from a gift card; every card holds CARD_CREDIT at each redemption."""
    card = _text(request, "card_number")
    amount = _money(request, "amount")
    _currency(request)
    if amount is None:
        raise invalid("amount", "An amount is needed.")
    if card.endswith("0000") or amount > CARD_CREDIT:
        raise Refused(422, "insufficient-balance", "The balance of the gift card is too low.")
    redemption = f"RED-{number:09d}"
    answer = {"redemption_id": redemption, "balance": str(CARD_CREDIT - amount)}
    return Outcome("redemption", redemption, answer, about=card)


def accept_order(request: dict[str, Any], number: int, _at: str) -> Outcome:
    """Take over an order into enterprise order management."""
    if not isinstance(request.get("order"), dict):
        raise invalid("order", "The order must be a JSON object.")
    eom_id = f"EOM-{number:09d}"
    return Outcome("order", eom_id, {"eom_id": eom_id})


def issue_document(request: dict[str, Any], number: int, at: str) -> Outcome:
    """Issue a receipt or an invoice under the next folio."""
    kind = request.get("type")
    if kind not in ("receipt", "invoice"):
        raise invalid("type", "The type must be receipt or invoice.")
    _money(request, "total")
    _currency(request)
    customer = request.get("customer")
    if customer is not None and not isinstance(customer, dict):
        raise invalid("customer", "The customer must be a JSON object.")
    if str((customer or {}).get("tax_id") or "").endswith("-X"):
        raise Refused(422, "tax-id-invalid", "The tax authority does not know the tax id of the customer.")
    return Outcome(kind, str(number), {"folio": str(number), "type": kind, "issued_at": at})


def register_sale(request: dict[str, Any], number: int, _at: str) -> Outcome:
    """Enter a sale at the point of sale."""
    _money(request, "total")
    _currency(request)
    sale = f"POS-{number:09d}"
    return Outcome("sale", sale, {"sale_id": sale})


def grant_reward(request: dict[str, Any], number: int, _at: str) -> Outcome:
    """Give a reward to a user; to a user whose id ends in 000 none is given."""
    user = _whole(request, "user_id")
    side = request.get("side")
    if side not in ("referrer", "recruit"):
        raise invalid("side", "The side must be referrer or recruit.")
    if _money(request, "amount") is None:
        raise invalid("amount", "An amount is needed.")
    _currency(request)
    if user % 1000 == 0:
        raise Refused(422, "account-closed", "The account of the user is closed.")
    grant = f"RWD-{number:09d}"
    return Outcome("grant", grant, {"grant_id": grant}, about=side)


def order_number(request: dict[str, Any]) -> str:
    """Return the number of the order that a call belongs to; raise Refused when there is none."""
    return _text(request, "order_number")


def referral_number(request: dict[str, Any]) -> str:
    """Return the id of the referral that a call belongs to; raise Refused when there is none."""
    return str(_whole(request, "referral_id"))


STAND_INS = {
    "/gift-card/redemptions": StandIn("gift-card", redeem, order_number),
    "/eom/orders": StandIn("eom", accept_order, order_number),
    "/tax-documents/documents": StandIn("tax-documents", issue_document, order_number),
    "/pos/sales": StandIn("pos", register_sale, order_number),
    "/rewards/grants": StandIn("rewards", grant_reward, referral_number),
}


def _whole(request: dict[str, Any], field: str) -> int:
    value = request.get(field)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value < _LARGEST_ID:
        raise invalid(field, f"{field} must be a whole number from 1.")
    return value


def _text(request: dict[str, Any], field: str) -> str:
    value = request.get(field)
    if not isinstance(value, str) or not 0 < len(value) <= _MAX_NUMBER or not value.isprintable():
        raise invalid(field, f"{field} must be a text of 1 to {_MAX_NUMBER} printable characters.")
    return value


def _currency(request: dict[str, Any]) -> None:
    value = request.get("currency")
    if value is not None and not (isinstance(value, str) and len(value) == 3 and value.isalpha()):
        raise invalid("currency", "The currency must be an ISO 4217 code of three letters.")


def _money(request: dict[str, Any], field: str) -> Decimal | None:
    value = request.get(field)
    if value is None:
        return None
    if not isinstance(value, str | int | Decimal) or not _MONEY.fullmatch(str(value)):
        raise invalid(field, f"{field} must be an amount from 0, with at most 2 decimals.")
    return Decimal(value)
