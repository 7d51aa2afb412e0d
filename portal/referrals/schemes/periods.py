"""Expiry periods of schemes: how long a referral stays open, in calendar terms, in UTC."""

from calendar import monthrange
from datetime import datetime, timedelta
from enum import StrEnum

_MONTHS_OF_A_YEAR = 12


class PeriodType(StrEnum):
    HOUR = "hour"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    YEAR = "year"
    NEVER = "never"


_SECONDS = {PeriodType.HOUR: 3600, PeriodType.DAY: 86_400, PeriodType.WEEK: 604_800}


def period_type(stored: str) -> PeriodType | None:
    """Return the type that a stored text means, whatever its case, singular or plural; None when unknown."""
    word = stored.strip().lower()
    try:
        return PeriodType(word.removesuffix("s"))
    except ValueError:
        return None


def end_of_period(start: datetime, stored_type: str, length: int) -> datetime | None:
    """Return the instant at which a period that began at `start` is over; None when it never ends.

    A month later is the same day of the month, or that month's last day where there is no such day. A
    period of an unknown type never ends, as one without length, and one that ends after the year 9999.
    """
    kind = period_type(stored_type)
    if kind is None or kind is PeriodType.NEVER or length <= 0:
        return None
    try:
        if kind in _SECONDS:
            return start + timedelta(seconds=_SECONDS[kind] * length)
        return _months_later(start, length * (_MONTHS_OF_A_YEAR if kind is PeriodType.YEAR else 1))
    except (OverflowError, ValueError):
        return None


def _months_later(start: datetime, months: int) -> datetime:
    years, month = divmod(start.month - 1 + months, _MONTHS_OF_A_YEAR)
    year, month = start.year + years, month + 1
    return start.replace(year=year, month=month, day=min(start.day, monthrange(year, month)[1]))
