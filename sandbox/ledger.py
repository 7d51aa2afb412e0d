"""The ledger of effects: what the stand-ins did, one row for each effect, in SQLite.

It is the oracle that the application is compared with, so it knows nothing of the application:
a row is added when an effect happens, and never changed or removed.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

SYSTEMS = ("gift-card", "eom", "tax-documents", "pos", "mail", "rewards", "users", "spend")

# `copy` is 0 where a key may have one effect only, and the row's own id for mail: a provider accepts
# the same message twice, and the ledger has to show it. `about` tells effects of one kind apart that
# one order may have side by side, such as two gift cards.
_SCHEMA = """
CREATE TABLE IF NOT EXISTS effect (
    id INTEGER PRIMARY KEY,
    at TEXT NOT NULL,
    system TEXT NOT NULL,
    key TEXT,
    copy INTEGER NOT NULL,
    order_number TEXT,
    kind TEXT NOT NULL,
    about TEXT NOT NULL,
    external_id TEXT NOT NULL,
    request TEXT NOT NULL,
    answer TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX IF NOT EXISTS effect_key ON effect (system, key, copy);
CREATE INDEX IF NOT EXISTS effect_order ON effect (system, order_number, kind, about);
CREATE TABLE IF NOT EXISTS recipient (
    address TEXT NOT NULL,
    effect_id INTEGER NOT NULL,
    PRIMARY KEY (address, effect_id)
) STRICT, WITHOUT ROWID;
"""

_INSERT = """
INSERT INTO effect (id, at, system, key, copy, order_number, kind, about, external_id, request, answer)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (system, key, copy) DO NOTHING
"""

_COLUMNS = "id, at, system, key, order_number, kind, about, external_id, request, answer"

_SUMMARY = """
SELECT system, sum(effects), count(order_number),
       sum(CASE WHEN order_number IS NULL THEN 0 ELSE effects - different END)
FROM (
    SELECT system, order_number, sum(alike) AS effects, count(*) AS different
    FROM (
        SELECT system, order_number, count(*) AS alike
        FROM effect GROUP BY system, order_number, kind, about
    )
    GROUP BY system, order_number
)
GROUP BY system
"""

_MAILS = f"""
SELECT {_COLUMNS} FROM effect
WHERE +system = 'mail' AND id < :before AND (
    :query = ''
    OR id IN (SELECT id FROM effect WHERE system = 'mail' AND order_number = :query)
    OR id IN (SELECT effect_id FROM recipient WHERE address >= :start AND address < :end)
)
ORDER BY id DESC LIMIT :limit
"""  # noqa: S608 — the columns are ours
_LAST = 2**62


class Effect(NamedTuple):
    """One effect as it stands in the ledger; `request` and `answer` are JSON texts, `at` ISO 8601 in UTC."""

    id: int
    at: str
    system: str
    key: str | None
    order_number: str | None
    kind: str
    about: str
    external_id: str
    request: str
    answer: str


@dataclass(frozen=True, slots=True)
class Count:
    """Effects of one system, their orders, and the effects beyond the first per order and kind."""

    effects: int = 0
    orders: int = 0
    duplicates: int = 0


class Ledger:
    """Append effects to, and read them from, the SQLite file at `path`; for one process at a time."""

    def __init__(self, path: Path) -> None:
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.execute("PRAGMA journal_mode = WAL")
        # A killed process loses nothing (its writes are with the kernel); a power cut may.
        self._db.execute("PRAGMA synchronous = OFF")
        self._db.executescript(_SCHEMA)
        (highest,) = self._db.execute("SELECT coalesce(max(id), 0) FROM effect").fetchone()
        self._ids: Iterator[int] = iter(range(highest + 1, _LAST))

    def close(self) -> None:
        """Close the file; nothing may be called afterwards."""
        self._db.close()

    def next_id(self) -> int:
        """Hand out the id of the next effect, so that outside ids can be made from it; gaps are harmless."""
        return next(self._ids)

    def append(self, effect: Effect) -> bool:
        """Write the effect and return True, or return False when its system has its key already."""
        return self._insert(effect, copy=0)

    def append_mail(self, effect: Effect, recipients: Iterable[str]) -> None:
        """Write an accepted message, also when its key is there already, with the addresses to find it by."""
        addresses = {address.lower() for address in recipients}
        self._db.execute("BEGIN")
        try:
            self._insert(effect, copy=effect.id)
            self._db.executemany(
                "INSERT INTO recipient VALUES (?, ?)", [(address, effect.id) for address in addresses]
            )
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def find(self, system: str, key: str) -> Effect | None:
        """Return the first effect that a key had in a system."""
        return self._one(
            f"SELECT {_COLUMNS} FROM effect WHERE system = ? AND key = ? ORDER BY id LIMIT 1",  # noqa: S608
            (system, key),
        )

    def mail(self, effect_id: int) -> Effect | None:
        """Return one accepted message."""
        return self._one(
            f"SELECT {_COLUMNS} FROM effect WHERE id = ? AND system = 'mail'",  # noqa: S608
            (effect_id,),
        )

    def page(self, system: str, *, order: str | None, after: int, limit: int) -> list[Effect]:
        """Return effects of a system in the order of their ids, from beyond `after`."""
        # The plus keeps the planner from sorting all rows of the system for one page of them.
        which = "+system = :system" if order is None else "system = :system AND order_number = :order"
        rows = self._db.execute(
            f"SELECT {_COLUMNS} FROM effect WHERE {which} AND id > :after"  # noqa: S608
            " ORDER BY id LIMIT :limit",
            {"system": system, "order": order, "after": after, "limit": limit},
        )
        return [Effect._make(row) for row in rows]

    def mails(self, *, query: str, before: int | None, limit: int) -> list[Effect]:
        """Return messages, newest first, of the order `query` or to addresses that begin with it."""
        start = query.lower()
        rows = self._db.execute(
            _MAILS,
            {
                "query": query,
                "start": start,
                "end": start + "\U0010ffff",
                "before": _LAST if before is None else before,
                "limit": limit,
            },
        )
        return [Effect._make(row) for row in rows]

    def summary(self) -> dict[str, Count]:
        """Count what each system did."""
        counts = {system: Count() for system in SYSTEMS}
        for system, effects, orders, duplicates in self._db.execute(_SUMMARY):
            counts[system] = Count(effects, orders, duplicates)
        return counts

    def _insert(self, effect: Effect, copy: int) -> bool:
        identity, at, system, key, *rest = effect
        return self._db.execute(_INSERT, (identity, at, system, key, copy, *rest)).rowcount == 1

    def _one(self, statement: str, parameters: tuple[object, ...]) -> Effect | None:
        row = self._db.execute(statement, parameters).fetchone()
        return Effect._make(row) if row else None
