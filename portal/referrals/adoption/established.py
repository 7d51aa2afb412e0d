"""How a database made by the old service differs from the established tables, in plain words.

Only MySQL and its kin are asked: the old service knew no other.
"""

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    Column,
    ForeignKeyConstraint,
    Table,
    UniqueConstraint,
    func,
    literal,
    outerjoin,
    select,
    text,
)
from sqlalchemy.dialects import mysql
from sqlalchemy.orm import Session

import portal.models  # noqa: F401 - registers every table, also those of others that will be created
from portal.db import Base
from portal.referrals import models

TABLES = tuple(
    Base.metadata.tables[model.__tablename__]
    for model in (
        models.Reward,
        models.ReferralScheme,
        models.Condition,
        models.SchemeCondition,
        models.Referral,
        models.ReferralCondition,
        models.PollTask,
    )
)
TRIGGER = "accept_only_one_row"
# The table in which migrations note how far they are.
_REVISION = "alembic_version"
_TABLES = text(
    "SELECT TABLE_NAME, ENGINE, TABLE_COLLATION FROM information_schema.TABLES"
    " WHERE TABLE_SCHEMA = DATABASE()"
)
_COLUMNS = text(
    "SELECT TABLE_NAME, COLUMN_NAME, CAST(COLUMN_TYPE AS CHAR), IS_NULLABLE, COLUMN_DEFAULT, EXTRA"
    " FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = DATABASE()"
    " ORDER BY TABLE_NAME, ORDINAL_POSITION"
)
_INDEXES = text(
    "SELECT TABLE_NAME, INDEX_NAME, NON_UNIQUE, COLUMN_NAME FROM information_schema.STATISTICS"
    " WHERE TABLE_SCHEMA = DATABASE() ORDER BY TABLE_NAME, INDEX_NAME, SEQ_IN_INDEX"
)
_REFERENCES = text(
    "SELECT TABLE_NAME, COLUMN_NAME, REFERENCED_TABLE_NAME, REFERENCED_COLUMN_NAME"
    " FROM information_schema.KEY_COLUMN_USAGE"
    " WHERE TABLE_SCHEMA = DATABASE() AND REFERENCED_TABLE_NAME IS NOT NULL"
)
_TRIGGER = text(
    "SELECT EVENT_OBJECT_TABLE, ACTION_TIMING, EVENT_MANIPULATION, ACTION_STATEMENT"
    " FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = DATABASE() AND TRIGGER_NAME = :name"
)
_DIALECT = mysql.dialect()


class Weight(StrEnum):
    """What a difference means: nothing to do; something will be added; nothing can be done until mended."""

    NOTE = "note"
    ADDS = "adds"
    STOPS = "stops"


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that is not as it should be; `statement` adds it, unless the migrations do."""

    weight: Weight
    said: str
    statement: str | None = None


@dataclass(frozen=True, slots=True)
class _Column:
    type: str
    nullable: bool
    default: str | None
    extra: str


@dataclass(slots=True)
class _Found:
    """What the server says of one table; keys and indexes map a name to columns."""

    engine: str
    collation: str
    columns: dict[str, _Column] = field(default_factory=dict)
    unique: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    indexes: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    references: set[tuple[str, str, str]] = field(default_factory=set)


def differences(session: Session) -> list[Difference]:
    """Compare the database with the established tables; every difference once, in the order of the tables."""
    found = _read_tables(session)
    told = [one for table in TABLES for one in _of_table(session, table, found)]
    told += _of_trigger(session, found)
    return told + list(_of_other_tables(found))


def has_established_tables(session: Session) -> bool:
    """Tell whether any of the established tables is there."""
    present = {row[0] for row in session.execute(_TABLES)}
    return any(table.name in present for table in TABLES)


def _of_table(session: Session, table: Table, all_found: dict[str, _Found]) -> Iterator[Difference]:
    found = all_found.get(table.name)
    if found is None:
        yield Difference(Weight.ADDS, f"The table {table.name} is missing; it will be created.")
        return
    if found.engine.lower() != "innodb":
        yield _stop(f"The table {table.name} is of the engine {found.engine}, which knows no transactions.")
    if found.collation != "utf8mb4_unicode_ci":
        yield _note(
            f"The table {table.name} has the collation {found.collation} instead of utf8mb4_unicode_ci."
        )
    yield from _of_columns(table, found)
    if any(column.name not in found.columns for column in table.columns):
        return
    yield from _of_keys(session, table, found)
    yield from _of_references(session, table, all_found)


def _of_columns(table: Table, found: _Found) -> Iterator[Difference]:
    for column in table.columns:
        there = found.columns.get(column.name)
        where = f"The column {table.name}.{column.name}"
        if there is None:
            yield _stop(f"{where} is missing, and what would stand in it is not known.")
            continue
        wanted = _type(column)
        if there.type != wanted:
            yield _stop(f"{where} is {there.type} instead of {wanted}.")
        if there.nullable != bool(column.nullable):
            yield _stop(f"{where} {'may' if there.nullable else 'may not'} be empty, unlike the established.")
        if column is table.autoincrement_column and "auto_increment" not in there.extra:
            yield _stop(f"{where} does not count up by itself.")
        if "on update" in there.extra:
            yield _note(f"{where} updates itself with its row; Waybill keeps it where it is.")
    for name, there in found.columns.items():
        if name not in table.columns:
            yield _of_extra_column(f"The column {table.name}.{name}", there)


def _of_extra_column(where: str, there: _Column) -> Difference:
    if not there.nullable and there.default is None and "auto_increment" not in there.extra:
        return _stop(f"{where} is not one of the established, and has no default: no row could be added.")
    return _note(f"{where} is not one of the established; it stays as it is.")


def _of_keys(session: Session, table: Table, found: _Found) -> Iterator[Difference]:
    key = [column.name for column in table.primary_key]
    if found.unique.get("PRIMARY") != key:
        yield _stop(f"The primary key of {table.name} is not ({', '.join(key)}).")
    for constraint in table.constraints:
        if isinstance(constraint, UniqueConstraint):
            names = [column.name for column in constraint.columns]
            if names not in found.unique.values():
                yield _missing_unique(session, table, str(constraint.name), names)
    every = [*found.indexes.values(), *found.unique.values()]
    for index in sorted(table.indexes, key=lambda index: str(index.name)):
        names = [column.name for column in index.columns]
        if not any(columns[: len(names)] == names for columns in every):
            yield Difference(
                Weight.ADDS,
                f"The index {index.name} on {table.name} ({', '.join(names)}) is missing; it will be added.",
                f"CREATE INDEX `{index.name}` ON `{table.name}` ({_quoted(names)})",
            )


def _missing_unique(session: Session, table: Table, name: str, columns: list[str]) -> Difference:
    what = f"The unique key {name} on {table.name} ({', '.join(columns)}) is missing"
    grouped = select(literal(1)).select_from(table).group_by(*(table.c[column] for column in columns))
    if session.scalar(grouped.having(func.count() > 1).limit(1)):
        return _stop(f"{what}, and there are rows that are the same by it.")
    statement = f"ALTER TABLE `{table.name}` ADD CONSTRAINT `{name}` UNIQUE ({_quoted(columns)})"
    return Difference(Weight.ADDS, f"{what}; it will be added.", statement)


def _of_references(session: Session, table: Table, found: dict[str, _Found]) -> Iterator[Difference]:
    constraints = (one for one in table.constraints if isinstance(one, ForeignKeyConstraint))
    for constraint in sorted(constraints, key=lambda one: str(one.name)):
        (element,) = constraint.elements
        column, target = element.parent, element.column
        if (column.name, target.table.name, target.name) in found[table.name].references:
            continue
        what = f"The foreign key {constraint.name} from {table.name}.{column.name} to {target.table.name}"
        if target.table.name not in found or _has_orphans(session, column, target):
            yield _stop(f"{what} is missing, and there are rows that point to nothing.")
            continue
        yield Difference(
            Weight.ADDS,
            f"{what} is missing; it will be added.",
            f"ALTER TABLE `{table.name}` ADD CONSTRAINT `{constraint.name}` FOREIGN KEY (`{column.name}`)"
            f" REFERENCES `{target.table.name}` (`{target.name}`)",
        )


def _has_orphans(session: Session, column: Column[Any], target: Column[Any]) -> bool:
    joined = outerjoin(column.table, target.table, column == target)
    return session.scalar(select(column).select_from(joined).where(target.is_(None)).limit(1)) is not None


def _of_trigger(session: Session, found: dict[str, _Found]) -> list[Difference]:
    if "task_manager" not in found:
        return []
    row = session.execute(_TRIGGER, {"name": TRIGGER}).one_or_none()
    if row is None:
        said = f"The trigger {TRIGGER}, which refuses a second row of task_manager, is missing"
        return [Difference(Weight.ADDS, f"{said}; it will be added.")]
    if tuple(row[:3]) != ("task_manager", "BEFORE", "INSERT"):
        return [_stop(f"The trigger {TRIGGER} does not act before an insert into task_manager.")]
    if "signal" not in row[3].lower():
        return [_stop(f"The trigger {TRIGGER} refuses nothing.")]
    return []


def _of_other_tables(found: dict[str, _Found]) -> Iterator[Difference]:
    ours = {*Base.metadata.tables, _REVISION} - {table.name for table in TABLES}
    if _REVISION not in found:
        for name in sorted(ours & set(found)):
            yield _stop(f"There is a table {name} already, which Waybill would create.")
    if missing := sorted(ours - set(found)):
        said = f"{len(missing)} tables of Waybill's own, which will be created: {', '.join(missing)}."
        yield Difference(Weight.ADDS, said)


def _read_tables(session: Session) -> dict[str, _Found]:
    found = {
        name: _Found(engine or "none", kind or "none") for name, engine, kind in session.execute(_TABLES)
    }
    for table, name, kind, nullable, default, extra in session.execute(_COLUMNS):
        column = _Column(_normal_type(kind), nullable == "YES", default, extra.lower())
        found[table].columns[name] = column
    for table, name, not_unique, column_name in session.execute(_INDEXES):
        (found[table].indexes if int(not_unique) else found[table].unique)[name].append(column_name)
    for table, column_name, other_table, other_column in session.execute(_REFERENCES):
        found[table].references.add((column_name, other_table, other_column))
    return found


def _type(column: Column[Any]) -> str:
    return _normal_type(column.type.compile(dialect=_DIALECT))


def _normal_type(written: str) -> str:
    """Return one spelling of a type: servers say how wide an integer is displayed, or do not."""
    word = written.lower().replace(", ", ",")
    word = re.sub(r"^numeric", "decimal", word)
    word = re.sub(r"^bool$", "tinyint(1)", word)
    word = re.sub(r"^integer", "int", word)
    return re.sub(r"^(bigint|int)\(\d+\)", r"\1", word)


def _quoted(columns: list[str]) -> str:
    return ", ".join(f"`{name}`" for name in columns)


def _stop(said: str) -> Difference:
    return Difference(Weight.STOPS, said)


def _note(said: str) -> Difference:
    return Difference(Weight.NOTE, said)
