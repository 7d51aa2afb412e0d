"""Find what the figures of referrals are counted from by index, and keep what an experiment has shown."""

import sqlalchemy as sa
from alembic import op

from portal.db import UtcTime

revision = "0010"
down_revision = "0009"

STAGE = ["status", "clicked_at", "referral_id"]
ADDED = {
    "ix_referral_progress_scheme_started": (
        "referral_progress",
        ["scheme_id", "started_at", "referrer_user_id"],
    ),
    "ix_reward_grant_family_earned": ("reward_grant", ["family_id", "earned_at", "status", "amount"]),
    "ix_reward_grant_family_code": ("reward_grant", ["family_id", "code", "status", "amount"]),
    "ix_invitation_created_at_stage": ("invitation", ["created_at", "scheme_id", *STAGE]),
    "ix_invitation_scheme_stage": ("invitation", ["scheme_id", "created_at", *STAGE]),
}


def upgrade() -> None:
    for name, (table, columns) in ADDED.items():
        op.create_index(name, table, columns)
    op.drop_index("ix_invitation_created_at", "invitation")
    op.add_column("referral_experiment", sa.Column("figures", sa.JSON(), nullable=True))
    op.add_column("referral_experiment", sa.Column("counted_at", UtcTime(), nullable=True))
    op.add_column("referral_experiment", sa.Column("count_due_at", UtcTime(), nullable=True))
    op.add_column(
        "referral_experiment",
        sa.Column("figures_are_final", sa.Boolean(), nullable=False, server_default=sa.false()),
    )
