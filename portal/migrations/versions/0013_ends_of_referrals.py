"""Count by index how many referrals came to an end within a day."""

from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    op.create_index("ix_referral_progress_status_ended_at", "referral_progress", ["status", "ended_at"])
