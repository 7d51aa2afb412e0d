"""Keep which rewards and conditions are retired, and which clients of the API may administer."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

from portal.db import UtcTime

revision = "0008"
down_revision = "0007"

UnsignedId = (
    sa.BigInteger().with_variant(mysql.BIGINT(unsigned=True), "mysql").with_variant(sa.Integer(), "sqlite")
)
TABLE: dict[str, Any] = {"mysql_engine": "InnoDB", "mysql_charset": "utf8mb4"}


def upgrade() -> None:
    op.create_table(
        "retired_reward",
        sa.Column("reward_id", UnsignedId, nullable=False),
        sa.Column("retired_at", UtcTime(), nullable=False),
        sa.ForeignKeyConstraint(["reward_id"], ["reward.id"], name="fk_retired_reward_reward_id"),
        sa.PrimaryKeyConstraint("reward_id", name="pk_retired_reward"),
        **TABLE,
    )
    op.create_table(
        "retired_condition",
        sa.Column("condition_id", UnsignedId, nullable=False),
        sa.Column("retired_at", UtcTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["condition_id"], ["condition_table.id"], name="fk_retired_condition_condition_id"
        ),
        sa.PrimaryKeyConstraint("condition_id", name="pk_retired_condition"),
        **TABLE,
    )
    op.add_column(
        "api_client",
        sa.Column("may_administer", sa.Boolean(), nullable=False, server_default=sa.false()),
    )
