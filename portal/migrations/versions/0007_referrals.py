"""Create our tables of referrals, beside the established ones."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

from portal.db import BigId, Key, UtcTime

revision = "0007"
down_revision = "0006"

UnsignedId = (
    sa.BigInteger().with_variant(mysql.BIGINT(unsigned=True), "mysql").with_variant(sa.Integer(), "sqlite")
)
TABLE: dict[str, Any] = {"mysql_engine": "InnoDB", "mysql_charset": "utf8mb4"}


def upgrade() -> None:
    create_schemes()
    create_invitations()
    create_users()
    create_progress()
    create_polls()
    create_rewards()
    create_experiments()


def create_schemes() -> None:
    op.create_table(
        "referral_scheme_version",
        sa.Column("scheme_id", UnsignedId, nullable=False),
        sa.Column("family_id", UnsignedId, nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("created_by", Key(255), nullable=False),
        sa.Column("created_at", UtcTime(), nullable=False),
        sa.Column("retired_at", UtcTime(), nullable=True),
        sa.ForeignKeyConstraint(
            ["scheme_id"], ["referral_scheme.id"], name="fk_referral_scheme_version_scheme_id"
        ),
        sa.PrimaryKeyConstraint("scheme_id", name="pk_referral_scheme_version"),
        sa.UniqueConstraint("family_id", "version", name="uq_referral_scheme_version_family_id_version"),
        **TABLE,
    )
    op.create_index("ix_scheme_version_state", "referral_scheme_version", ["state"])
    op.create_table(
        "active_referral_scheme",
        sa.Column("product", Key(20), nullable=False),
        sa.Column("scheme_id", UnsignedId, nullable=False),
        sa.ForeignKeyConstraint(
            ["scheme_id"], ["referral_scheme.id"], name="fk_active_referral_scheme_scheme_id"
        ),
        sa.PrimaryKeyConstraint("product", name="pk_active_referral_scheme"),
        **TABLE,
    )
    op.create_table(
        "referral_scheme_budget",
        sa.Column("family_id", UnsignedId, autoincrement=False, nullable=False),
        sa.Column("total", sa.Numeric(precision=14, scale=2), nullable=True),
        sa.Column("reserved", sa.Numeric(precision=14, scale=2), nullable=False),
        sa.Column("committed", sa.Numeric(precision=14, scale=2), nullable=False),
        sa.Column("spent", sa.Numeric(precision=14, scale=2), nullable=False),
        sa.PrimaryKeyConstraint("family_id", name="pk_referral_scheme_budget"),
        **TABLE,
    )
    op.create_table(
        "referrer_usage",
        sa.Column("family_id", UnsignedId, autoincrement=False, nullable=False),
        sa.Column("referrer_user_id", UnsignedId, autoincrement=False, nullable=False),
        sa.Column("rewards", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("family_id", "referrer_user_id", name="pk_referrer_usage"),
        **TABLE,
    )


def create_invitations() -> None:
    op.create_table(
        "invitation",
        sa.Column("id", BigId, nullable=False),
        sa.Column("uuid", sa.String(length=36), nullable=False),
        sa.Column("scheme_id", UnsignedId, nullable=False),
        sa.Column("referrer_user_id", UnsignedId, nullable=False),
        sa.Column("address", sa.LargeBinary(length=1024), nullable=True),
        sa.Column("address_index", Key(64), nullable=False),
        sa.Column("folded_index", Key(64), nullable=False),
        sa.Column("token", sa.LargeBinary(length=1024), nullable=True),
        sa.Column("token_hash", sa.String(length=64), nullable=True),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("mail_status", sa.String(length=16), nullable=False),
        sa.Column("mail_reason", sa.Text(), nullable=True),
        sa.Column("mail_key", Key(64), nullable=True),
        sa.Column("sends", sa.Integer(), nullable=False),
        sa.Column("clicks", sa.Integer(), nullable=False),
        sa.Column("created_at", UtcTime(), nullable=False),
        sa.Column("clicked_at", UtcTime(), nullable=True),
        sa.Column("referral_id", UnsignedId, nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_invitation"),
        sa.UniqueConstraint("mail_key", name="uq_invitation_mail_key"),
        sa.UniqueConstraint(
            "referrer_user_id", "address_index", name="uq_invitation_referrer_user_id_address_index"
        ),
        sa.UniqueConstraint("token_hash", name="uq_invitation_token_hash"),
        sa.UniqueConstraint("uuid", name="uq_invitation_uuid"),
        **TABLE,
    )
    op.create_index("ix_invitation_address_index", "invitation", ["address_index"])
    op.create_index("ix_invitation_created_at", "invitation", ["created_at"])
    op.create_index("ix_invitation_folded_index", "invitation", ["folded_index"])
    op.create_table(
        "invitation_day",
        sa.Column("referrer_user_id", UnsignedId, autoincrement=False, nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("sent", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("referrer_user_id", "day", name="pk_invitation_day"),
        **TABLE,
    )
    op.create_table(
        "answered_request",
        sa.Column("client_id", BigId, autoincrement=False, nullable=False),
        sa.Column("key", Key(128), nullable=False),
        sa.Column("request_hash", sa.String(length=64), nullable=False),
        sa.Column("answer", sa.JSON(), nullable=False),
        sa.Column("at", UtcTime(), nullable=False),
        sa.PrimaryKeyConstraint("client_id", "key", name="pk_answered_request"),
        **TABLE,
    )


def create_progress() -> None:
    op.create_table(
        "referral_progress",
        sa.Column("referral_id", UnsignedId, autoincrement=False, nullable=False),
        sa.Column("family_id", UnsignedId, nullable=False),
        sa.Column("scheme_id", UnsignedId, nullable=False),
        sa.Column("user_id", UnsignedId, nullable=False),
        sa.Column("referrer_user_id", UnsignedId, nullable=False),
        sa.Column("invitation_id", BigId, nullable=True),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("review", sa.String(length=16), nullable=False),
        sa.Column("started_at", UtcTime(), nullable=False),
        sa.Column("expires_at", UtcTime(), nullable=True),
        sa.Column("ended_at", UtcTime(), nullable=True),
        sa.ForeignKeyConstraint(["referral_id"], ["referral.id"], name="fk_referral_progress_referral_id"),
        sa.PrimaryKeyConstraint("referral_id", name="pk_referral_progress"),
        sa.UniqueConstraint("family_id", "user_id", name="uq_referral_progress_family_id_user_id"),
        **TABLE,
    )
    op.create_index(
        "ix_referral_progress_referrer", "referral_progress", ["referrer_user_id", "referral_id", "status"]
    )
    op.create_index("ix_referral_progress_review", "referral_progress", ["review", "referral_id"])
    op.create_index("ix_referral_progress_status_expires_at", "referral_progress", ["status", "expires_at"])
    op.create_index("ix_referral_progress_status_referral_id", "referral_progress", ["status", "referral_id"])
    op.create_index("ix_referral_progress_user_id", "referral_progress", ["user_id"])
    op.create_table(
        "condition_evidence",
        sa.Column("referral_id", UnsignedId, nullable=False),
        sa.Column("condition_id", UnsignedId, nullable=False),
        sa.Column("source", sa.String(length=16), nullable=False),
        sa.Column("source_id", Key(128), nullable=False),
        sa.Column("amount", sa.Numeric(precision=14, scale=2), nullable=True),
        sa.Column("threshold", sa.Numeric(precision=14, scale=2), nullable=True),
        sa.Column("currency", sa.String(length=3), nullable=True),
        sa.Column("at", UtcTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["condition_id"], ["condition_table.id"], name="fk_condition_evidence_condition_id"
        ),
        sa.ForeignKeyConstraint(["referral_id"], ["referral.id"], name="fk_condition_evidence_referral_id"),
        sa.PrimaryKeyConstraint("referral_id", "condition_id", name="pk_condition_evidence"),
        **TABLE,
    )
    op.create_table(
        "spend_seen",
        sa.Column("referral_id", UnsignedId, nullable=False),
        sa.Column("amount", sa.Numeric(precision=14, scale=2), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("poll_run_id", BigId, nullable=False),
        sa.Column("at", UtcTime(), nullable=False),
        sa.ForeignKeyConstraint(["referral_id"], ["referral.id"], name="fk_spend_seen_referral_id"),
        sa.PrimaryKeyConstraint("referral_id", name="pk_spend_seen"),
        **TABLE,
    )


def create_users() -> None:
    op.create_table(
        "known_user",
        sa.Column("user_id", UnsignedId, autoincrement=False, nullable=False),
        sa.Column("address_index", Key(64), nullable=True),
        sa.Column("folded_index", Key(64), nullable=True),
        sa.Column("network_index", Key(64), nullable=True),
        sa.Column("device_index", Key(64), nullable=True),
        sa.Column("signed_up_at", UtcTime(), nullable=True),
        sa.PrimaryKeyConstraint("user_id", name="pk_known_user"),
        **TABLE,
    )
    op.create_index("ix_known_user_address_index", "known_user", ["address_index"])
    op.create_index("ix_known_user_device", "known_user", ["device_index", "signed_up_at"])
    op.create_index("ix_known_user_folded_index", "known_user", ["folded_index"])
    op.create_index("ix_known_user_network", "known_user", ["network_index", "signed_up_at"])
    op.create_table(
        "user_fact",
        sa.Column("user_id", UnsignedId, autoincrement=False, nullable=False),
        sa.Column("event_type", Key(20), nullable=False),
        sa.Column("message_id", Key(128), nullable=False),
        sa.Column("at", UtcTime(), nullable=False),
        sa.Column("data", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("user_id", "event_type", name="pk_user_fact"),
        **TABLE,
    )


def create_polls() -> None:
    op.create_table(
        "poll_run",
        sa.Column("id", BigId, nullable=False),
        sa.Column("owner", Key(100), nullable=False),
        sa.Column("started_at", UtcTime(), nullable=False),
        sa.Column("ended_at", UtcTime(), nullable=True),
        sa.Column("users", sa.Integer(), nullable=False),
        sa.Column("batches", sa.Integer(), nullable=False),
        sa.Column("failed_batches", sa.Integer(), nullable=False),
        sa.Column("met", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_poll_run"),
        **TABLE,
    )
    op.create_table(
        "poll_owner",
        sa.Column("task_id", UnsignedId, nullable=False),
        sa.Column("token", sa.String(length=36), nullable=False),
        sa.Column("poll_run_id", BigId, nullable=True),
        sa.ForeignKeyConstraint(["task_id"], ["task_manager.id"], name="fk_poll_owner_task_id"),
        sa.PrimaryKeyConstraint("task_id", name="pk_poll_owner"),
        **TABLE,
    )
    op.create_table(
        "poll_failed_batch",
        sa.Column("id", BigId, nullable=False),
        sa.Column("poll_run_id", BigId, nullable=False),
        sa.Column("first_referral_id", UnsignedId, nullable=False),
        sa.Column("last_referral_id", UnsignedId, nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("code", sa.String(length=64), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("at", UtcTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_poll_failed_batch"),
        **TABLE,
    )


def create_rewards() -> None:
    op.create_table(
        "reward_grant",
        sa.Column("id", BigId, nullable=False),
        sa.Column("uuid", sa.String(length=36), nullable=False),
        sa.Column("referral_id", UnsignedId, nullable=False),
        sa.Column("family_id", UnsignedId, nullable=False),
        sa.Column("side", sa.String(length=8), nullable=False),
        sa.Column("user_id", UnsignedId, nullable=False),
        sa.Column("reward_id", UnsignedId, nullable=False),
        sa.Column("amount", sa.Numeric(precision=12, scale=2), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("code", sa.String(length=64), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("external_id", Key(128), nullable=True),
        sa.Column("pushed_by", Key(255), nullable=True),
        sa.Column("pushed_at", UtcTime(), nullable=True),
        sa.Column("earned_at", UtcTime(), nullable=False),
        sa.Column("ended_at", UtcTime(), nullable=True),
        sa.ForeignKeyConstraint(["referral_id"], ["referral.id"], name="fk_reward_grant_referral_id"),
        sa.ForeignKeyConstraint(["reward_id"], ["reward.id"], name="fk_reward_grant_reward_id"),
        sa.PrimaryKeyConstraint("id", name="pk_reward_grant"),
        sa.UniqueConstraint("referral_id", "side", name="uq_reward_grant_referral_id_side"),
        sa.UniqueConstraint("uuid", name="uq_reward_grant_uuid"),
        **TABLE,
    )
    op.create_index("ix_reward_grant_family_status", "reward_grant", ["family_id", "status"])
    op.create_index("ix_reward_grant_status_id", "reward_grant", ["status", "id"])
    op.create_index("ix_reward_grant_user_id", "reward_grant", ["user_id"])
    op.create_table(
        "referral_flag",
        sa.Column("id", BigId, nullable=False),
        sa.Column("referral_id", UnsignedId, nullable=False),
        sa.Column("rule", sa.String(length=32), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("at", UtcTime(), nullable=False),
        sa.ForeignKeyConstraint(["referral_id"], ["referral.id"], name="fk_referral_flag_referral_id"),
        sa.PrimaryKeyConstraint("id", name="pk_referral_flag"),
        sa.UniqueConstraint("referral_id", "rule", name="uq_referral_flag_referral_id_rule"),
        **TABLE,
    )


def create_experiments() -> None:
    op.create_table(
        "referral_experiment",
        sa.Column("id", BigId, nullable=False),
        sa.Column("name", Key(64), nullable=False),
        sa.Column("product", Key(20), nullable=False),
        sa.Column("percentage", sa.Numeric(precision=5, scale=2), nullable=False),
        sa.Column("started_at", UtcTime(), nullable=False),
        sa.Column("horizon_at", UtcTime(), nullable=False),
        sa.Column("stopped_at", UtcTime(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_referral_experiment"),
        sa.UniqueConstraint("name", name="uq_referral_experiment_name"),
        **TABLE,
    )
    op.create_table(
        "referral_exposure",
        sa.Column("experiment_id", BigId, nullable=False),
        sa.Column("user_id", UnsignedId, autoincrement=False, nullable=False),
        sa.Column("offered", sa.Boolean(), nullable=False),
        sa.Column("at", UtcTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["experiment_id"], ["referral_experiment.id"], name="fk_referral_exposure_experiment_id"
        ),
        sa.PrimaryKeyConstraint("experiment_id", "user_id", name="pk_referral_exposure"),
        **TABLE,
    )
