"""Keep what the conditions of an adopted database mean."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

from portal.db import Key

revision = "0009"
down_revision = "0008"

UnsignedId = (
    sa.BigInteger().with_variant(mysql.BIGINT(unsigned=True), "mysql").with_variant(sa.Integer(), "sqlite")
)
TABLE: dict[str, Any] = {"mysql_engine": "InnoDB", "mysql_charset": "utf8mb4"}


def upgrade() -> None:
    op.create_table(
        "condition_meaning",
        sa.Column("condition_id", UnsignedId, nullable=False),
        sa.Column("event_type", Key(20), nullable=False),
        sa.ForeignKeyConstraint(
            ["condition_id"], ["condition_table.id"], name="fk_condition_meaning_condition_id"
        ),
        sa.PrimaryKeyConstraint("condition_id", name="pk_condition_meaning"),
        sa.UniqueConstraint("event_type", name="uq_condition_meaning_event_type"),
        **TABLE,
    )
