"""The database of the old service, made by its own statements, and what the server says of it."""

from __future__ import annotations

import re
from pathlib import Path

from sqlalchemy import Connection, text

SCHEMA = Path(__file__).with_name("established-schema.sql")
TABLES = (
    "reward",
    "referral_scheme",
    "condition_table",
    "referral_scheme_condition_table",
    "referral",
    "referral_condition",
    "task_manager",
)


def statements() -> list[str]:
    """Give the statements of the old service's schema, one by one, as its client would send them."""
    found, delimiter, statement = [], ";", ""
    for line in SCHEMA.read_text().splitlines():
        if line.startswith("--"):
            continue
        if line.startswith("DELIMITER "):
            delimiter = line.split()[1]
            continue
        statement += line + "\n"
        if statement.rstrip().endswith(delimiter):
            found.append(statement.rstrip().removesuffix(delimiter))
            statement = ""
    return found


def create(connection: Connection) -> None:
    """Make the old service's tables and trigger in the database of a connection."""
    for statement in statements():
        connection.exec_driver_sql(statement)


def definition(connection: Connection) -> dict[str, str]:
    """Give what the server says of each established table and of the trigger."""
    tables = {
        table: re.sub(
            r"AUTO_INCREMENT=\d+ ", "", connection.execute(text(f"SHOW CREATE TABLE `{table}`")).one()[1]
        )
        for table in TABLES
    }
    trigger = connection.execute(
        text(
            "SELECT EVENT_MANIPULATION, EVENT_OBJECT_TABLE, ACTION_TIMING, ACTION_STATEMENT"
            " FROM information_schema.TRIGGERS"
            " WHERE TRIGGER_SCHEMA = DATABASE() AND TRIGGER_NAME = 'accept_only_one_row'"
        )
    ).one()
    return {**tables, "accept_only_one_row": " ".join(" ".join(trigger).split())}
