"""Failed logins slow down whoever makes them, without locking out the owner of the account."""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, delete, select
from sqlalchemy.orm import Session

from portal.access.models import LoginFailure
from portal.errors import TooManyRequests

WINDOW = timedelta(minutes=15)
# An owner elsewhere is not touched by failures from this address; an office behind one address hardly.
MOST_FOR_ACCOUNT = 5
MOST_FROM_ADDRESS = 50
_SWEPT_AT_ONCE = 100


@dataclass(frozen=True, slots=True)
class Attempt:
    """An attempt to log in: from which address, as whom (a keyed hash of the login), and when."""

    address: str
    login_hash: str
    at: datetime


def begin_attempt(session: Session, attempt: Attempt) -> int:
    """Count an attempt as failed before its password is looked at, and return its id.

    So attempts at the same time count each other. `judge_attempt` follows in a transaction of its own;
    `forget_failures` when the login succeeds.
    """
    _sweep(session, attempt.at)
    row = LoginFailure(address=attempt.address, login_hash=attempt.login_hash, at=attempt.at)
    session.add(row)
    session.flush()
    return row.id


def judge_attempt(session: Session, attempt_id: int, attempt: Attempt) -> None:
    """Refuse an attempt that comes after too many others; a refused one does not count.

    Raises TooManyRequests with the time until the oldest failure that counts is forgotten.
    """
    from_here = LoginFailure.address == attempt.address
    for condition, most in (
        ((from_here, LoginFailure.login_hash == attempt.login_hash), MOST_FOR_ACCOUNT),
        ((from_here,), MOST_FROM_ADDRESS),
    ):
        times = _times_before(session, attempt_id, condition, attempt.at, most)
        if len(times) == most:
            wait = int((times[-1] + WINDOW - attempt.at).total_seconds()) + 1
            raise TooManyRequests(
                f"Too many failed logins. Wait {-(-wait // 60)} min, then try again.",
                retry_after=wait,
                code="login-throttled",
            )


def drop_attempt(session: Session, attempt_id: int) -> None:
    """Forget one attempt."""
    session.execute(delete(LoginFailure).where(LoginFailure.id == attempt_id))


def forget_failures(session: Session, attempt: Attempt) -> None:
    """Forget the failures of an account from an address at which its owner has logged in."""
    session.execute(
        delete(LoginFailure).where(
            LoginFailure.address == attempt.address, LoginFailure.login_hash == attempt.login_hash
        )
    )


def network_of(address: str) -> str:
    """Return what counts as one address: of IPv6 the first 64 bits, for the rest is the user's to choose."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return "unknown"
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((parsed.packed, 64), strict=False))
    return str(parsed)


def _times_before(
    session: Session, attempt_id: int, condition: Sequence[ColumnElement[bool]], now: datetime, most: int
) -> Sequence[datetime]:
    """Return the times of the newest failures before an attempt, the newest first."""
    counted = select(LoginFailure.at).where(
        *condition, LoginFailure.at > now - WINDOW, LoginFailure.id < attempt_id
    )
    return session.scalars(counted.order_by(LoginFailure.at.desc()).limit(most)).all()


def _sweep(session: Session, now: datetime) -> None:
    # Ids grow with time, so what no longer counts lies at the beginning.
    oldest = session.execute(
        select(LoginFailure.id, LoginFailure.at).order_by(LoginFailure.id).limit(_SWEPT_AT_ONCE)
    )
    outlived = [row.id for row in oldest if row.at <= now - WINDOW]
    if outlived:
        session.execute(delete(LoginFailure).where(LoginFailure.id.in_(outlived)))
