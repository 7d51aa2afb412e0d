"""Lists page by key: a page begins at the key of a row, so the thousandth costs what the first does."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Generic, Literal, TypeVar

from sqlalchemy import ColumnElement, Select, and_, or_
from sqlalchemy.orm import InstrumentedAttribute, Session

from portal.errors import InvalidInput

Row = TypeVar("Row")
Key = tuple[Any, ...]
_TIME = "%Y%m%dT%H%M%S%f"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a page begins: right behind the row with this key, going to older or to newer rows."""

    direction: Literal["older", "newer"]
    key: Key


@dataclass(frozen=True, slots=True)
class Page(Generic[Row]):
    """The rows of one page, newest first, and the keys from which its neighbours begin, if there are any."""

    rows: list[Row]
    newer: str | None = None
    older: str | None = None


def fetch_page(
    session: Session,
    statement: Select[*tuple[Any, ...]],
    columns: Sequence[InstrumentedAttribute[Any]],
    key: Callable[[Any], Key],
    *,
    place: Place | None,
    size: int,
) -> Page[Any]:
    """Run a statement for one page of at most `size` rows.

    `columns` are what the list is ordered by, all descending, together unique; `key` gives their values
    of a row.
    """
    backwards = place is not None and place.direction == "newer"
    if place is not None:
        statement = statement.where(_beyond(columns, place.key, newer=backwards))
    order = [column.asc() if backwards else column.desc() for column in columns]
    rows = list(session.execute(statement.order_by(*order).limit(size + 1)).all())
    more, rows = len(rows) > size, rows[:size]
    if backwards:
        rows.reverse()
    has_newer, has_older = (more, True) if backwards else (place is not None, more)
    if not rows:
        return Page([])
    return Page(
        rows,
        newer=write_key(key(rows[0])) if has_newer else None,
        older=write_key(key(rows[-1])) if has_older else None,
    )


def newest_of_each(
    session: Session,
    statement: Select[*tuple[Any, ...]],
    column: InstrumentedAttribute[Any],
    key: InstrumentedAttribute[Any],
    values: Iterable[str],
    most: int,
) -> dict[str, list[Any]]:
    """Return by value the newest `most` rows with it; none hides another's, however many there are.

    Walks the index of `column` and `key` backwards, past the rest of a value with more. The values sort as
    in the database, such as hex digits do.
    """
    found: dict[str, list[Any]] = {}
    left = sorted(set(values), reverse=True)
    while left:
        limit = most * len(left) + 1
        walk = statement.add_columns(column.label("value_of_row")).where(column.in_(left))
        rows = session.execute(walk.order_by(column.desc(), key.desc()).limit(limit)).all()
        for row in rows:
            found.setdefault(row.value_of_row, []).append(row[:-1])
        if len(rows) < limit:
            break
        last = rows[-1].value_of_row
        is_cut = len(found[last]) < most
        left = [value for value in left if value < last or (value == last and is_cut)]
        if is_cut:
            del found[last]
    return {value: rows[:most] for value, rows in found.items()}


def write_key(key: Key) -> str:
    """Write a key for an address; only its last part may be any text."""
    return "_".join(part.strftime(_TIME) if isinstance(part, datetime) else str(part) for part in key)


def read_place(older: str | None, newer: str | None, kinds: Sequence[type]) -> Place | None:
    """Read where a page begins from an address. Raises InvalidInput for what is no such key."""
    written = older or newer
    if not written:
        return None
    direction: Literal["older", "newer"] = "older" if older else "newer"
    parts = written.split("_", len(kinds) - 1)
    try:
        return Place(direction, tuple(_read(part, kind) for part, kind in zip(parts, kinds, strict=True)))
    except (ValueError, OverflowError):
        reason = "This address leads to no page of the list: begin at its first page."
        raise InvalidInput(reason, field=direction) from None


def _read(part: str, kind: type) -> Any:
    if kind is datetime:
        return datetime.strptime(part, _TIME).replace(tzinfo=UTC)
    if kind is int and not (part.isascii() and part.isdigit() and len(part) < 19):
        raise ValueError(part)
    return kind(part)


def _beyond(columns: Sequence[InstrumentedAttribute[Any]], key: Key, *, newer: bool) -> ColumnElement[bool]:
    """Compare part by part: MySQL finds no range of an index for a comparison of tuples."""
    first, value = columns[0], key[0]
    strictly: ColumnElement[bool] = first > value if newer else first < value
    if len(columns) == 1:
        return strictly
    within = first >= value if newer else first <= value
    return and_(within, or_(strictly, and_(first == value, _beyond(columns[1:], key[1:], newer=newer))))
