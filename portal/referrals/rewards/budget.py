"""What rewards may cost and how many a referrer may earn, held by conditional updates, never by a sum.

Money goes one way: reserved (earned, not yet approved) → committed (approved, on its way) → spent
(delivered); or back, when it is released.

Who writes about rewards locks in one order, so that nobody waits for somebody who waits for them. First the
rows of referrals: `known_user`, `referral_progress`, `work` that is there, `reward_grant`. Then what
referrals share: the head of the audit trail (what a person does is recorded before money moves), the budget,
`referrer_usage`, and last the place in which new `work` is inserted. Of several rows of a kind: by their
keys. A job that records many referrals in one transaction comes to the next one after the budget of the one
before; who loses a race against it begins anew.
"""

from decimal import Decimal
from typing import Literal

from sqlalchemy import ColumnElement, CursorResult, Update, func, update
from sqlalchemy.dialects import mysql, sqlite
from sqlalchemy.orm import InstrumentedAttribute, Session

from portal.referrals.schemes.models import ReferrerUsage, SchemeBudget

Part = Literal["reserved", "committed", "spent"]


def lock(session: Session, family_id: int) -> None:
    """Let no other transaction change what a scheme or its referrers have used, until this one ends."""
    _ensure(session, SchemeBudget, family_id=family_id, reserved=0, committed=0, spent=0)


def reserve(session: Session, family_id: int, amount: Decimal) -> bool:
    """Set an amount of a scheme's budget aside; return whether there was enough left."""
    lock(session, family_id)
    budget = SchemeBudget
    used = _exactly(budget.reserved + budget.committed + budget.spent + amount)
    return _hits(
        session,
        update(budget)
        .where(budget.family_id == family_id, budget.total.is_(None) | (used <= budget.total))
        .values(reserved=_exactly(budget.reserved + amount)),
    )


def move(session: Session, family_id: int, amount: Decimal, source: Part, target: Part) -> None:
    """Move an amount on, such as from reserved to committed."""
    _change(session, family_id, {source: -amount, target: amount})


def release(session: Session, family_id: int, amount: Decimal, part: Part) -> None:
    """Give back an amount that will not be spent."""
    _change(session, family_id, {part: -amount})


def take_reward(session: Session, family_id: int, referrer_user_id: int, limit: int) -> bool:
    """Count a reward of a referrer; return whether the limit allowed it. A limit of 0 is none."""
    usage = ReferrerUsage
    _ensure(session, usage, family_id=family_id, referrer_user_id=referrer_user_id, rewards=0)
    below = [usage.rewards < limit] if limit > 0 else []
    mine = (usage.family_id == family_id, usage.referrer_user_id == referrer_user_id)
    return _hits(session, update(usage).where(*mine, *below).values(rewards=usage.rewards + 1))


def give_reward_back(session: Session, family_id: int, referrer_user_id: int) -> None:
    """Count a reward of a referrer no longer, since it will not be paid."""
    usage = ReferrerUsage
    mine = (usage.family_id == family_id, usage.referrer_user_id == referrer_user_id, usage.rewards > 0)
    if not _hits(session, update(usage).where(*mine).values(rewards=usage.rewards - 1)):
        raise RuntimeError("A reward was given back that had not been counted.")


def _change(session: Session, family_id: int, changes: dict[Part, Decimal]) -> None:
    columns = {part: getattr(SchemeBudget, part) for part in changes}
    enough = [columns[part] >= -change for part, change in changes.items() if change < 0]
    values = {part: _exactly(columns[part] + change) for part, change in changes.items()}
    of_scheme = update(SchemeBudget).where(SchemeBudget.family_id == family_id, *enough)
    if not _hits(session, of_scheme.values(values)):
        raise RuntimeError(f"The budget of scheme {family_id} does not hold what is to be taken: {changes}.")


def _exactly(amount: ColumnElement[Decimal] | InstrumentedAttribute[Decimal]) -> ColumnElement[Decimal]:
    # SQLite has no decimals: the sum of its floating numbers is exact only when it is rounded.
    return func.round(amount, 2)


def _ensure(session: Session, table: type[SchemeBudget] | type[ReferrerUsage], **row: int) -> None:
    """Make a row that is missing: a scheme without a budget has one without a total."""
    key = next(iter(row))
    if session.get_bind().dialect.name == "sqlite":
        session.execute(sqlite.insert(table).values(row).on_conflict_do_nothing())
    else:
        same = {key: getattr(table, key)}
        session.execute(mysql.insert(table).values(row).on_duplicate_key_update(same))


def _hits(session: Session, statement: Update) -> bool:
    result = session.execute(statement, execution_options={"synchronize_session": False})
    return isinstance(result, CursorResult) and result.rowcount == 1
