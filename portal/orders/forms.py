"""What addresses ask of the lists: read strictly, every refused value named with its reason."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo
from decimal import Decimal
from functools import partial
from typing import Any

from portal.orders.queries_orders import OrderFilter
from portal.orders.states import OrderStatus
from portal.orders.values import LARGEST_AMOUNT, read_amount, shown
from portal.pasted import read_pasted, split_pasted

AGES = {
    "last-hour": ("Last hour", timedelta(hours=1)),
    "last-day": ("Last 24 hours", timedelta(days=1)),
    "last-week": ("Last 7 days", timedelta(days=7)),
    "over-hour": ("Over an hour ago", timedelta(hours=1)),
    "over-day": ("Over a day ago", timedelta(days=1)),
    "over-week": ("Over 7 days ago", timedelta(days=7)),
}
FIELDS = (
    "q",
    "status",
    "step",
    "channel",
    "store",
    "country",
    "age",
    "received_from",
    "received_to",
    "amount_from",
    "amount_to",
)
_LABELS = {
    "q": "Numbers or e-mails",
    "status": "Status",
    "step": "Step",
    "channel": "Channel",
    "store": "Store",
    "country": "Country",
    "age": "Age",
    "received_from": "Received from",
    "received_to": "Received to",
    "amount_from": "Amount from",
    "amount_to": "Amount to",
}
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_MINUTE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}")
_LONGEST = {"channel": 32, "store": 64, "country": 2, "step": 128}


@dataclass(frozen=True, slots=True)
class Chip:
    """One filter that is on: what it says, and the address parameters without it."""

    text: str
    without: Mapping[str, str]


@dataclass
class OrderListForm:
    """The filters of an address: `given` as they were written, `errors` by field, and what they ask for.

    `numbers` are what may be order numbers in `q`, in the order given; `single` when `q` is one piece.
    """

    given: dict[str, str]
    zone: tzinfo
    wanted: OrderFilter = field(default_factory=OrderFilter)
    errors: dict[str, str] = field(default_factory=dict)
    numbers: tuple[str, ...] = ()

    @property
    def complaints(self) -> list[str]:
        """Tell every refused value with the name of its field."""
        return [f"{_LABELS[name]}: {why}" if name in _LABELS else why for name, why in self.errors.items()]

    @property
    def asks_for_one(self) -> bool:
        """Tell whether one number, and nothing else, is asked for."""
        return set(self.given) == {"q"} and len(self.numbers) == 1 and not self.errors


def read_order_list(
    arguments: Mapping[str, str],
    *,
    zone: tzinfo,
    now: datetime,
    blind_index: Callable[[str], str],
) -> OrderListForm:
    """Read the filters of the list of orders; days and times without a zone are those of `zone`."""
    given = {name: arguments[name].strip() for name in FIELDS if arguments.get(name, "").strip()}
    form = OrderListForm(given, zone)
    values: dict[str, Any] = {}
    for name, longest in _LONGEST.items():
        _keep(form, values, name, partial(_short, longest=longest))
    _keep(form, values, "status", OrderStatus, "is none of processing, exception and completed.")
    _keep(form, values, "amount_from", _amount)
    _keep(form, values, "amount_to", _amount, kept_as="amount_until")
    _keep(form, values, "received_from", lambda text: _moment(text, zone))
    _keep(form, values, "received_to", lambda text: _moment(text, zone, end=True), kept_as="received_until")
    if "age" in given:
        _read_age(form, values, now)
    if "q" in given:
        _read_search(form, values, blind_index)
    _compare(form, values)
    if "country" in values:
        values["country"] = values["country"].upper()
    form.wanted = OrderFilter(**values) if not form.errors else OrderFilter()
    return form


def chips_of(form: OrderListForm, step_names: Mapping[str, str]) -> list[Chip]:
    """Say in words which filters are on; taking a chip away is a link to the list without it."""
    chips = []
    for name, text in form.given.items():
        label, value = _LABELS[name], text
        if name == "age" and text in AGES:
            label, value = "Received", AGES[text][0].lower()
        elif name == "step":
            value = step_names.get(text, text)
        elif name == "q":
            pieces = split_pasted(text)
            value = text if len(pieces) <= 3 else f"{len(pieces)} pasted"
        elif name in ("received_from", "received_to"):
            value = f"{text.replace('T', ' ')} ({form.zone})"
        without = {key: given for key, given in form.given.items() if key != name}
        chips.append(Chip(f"{label}: {value}", without))
    return chips


def _keep(
    form: OrderListForm,
    values: dict[str, Any],
    name: str,
    read: Callable[[str], Any],
    reason: str | None = None,
    kept_as: str | None = None,
) -> None:
    if name not in form.given:
        return
    text = form.given[name]
    try:
        values[kept_as or name] = read(text)
    except ValueError as error:
        form.errors[name] = f"{shown(text)} {reason}" if reason else str(error)


def _short(text: str, longest: int) -> str:
    if len(text) > longest:
        raise ValueError(f"{shown(text)} is longer than {longest} characters.")
    return text


def _amount(text: str) -> Decimal:
    return min(read_amount(text), LARGEST_AMOUNT)


def _moment(text: str, zone: tzinfo, *, end: bool = False) -> datetime:
    """Read a day or a minute; as an end it is included, so that what follows it is the bound."""
    reason = f"{shown(text)} is no day like 2026-01-31, nor a time like 2026-01-31T12:30."
    if not (is_day := _DAY.fullmatch(text)) and not _MINUTE.fullmatch(text):
        raise ValueError(reason)
    try:
        moment = datetime.fromisoformat(text)
        if end:
            moment += timedelta(days=1) if is_day else timedelta(minutes=1)
        return moment.replace(tzinfo=zone).astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError(reason) from None


def _read_age(form: OrderListForm, values: dict[str, Any], now: datetime) -> None:
    age = form.given["age"]
    if age not in AGES:
        form.errors["age"] = f"{shown(age)} is none of {', '.join(AGES)}."
    elif "received_from" in form.given or "received_to" in form.given:
        form.errors["age"] = "Give either an age or days from and to, not both."
    else:
        bound = "received_from" if age.startswith("last-") else "received_until"
        values[bound] = now - AGES[age][1]


def _read_search(form: OrderListForm, values: dict[str, Any], blind_index: Callable[[str], str]) -> None:
    text = form.given["q"]
    try:
        pieces = read_pasted(text)
    except ValueError as refused:
        form.errors["q"] = str(refused)
        return
    emails = [piece for piece in pieces if "@" in piece]
    # A number may hold blanks or an @, so that the whole is looked for too.
    numbers = [piece for piece in dict.fromkeys([text, *pieces]) if len(piece) <= 64]
    form.numbers = tuple(piece for piece in pieces if "@" not in piece)
    values["numbers"] = tuple(numbers)
    # An order keeps an address as it was given: often in lower case, however it is entered here.
    spellings = dict.fromkeys(spelling for email in emails for spelling in (email, email.lower()))
    values["email_indexes"] = tuple(blind_index(spelling) for spelling in spellings)
    if not numbers and not emails:
        form.errors["q"] = "No order number is longer than 64 characters."


def _compare(form: OrderListForm, values: Mapping[str, Any]) -> None:
    for low, high, name, first in (
        ("amount_from", "amount_until", "amount_to", "amount from"),
        ("received_from", "received_until", "received_to", "received from"),
    ):
        if low in values and high in values and values[low] > values[high]:
            form.errors[name] = f"It lies before “{first}”, so nothing can be found."
