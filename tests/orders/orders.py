"""Any canonical order, for hypothesis."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

from portal.orders.canonical import Address, Customer, Delivery, GiftCard, Line, Order, Totals

_INVISIBLE = "\u200b\u200e\u200f\u2028\u2029\ufeff"


def texts(longest: int = 12) -> st.SearchStrategy[str]:
    """Draw one line of text in any script, without blanks around it."""
    letters = st.characters(exclude_categories=["Cc", "Cs", "Cf", "Zl", "Zp"], exclude_characters=_INVISIBLE)
    return st.text(letters, min_size=1, max_size=longest).map(str.strip).filter(bool)


def _or_none(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | strategy


def amounts() -> st.SearchStrategy[Decimal]:
    """Draw an amount of money with at most two decimals."""
    return st.decimals(0, Decimal("999999999999.99"), places=2)


def _quantities() -> st.SearchStrategy[Decimal]:
    return st.decimals(Decimal("0.000001"), Decimal(999_999), places=6)


def _codes(length: int) -> st.SearchStrategy[str]:
    return st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ", min_size=length, max_size=length)


def _made(model: type[Any], **fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.builds(model.model_validate, st.fixed_dictionaries(fields))


def _lines() -> st.SearchStrategy[Line]:
    text, money = _or_none(texts()), _or_none(amounts())
    return _made(
        Line,
        id=texts(),
        sku=text,
        name=text,
        description=text,
        quantity=_or_none(_quantities()),
        unit=text,
        unit_price=money,
        amount=money,
        tax=money,
    )


def _deliveries() -> st.SearchStrategy[Delivery]:
    text, day = _or_none(texts()), _or_none(st.dates(date(1900, 1, 1)))
    country = _or_none(_codes(2))
    address = _made(
        Address, street=text, number=text, city=text, postal_code=text, region=text, country=country
    )
    return _made(
        Delivery, contact_name=text, address=_or_none(address), requested_from=day, requested_until=day
    )


def orders() -> st.SearchStrategy[Order]:
    """Draw an order, from the barest to one with every field."""
    text, money = _or_none(texts()), _or_none(amounts())
    moments = st.datetimes(datetime(1900, 1, 2), timezones=st.just(UTC))  # noqa: DTZ001 — bounds are naive
    return _made(
        Order,
        number=texts(),
        placed_at=_or_none(moments),
        channel=_or_none(st.sampled_from(["e-commerce", "kiosk", "phone"])),
        store=text,
        country=_or_none(_codes(2)),
        currency=_or_none(_codes(3)),
        customer=_made(Customer, name=text, email=text, phone=text, tax_id=text),
        delivery=_deliveries(),
        lines=st.lists(_lines(), min_size=1, max_size=3),
        totals=_made(Totals, lines=money, allowances=money, charges=money, tax=money, payable=money),
        gift_cards=st.lists(_made(GiftCard, number=texts(), amount=amounts()), max_size=2),
        note=text,
    )
