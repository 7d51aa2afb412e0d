"""The database of the old service, made by its own statements, and what the server says of it."""

from __future__ import annotations

import base64
import os
import re
import subprocess
import sys
from pathlib import Path

from sqlalchemy import Connection, text

from portal.crypto import DataCipher
from portal.db import Database
from tests.servers.urls import Urls
from tests.web.portal import environment_for

ROOT = Path(__file__).parents[2]
CIPHER = DataCipher(base64.b64encode(bytes(32)).decode())
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
REFERRALS = 5_000
FILLED = (
    "INSERT INTO reward VALUES (1, 'ten', 'Ten dollars', 10.00), (2, 'five', NULL, 5.00)",
    """INSERT INTO referral_scheme VALUES
    (1, 'card', 'DAYS', 30, 5, 2, 1, 0, '2024-01-01 00:00:00'),
    (2, 'card', 'months', 1, 5, 2, 1, 1, '2025-01-01 00:00:00'),
    (3, 'loan', 'fortnight', 2, 5, 2, 1, 1, '2025-02-01 00:00:00'),
    (4, 'loan', 'year', 100, 5, 2, 1, 1, '2025-03-01 00:00:00')""",
    """INSERT INTO condition_table VALUES
    (1, 'sign-up', NULL, 'user_signup'), (2, 'verified', NULL, 'kyc'), (3, 'spent', NULL, 'spend')""",
    """INSERT INTO referral_scheme_condition_table VALUES
    (1, 1, 1, ''), (1, 2, 2, '{}'), (2, 1, 1, 'not json'), (4, 1, 1, ''), (4, 2, 2, ''),
    (2, 3, 2, '{"threshold": "10", "currency": "eur"}')""",
    f"""INSERT INTO referral (id, referrer_user_id, user_id, created_at, referral_scheme_id)
    SELECT seq, 1000 + MOD(seq, 7), 5000 + seq, '2025-03-31 12:00:00' + INTERVAL seq SECOND, 1 + MOD(seq, 4)
    FROM seq_1_to_{REFERRALS}""",
    """INSERT INTO referral_condition
    SELECT id, 1, created_at FROM referral""",
    """INSERT INTO referral_condition
    SELECT id, 2, created_at + INTERVAL 1 DAY FROM referral
    WHERE MOD(id, 3) = 0 AND referral_scheme_id IN (1, 4)""",
    """INSERT INTO referral_condition
    SELECT id, 3, created_at + INTERVAL 2 DAY FROM referral
    WHERE MOD(id, 5) = 0 AND referral_scheme_id = 2""",
    "INSERT INTO task_manager VALUES (3, 1, '2025-06-06 06:06:06')",
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


def fill(connection: Connection) -> None:
    """Fill the old service's tables with schemes, and referrals of which some met their conditions."""
    for statement in FILLED:
        connection.exec_driver_sql(statement)


def contents(connection: Connection) -> dict[str, list[tuple[object, ...]]]:
    """Give every column of every row of the established tables, as the server writes them."""
    return {
        table: [tuple(row) for row in connection.exec_driver_sql(f"SELECT * FROM {table} ORDER BY 1, 2")]
        for table in TABLES
    }


def adopt(
    database: Database,
    *options: str,
    meanings: tuple[str, ...] = ("user_signup=sign-up", "kyc=verification"),
    **variables: str,
) -> subprocess.CompletedProcess[str]:
    """Run the command on a database, by default with the meanings of all its conditions."""
    url = database.writer_engine.url.render_as_string(hide_password=False)
    given = [word for meaning in meanings for word in ("--event-type", meaning)]
    return subprocess.run(
        [sys.executable, "-m", "portal", "adopt-referrals", *given, *options],
        env=os.environ | environment_for(Urls(url, url)) | variables,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
