"""Find answered requests by their age, so that they can be forgotten."""

from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    op.create_index("ix_answered_request_at", "answered_request", ["at"])
