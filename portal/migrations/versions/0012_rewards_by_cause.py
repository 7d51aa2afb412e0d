"""Find the rewards of a status by the reason for it, in the order in which they were earned."""

from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    op.create_index("ix_reward_grant_status_code", "reward_grant", ["status", "code", "id"])
