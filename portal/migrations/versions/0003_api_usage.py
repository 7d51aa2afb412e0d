"""Create the table that counts the requests of the clients of the API."""

import sqlalchemy as sa
from alembic import op

from portal.db import BigId, UtcTime

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.create_table(
        "api_usage",
        sa.Column("client_id", BigId, nullable=False),
        sa.Column("minute", UtcTime(), nullable=False),
        sa.Column("requests", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["client_id"], ["api_client.id"], name="fk_api_usage_client_id"),
        sa.PrimaryKeyConstraint("client_id", "minute", name="pk_api_usage"),
        mysql_engine="InnoDB",
        mysql_charset="utf8mb4",
    )
