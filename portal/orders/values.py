"""The values that orders are made of: amounts, quantities, days, times and texts, read strictly."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Annotated, Final

from pydantic import BeforeValidator, Field, StringConstraints, WithJsonSchema
from pydantic_core import PydanticCustomError

# [0-9], not \d: the digits of other scripts and full-width ones are no amount.
_AMOUNT: Final = re.compile(r"[0-9]{1,12}(?:\.([0-9]{1,2}))?")
_QUANTITY: Final = re.compile(r"[0-9]{1,12}(?:\.[0-9]{1,6})?")
_DAY: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_MOMENT: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,9})?(?:Z|[+-][0-9]{2}:[0-9]{2})"
)
LARGEST_AMOUNT: Final = Decimal("999999999999.99")

# Control, zero-width and direction-changing characters: they make one text look like another.
ONE_LINE: Final = r"^[^\x00-\x1f\x7f-\x9f\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff]+$"
MANY_LINES: Final = r"^[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]+$"


def read_amount(value: object) -> Decimal:
    """Read an amount of money from a JSON number or text.

    The result has exactly two decimals. Raises a ValueError that says in plain words what is wrong.
    """
    text = _numbertext(value)
    match = _AMOUNT.fullmatch(text)
    if match is None:
        raise PydanticCustomError(
            "amount",
            "{shown} is not an amount: it must be digits with at most two decimals after a point.",
            {"shown": shown(value)},
        )
    decimals = match[1]
    return Decimal(text + (".00" if decimals is None else "0" if len(decimals) == 1 else ""))


def read_quantity(value: object) -> Decimal:
    """Read a quantity from a JSON number or text.

    The result is above zero and has no trailing zeros. Raises a ValueError that says in plain words
    what is wrong.
    """
    text = _numbertext(value)
    quantity = Decimal(0)
    if _QUANTITY.fullmatch(text):
        quantity = Decimal(text.rstrip("0").rstrip(".") if "." in text else text)
    if not quantity:
        raise PydanticCustomError(
            "quantity",
            "{shown} is not a quantity: it must be above zero, digits with at most six decimals.",
            {"shown": shown(value)},
        )
    return quantity


def _numbertext(value: object) -> str:
    if isinstance(value, str):
        return value
    return str(value) if isinstance(value, (int, float, Decimal)) else ""


def _read_day(value: object) -> date:
    if isinstance(value, date) and not isinstance(value, datetime):
        return value
    if isinstance(value, str) and _DAY.fullmatch(value):
        try:
            return date.fromisoformat(value)
        except ValueError:
            pass
    raise PydanticCustomError(
        "day", "{shown} is not a day: it must be written like 2026-01-31.", {"shown": shown(value)}
    )


def _read_moment(value: object) -> datetime:
    moment = value if isinstance(value, datetime) else None
    try:
        if isinstance(value, str) and _MOMENT.fullmatch(value):
            moment = datetime.fromisoformat(value)
        if moment is not None and moment.tzinfo is not None:
            moment = moment.astimezone(UTC)
            # MySQL's DATETIME starts at the year 1000, and no order is older than this.
            if moment.year >= 1900:
                return moment
    except (ValueError, OverflowError):
        pass
    raise PydanticCustomError(
        "moment",
        "{shown} is not a time: it must be written with its zone, like 2026-01-31T12:30:00Z.",
        {"shown": shown(value)},
    )


def shown(value: object, longest: int = 40) -> str:
    """Quote an untrusted value for a sentence: at most `longest` characters, and printable everywhere."""
    if value is None or isinstance(value, bool):
        return {None: "nothing", True: "true", False: "false"}[value]
    if isinstance(value, (dict, list)):
        return "an object" if isinstance(value, dict) else "a list"
    text = (value if isinstance(value, str) else format(value))[: longest + 1]
    text = "".join(c if c.isprintable() else "\ufffd" for c in text)
    return f"“{text[:longest]}…”" if len(text) > longest else f"“{text}”"


def text(longest: int, pattern: str = ONE_LINE) -> StringConstraints:
    """Require text of at most `longest` characters, not blank, that matches the pattern."""
    return StringConstraints(
        strict=True, strip_whitespace=True, min_length=1, max_length=longest, pattern=pattern
    )


def _number_schema(pattern: str, description: str) -> WithJsonSchema:
    choices = [{"type": "string", "pattern": pattern}, {"type": "number", "minimum": 0}]
    return WithJsonSchema({"anyOf": choices, "description": description})


Money = Annotated[
    Decimal,
    BeforeValidator(read_amount),
    _number_schema(r"^[0-9]{1,12}(\.[0-9]{1,2})?$", "Not negative; two decimals, as text on output."),
]
Quantity = Annotated[
    Decimal,
    BeforeValidator(read_quantity),
    _number_schema(r"^[0-9]{1,12}(\.[0-9]{1,6})?$", "Above zero; at most six decimals, as text on output."),
]
Day = Annotated[date, BeforeValidator(_read_day), WithJsonSchema({"type": "string", "format": "date"})]
Moment = Annotated[
    datetime, BeforeValidator(_read_moment), WithJsonSchema({"type": "string", "format": "date-time"})
]
Name = Annotated[str, text(64)]
Label = Annotated[str, text(500)]
Prose = Annotated[str, text(10_000, MANY_LINES)]
CountryCode = Annotated[str, text(2, "^[A-Z]{2}$"), Field(description="ISO 3166-1 alpha-2, such as SE.")]
