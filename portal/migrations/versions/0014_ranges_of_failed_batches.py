"""Find a failed batch of spends by the referrals that it is about."""

from alembic import op

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    op.create_index("ix_poll_failed_batch_first_referral_id", "poll_failed_batch", ["first_referral_id"])
