"""Find due work lane by lane: a lane that is left alone is not read past."""

from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.create_index("ix_work_kind_lane_due_at", "work", ["kind", "lane", "due_at"])
    op.drop_index("ix_work_kind_due_at", "work")
