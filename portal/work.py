"""The durable work queue inside the database: one hot, small table of work that is due.

A row is inserted in the transaction of the fact that calls for it, claimed under a lease, and moved
on or deleted with its result. A lease is two columns: while `lease_token` is set, `due_at` is when the
lease runs out; so the one index that finds due work also finds work whose worker died. The lane comes
before the time in it: what waits in a lane that is left alone is never read past.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import (
    ColumnElement,
    CursorResult,
    Delete,
    Index,
    Row,
    SmallInteger,
    String,
    UniqueConstraint,
    Update,
    bindparam,
    delete,
    func,
    insert,
    or_,
    select,
    update,
)
from sqlalchemy.orm import Mapped, Session, mapped_column

from portal.db import Base, BigId, UtcTime, database_now


class Work(Base):
    """A piece of work that is due at `due_at`, or leased until then.

    `lane` names the outside system that it needs, so that work for a system that is down can be left
    alone; from `gives_up_at` on it waits for that system no longer. `attempt` counts the claims of
    this round.
    """

    __tablename__ = "work"
    __table_args__ = (
        UniqueConstraint("kind", "reference"),
        Index("ix_work_kind_lane_due_at", "kind", "lane", "due_at"),
        Index("ix_work_kind_lane_gives_up_at", "kind", "lane", "gives_up_at"),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    kind: Mapped[str] = mapped_column(String(32))
    reference: Mapped[int] = mapped_column(BigId)
    lane: Mapped[str] = mapped_column(String(32), default="")
    due_at: Mapped[datetime] = mapped_column(UtcTime)
    lease_token: Mapped[str | None] = mapped_column(String(36))
    attempt: Mapped[int] = mapped_column(SmallInteger, default=0)
    gives_up_at: Mapped[datetime | None] = mapped_column(UtcTime)


def is_leased(now: datetime) -> ColumnElement[bool]:
    """Tell whether somebody holds the work now, by the database's clock: its lease has not run out."""
    return Work.lease_token.is_not(None) & (Work.due_at > now)


_CLAIMED = (Work.id, Work.reference, Work.lane, Work.attempt, Work.lease_token, Work.gives_up_at)
_ClaimedRow = Row[int, int, str, int, str | None, datetime | None]
# The table is so small that MySQL would scan it, and on its way wait for the rows that others have locked.
_BY_KEY = "FORCE INDEX (PRIMARY)"
_BY_LANE = "FORCE INDEX (ix_work_kind_lane_due_at)"
_BY_PATIENCE = "FORCE INDEX (ix_work_kind_lane_gives_up_at)"


@dataclass(frozen=True, slots=True)
class Claimed:
    """Work that is ours until its lease runs out; `attempt` counts this claim, from 1.

    `interrupted` says that a worker held it before and was never heard of again.
    """

    id: int
    reference: int
    lane: str
    attempt: int
    token: str
    interrupted: bool = False
    gives_up_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class New:
    """Work that is not in the queue yet; with `patience`, it waits only so long for a lane left alone."""

    reference: int
    lane: str = ""
    patience: timedelta | None = None


@dataclass(frozen=True, slots=True)
class Moved:
    """The next turn of claimed work: its new lane and attempt, and either a lease of ours or none.

    With a `token` the work stays with this worker until `due_at`; without, anybody may claim it then.
    """

    id: int
    lane: str
    attempt: int
    due_at: datetime
    token: str | None = None
    gives_up_at: datetime | None = None


def enqueue(session: Session, kind: str, new: Iterable[New], due_at: datetime) -> None:
    """Insert work that is due at `due_at`; a second row for the same reference is an IntegrityError."""
    rows = [
        {
            "kind": kind,
            "reference": one.reference,
            "lane": one.lane,
            "due_at": due_at,
            "attempt": 0,
            "gives_up_at": due_at + one.patience if one.patience is not None else None,
        }
        for one in new
    ]
    if rows:
        session.execute(insert(Work), rows)


def claim(
    session: Session,
    kind: str,
    *,
    limit: int,
    lease: timedelta,
    token: str,
    lane: str | None = None,
    without_lanes: Collection[str] = (),
) -> list[Claimed]:
    """Lease up to `limit` pieces of due work to `token`; the caller commits before it begins the work.

    The lane whose work has been due for longest is served first. Rows that another worker is claiming at
    this moment are skipped, not waited for. With `lane`, only its work is claimed; `without_lanes` are
    left alone, and their attempts with them.
    """
    now = database_now(session)
    rows: list[_ClaimedRow] = []
    for served in _due_lanes(session, kind, now):
        if served not in without_lanes and lane in (None, served) and len(rows) < limit:
            rows += _lock_due(session, kind, served, now, limit - len(rows))
    return _lease(session, rows, now + lease, token)


def claim_impatient(
    session: Session, kind: str, lane: str, *, limit: int, lease: timedelta, token: str
) -> list[Claimed]:
    """Lease work of a lane that is left alone which has waited for as long as it may."""
    now = database_now(session)
    held = select(*_CLAIMED)
    held = held.with_hint(Work, _BY_PATIENCE, "mysql").where(
        Work.kind == kind,
        Work.lane == lane,
        Work.gives_up_at <= now,
        or_(Work.lease_token.is_(None), Work.due_at <= now),
    )
    rows = session.execute(held.limit(limit).with_for_update(skip_locked=True)).all()
    return _lease(session, rows, now + lease, token)


def _lease(
    session: Session,
    rows: Sequence[_ClaimedRow],
    until: datetime,
    token: str,
) -> list[Claimed]:
    if not rows:
        return []
    claimed = [
        Claimed(
            row.id,
            row.reference,
            row.lane,
            row.attempt + 1,
            token,
            interrupted=row.lease_token is not None,
            gives_up_at=row.gives_up_at,
        )
        for row in rows
    ]
    session.execute(
        update(Work)
        .with_hint(_BY_KEY, dialect_name="mysql")
        .where(Work.id.in_([row.id for row in rows]))
        .values(due_at=until, lease_token=token, attempt=Work.attempt + 1),
        execution_options={"synchronize_session": False},
    )
    return claimed


def _due_lanes(session: Session, kind: str, now: datetime) -> list[str]:
    # Of all kinds, and not of one: only so do MySQL and MariaDB jump from head to head in the index.
    heads = select(Work.kind, Work.lane, func.min(Work.due_at)).group_by(Work.kind, Work.lane)
    due = [(at, lane) for its_kind, lane, at in session.execute(heads) if its_kind == kind and at <= now]
    return [lane for _, lane in sorted(due)]


def _lock_due(session: Session, kind: str, lane: str, now: datetime, limit: int) -> Sequence[_ClaimedRow]:
    due = select(*_CLAIMED)
    due = due.with_hint(Work, _BY_LANE, "mysql")
    due = due.where(Work.kind == kind, Work.lane == lane, Work.due_at <= now).order_by(Work.due_at)
    return session.execute(due.limit(limit).with_for_update(skip_locked=True)).all()


def still_owned(session: Session, claims: Sequence[Claimed]) -> set[int]:
    """Lock and return the ids of the claims whose lease is still ours: the fence before any result.

    Work that another worker took over after our lease ran out is not among them, and its result,
    known to us too late, must be dropped.
    """
    held = select(Work.id, Work.lease_token).with_hint(Work, _BY_KEY, "mysql")
    held = held.where(Work.id.in_([c.id for c in claims])).with_for_update()
    tokens = {row.id: row.lease_token for row in session.execute(held)}
    return {c.id for c in claims if tokens.get(c.id) == c.token}


def move_on(session: Session, moves: Sequence[Moved]) -> None:
    """Give work that passed the fence its next turn."""
    if not moves:
        return
    statement = (
        update(Work.__table__)  # type: ignore[arg-type]
        .where(Work.__table__.c.id == bindparam("work_id"))
        .values(
            lane=bindparam("new_lane"),
            attempt=bindparam("new_attempt"),
            due_at=bindparam("new_due_at"),
            lease_token=bindparam("new_token"),
            gives_up_at=bindparam("new_gives_up_at"),
        )
    )
    session.connection().execute(
        statement,
        [
            {
                "work_id": move.id,
                "new_lane": move.lane,
                "new_attempt": move.attempt,
                "new_due_at": move.due_at,
                "new_token": move.token,
                "new_gives_up_at": move.gives_up_at,
            }
            for move in moves
        ],
    )


def call_for(session: Session, kind: str, new: New, due_at: datetime) -> None:
    """Let work be due at `due_at`, whether or not it is in the queue; who holds it then does not end it.

    The caller holds a lock that lets one at a time call for the same work.
    """
    known = _find(session, kind, new.reference)
    again = update(Work).where(Work.id == known)
    again = again.values(lane=new.lane, due_at=due_at, lease_token=None, attempt=0)
    if known is None or not _hits(session, again):
        enqueue(session, kind, [new], due_at)


def withdraw(session: Session, kind: str, reference: int) -> bool:
    """Delete work that nobody has begun; return whether there was such work."""
    known = _find(session, kind, reference)
    # By its id, as workers lock it: by another index first, each could wait for the other.
    unbegun = delete(Work).where(Work.id == known, Work.attempt == 0, Work.lease_token.is_(None))
    return known is not None and _hits(session, unbegun)


def _find(session: Session, kind: str, reference: int) -> int | None:
    return session.scalar(select(Work.id).where(Work.kind == kind, Work.reference == reference))


def _hits(session: Session, statement: Update | Delete) -> bool:
    changed = session.execute(statement, execution_options={"synchronize_session": False})
    return isinstance(changed, CursorResult) and changed.rowcount == 1


def finish(session: Session, ids: Sequence[int]) -> None:
    """Delete work that passed the fence and is done."""
    if ids:
        # One by one: a DELETE takes no hint of an index.
        statement = delete(Work.__table__).where(Work.__table__.c.id == bindparam("work_id"))  # type: ignore[arg-type]
        session.connection().execute(statement, [{"work_id": work_id} for work_id in ids])
