"""The canonical order: the one form that every incoming document is read into."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from decimal import Decimal
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator
from pydantic_core import ErrorDetails

from portal.errors import FieldError, InvalidInput
from portal.orders.values import (
    LARGEST_AMOUNT,
    CountryCode,
    Day,
    Label,
    Moment,
    Money,
    Name,
    Prose,
    Quantity,
    text,
)

MOST_ERRORS: Final = 100


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class Customer(_Part):
    """Who ordered. The mail address is kept exactly as given, whether or not it can be delivered to."""

    name: Label | None = None
    # An address that cannot be written to must not stop its order: whoever sends a mail judges it.
    email: Annotated[str, text(1000, r"^[^\x00-\x1f\x7f-\x9f]*$")] | None = None
    phone: Name | None = None
    tax_id: Name | None = None

    @field_validator("email", mode="before")
    @classmethod
    def _a_blank_mail_address_is_none(cls, email: object) -> object:
        return None if isinstance(email, str) and not email.strip() else email


class Address(_Part):
    """Where the goods go."""

    street: Label | None = None
    number: Name | None = None
    city: Label | None = None
    postal_code: Name | None = None
    region: Label | None = None
    country: CountryCode | None = None


class Delivery(_Part):
    """To whom, where and when the goods are to be delivered."""

    contact_name: Label | None = None
    address: Address | None = None
    requested_from: Day | None = None
    requested_until: Day | None = None

    @field_validator("address")
    @classmethod
    def _an_empty_address_is_none(cls, address: Address | None) -> Address | None:
        return None if address == _NOWHERE else address


class Line(_Part):
    """One line of the order. A line without an id is given its position, counted from 1."""

    id: Name = ""
    sku: Label | None = None
    name: Label | None = None
    description: Prose | None = None
    quantity: Quantity | None = None
    unit: Name | None = None
    unit_price: Money | None = None
    amount: Money | None = None
    tax: Money | None = None


class Totals(_Part):
    """Sums of the whole order; `payable` is what the customer pays in the end."""

    lines: Money | None = None
    allowances: Money | None = None
    charges: Money | None = None
    tax: Money | None = None
    payable: Money | None = None


class GiftCard(_Part):
    """A gift card that pays for part of the order."""

    number: Annotated[str, text(64)] = Field(repr=False)
    amount: Money


_NOWHERE: Final = Address()


class Order(_Part):
    """An order as Waybill keeps and hands it on; only its number and one line are required."""

    number: Annotated[str, text(64)] = Field(description="The order's number, unique among all orders.")
    placed_at: Moment | None = None
    channel: Annotated[str, text(32, "^[a-z0-9]+([-_.][a-z0-9]+)*$")] | None = None
    store: Name | None = None
    country: CountryCode | None = None
    currency: Annotated[str, text(3, "^[A-Z]{3}$"), Field(description="ISO 4217, such as SEK.")] | None = None
    customer: Customer = Customer()
    delivery: Delivery = Delivery()
    lines: list[Line] = Field(min_length=1)
    totals: Totals = Field(default=Totals(), validate_default=True)
    gift_cards: list[GiftCard] = []
    note: Prose | None = None

    @field_validator("lines")
    @classmethod
    def _a_line_without_id_takes_its_position(cls, lines: list[Line]) -> list[Line]:
        if all(line.id for line in lines):
            return lines
        return [
            line if line.id else line.model_copy(update={"id": str(position)})
            for position, line in enumerate(lines, start=1)
        ]

    @field_validator("totals")
    @classmethod
    def _payable_is_the_sum_when_all_is_known(cls, totals: Totals, info: ValidationInfo) -> Totals:
        lines: list[Line] = info.data.get("lines", [])
        amounts = [line.amount for line in lines if line.amount is not None]
        if totals.payable is not None or not lines or len(amounts) < len(lines):
            return totals
        payable = sum(amounts, Decimal("0.00"))
        payable += (totals.charges or Decimal(0)) - (totals.allowances or Decimal(0))
        if not 0 <= payable <= LARGEST_AMOUNT:
            return totals
        return totals.model_copy(update={"payable": payable})


def parse_order(data: object) -> Order:
    """Turn plain data (as parsed from JSON, decimals as Decimal) into an order.

    Raises InvalidInput, code `order-invalid`, with an entry for each refused field.
    """
    try:
        return Order.model_validate(data)
    except ValidationError as refused:
        errors = refused.errors(include_url=False, include_context=True, include_input=False)
        raise InvalidInput.of(
            [_field_error(error) for error in errors[:MOST_ERRORS]], code="order-invalid"
        ) from None


def canonical_json(order: Order) -> bytes:
    """Write the order as canonical JSON in UTF-8: sorted keys, no blanks, nothing that is not known.

    Amounts are texts with two decimals, quantities texts without trailing zeros, times in UTC; so
    equal orders give equal bytes.
    """
    content = order.model_dump(mode="json", exclude_defaults=True)
    return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def content_hash(order: Order) -> str:
    """Return the SHA-256 of the canonical JSON, in hex: equal for equal orders of any format."""
    return hashlib.sha256(canonical_json(order)).hexdigest()


def order_schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of the canonical order."""
    schema = Order.model_json_schema(mode="validation")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "/api/schemas/order.json",
        **schema,
    }


def field_name(location: Iterable[str | int]) -> str:
    """Write a place in an order as a person would: `("lines", 0, "amount")` is `lines[0].amount`."""
    name = ""
    for step in location:
        if isinstance(step, int):
            name += f"[{step}]"
        else:
            clean = "".join(c if c.isprintable() else "\ufffd" for c in step[:64])
            name += f".{clean}" if name else clean
    return name


_SENTENCES: Final = {
    "missing": "is missing, and cannot be left out.",
    "extra_forbidden": "is not a field of an order.",
    "string_type": "must be text.",
    "string_unicode": "is not valid Unicode text.",
    "string_too_short": "must not be empty.",
    "string_too_long": "is longer than {max_length} characters.",
    "string_pattern_mismatch": "has control or invisible characters, which are not allowed.",
    "list_type": "must be a list.",
    "too_short": "must not be empty: an order has at least one line.",
    "model_type": "must be an object with named fields.",
    "model_attributes_type": "must be an object with named fields.",
}
_CODES: Final = {
    "country": "must be a country code of two capital letters (ISO 3166-1), such as SE.",
    "currency": "must be a currency code of three capital letters (ISO 4217), such as SEK.",
    "channel": "must be lower-case letters and digits joined by hyphens, such as e-commerce.",
}


def _field_error(error: ErrorDetails) -> FieldError:
    kind, context = error["type"], error.get("ctx", {})
    field = field_name(error["loc"]) or "order"
    code_rule = _CODES.get(str(error["loc"][-1])) if error["loc"] else None
    if code_rule and kind.startswith("string"):
        return FieldError(field, f"{field} {code_rule}")
    if kind in _SENTENCES:
        return FieldError(field, f"{field} {_SENTENCES[kind].format(**context)}")
    return FieldError(field, f"{field}: {error['msg']}")
