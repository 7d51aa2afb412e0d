"""Let work give up waiting for a system that is left alone."""

import sqlalchemy as sa
from alembic import op

from portal.db import UtcTime

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.add_column("work", sa.Column("gives_up_at", UtcTime(), nullable=True))
    op.create_index("ix_work_kind_lane_gives_up_at", "work", ["kind", "lane", "gives_up_at"])
