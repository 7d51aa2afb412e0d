"""Many referrals or invitations at once: more than are read of them."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import text
from sqlalchemy.orm import Session

_DIGITS = "WITH digits AS (SELECT 0 AS n" + "".join(f" UNION ALL SELECT {n}" for n in range(1, 10)) + ")"
_NUMBERS = (
    "SELECT a.n + 10 * b.n + 100 * c.n + 1000 * d.n + 10000 * e.n AS i"
    " FROM digits a, digits b, digits c, digits d, digits e"
)
_REFERRALS = """
INSERT INTO referral (id, referrer_user_id, user_id, created_at, referral_scheme_id)
{digits} SELECT :first + i, :first + (i - i % :each) / :each, :first + i, :at, :scheme_id
FROM ({numbers}) AS numbers WHERE i < :count
"""
_PROGRESS = """
INSERT INTO referral_progress
(referral_id, family_id, scheme_id, user_id, referrer_user_id, status, review, started_at, ended_at)
SELECT id, referral_scheme_id, referral_scheme_id, user_id, referrer_user_id, 'converted', 'pending', :at, :at
FROM referral WHERE id >= :first AND id < :first + :count
"""
_GRANTS = """
INSERT INTO reward_grant
(uuid, referral_id, family_id, side, user_id, reward_id, amount, currency, status, attempts, earned_at)
SELECT id, id, referral_scheme_id, 'recruit', user_id, 1, 1, 'USD', 'sent', 1, :at
FROM referral WHERE id >= :first AND id < :first + :count
"""
_INVITATIONS = """
INSERT INTO invitation
(uuid, scheme_id, referrer_user_id, address_index, folded_index, status, mail_status, sends, clicks,
created_at)
{digits} SELECT i, :scheme_id, 1000000 + i, i, i, 'invited', 'sent', 1, 0, :at
FROM ({numbers}) AS numbers WHERE i < :count
"""


def add_crowd(
    session: Session, count: int, *, scheme_id: int, at: datetime, first: int = 1_000_000, each: int = 1
) -> None:
    """Let many referrals convert, `each` by the same referrer; every one earned the recruit 1.00.

    Up to 100,000; their ids, and those of their users, begin at `first`.
    """
    values: dict[str, object] = {"count": count, "scheme_id": scheme_id, "first": first, "each": each}
    for statement in (_REFERRALS, _PROGRESS, _GRANTS):
        _execute(session, statement, at, values)


def add_invitations(session: Session, count: int, *, scheme_id: int, at: datetime) -> None:
    """Let up to 100,000 people be invited at once."""
    _execute(session, _INVITATIONS, at, {"count": count, "scheme_id": scheme_id})


def _execute(session: Session, statement: str, at: datetime, values: dict[str, object]) -> None:
    filled = text(statement.format(digits=_DIGITS, numbers=_NUMBERS))
    session.execute(filled, values | {"at": f"{at:%Y-%m-%d %H:%M:%S.%f}"})
