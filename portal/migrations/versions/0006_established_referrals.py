"""Create the established tables of referrals, each only where it is missing: an adopted one stays."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

from portal.db import UtcSeconds

revision = "0006"
down_revision = "0005"

UnsignedId = (
    sa.BigInteger().with_variant(mysql.BIGINT(unsigned=True), "mysql").with_variant(sa.Integer(), "sqlite")
)
UnsignedInt = sa.Integer().with_variant(mysql.INTEGER(unsigned=True), "mysql")
TABLE: dict[str, Any] = {
    "mysql_engine": "InnoDB",
    "mysql_charset": "utf8mb4",
    "mysql_collate": "utf8mb4_unicode_ci",
}
COUNT_TASKS = "SELECT COUNT(*) FROM task_manager"
COUNT_TRIGGERS = {
    "mysql": """SELECT COUNT(*) FROM information_schema.TRIGGERS
WHERE TRIGGER_SCHEMA = DATABASE() AND TRIGGER_NAME = 'accept_only_one_row'""",
    "sqlite": "SELECT COUNT(*) FROM sqlite_master WHERE type = 'trigger' AND name = 'accept_only_one_row'",
}
INSERT_TASK = {
    "mysql": "INSERT INTO task_manager (in_progress, updated_at) VALUES (0, UTC_TIMESTAMP())",
    "sqlite": """INSERT INTO task_manager (in_progress, updated_at)
VALUES (0, strftime('%Y-%m-%d %H:%M:%S.000000', 'now'))""",
}
CREATE_TRIGGER = {
    "mysql": """CREATE TRIGGER accept_only_one_row BEFORE INSERT ON task_manager FOR EACH ROW
BEGIN
  IF (SELECT COUNT(*) FROM task_manager) > 0 THEN
    SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'Only one task is allowed';
  END IF;
END""",
    "sqlite": """CREATE TRIGGER accept_only_one_row BEFORE INSERT ON task_manager
WHEN (SELECT COUNT(*) FROM task_manager) > 0
BEGIN
  SELECT RAISE(ABORT, 'Only one task is allowed');
END""",
}


def upgrade() -> None:
    connection = op.get_bind()
    dialect = "sqlite" if connection.dialect.name == "sqlite" else "mysql"
    present = set(sa.inspect(connection).get_table_names())
    for table, create in (
        ("reward", create_rewards),
        ("referral_scheme", create_schemes),
        ("condition_table", create_conditions),
        ("referral_scheme_condition_table", create_scheme_conditions),
        ("referral", create_referrals),
        ("referral_condition", create_referral_conditions),
        ("task_manager", create_task),
    ):
        if table not in present:
            create()
    if not connection.exec_driver_sql(COUNT_TASKS).scalar():
        connection.exec_driver_sql(INSERT_TASK[dialect])
    if not connection.exec_driver_sql(COUNT_TRIGGERS[dialect]).scalar():
        connection.exec_driver_sql(CREATE_TRIGGER[dialect])


def create_rewards() -> None:
    op.create_table(
        "reward",
        sa.Column("id", UnsignedId, autoincrement=True, nullable=False),
        sa.Column("name", sa.String(length=20), nullable=False),
        sa.Column("description", sa.String(length=255), nullable=True),
        sa.Column("amount", sa.Numeric(precision=12, scale=2), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_reward"),
        sa.UniqueConstraint("name", name="name"),
        **TABLE,
    )


def create_schemes() -> None:
    op.create_table(
        "referral_scheme",
        sa.Column("id", UnsignedId, autoincrement=True, nullable=False),
        sa.Column("product", sa.String(length=20), nullable=False),
        sa.Column("expiry_period_type", sa.String(length=20), nullable=False),
        sa.Column("expiry_period_length", sa.Integer(), nullable=False),
        sa.Column("limit_rewards", sa.Integer(), nullable=False),
        sa.Column("recruit_reward_id", UnsignedId, nullable=False),
        sa.Column("referrer_reward_id", UnsignedId, nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("activated_at", UtcSeconds(), nullable=False),
        sa.ForeignKeyConstraint(
            ["recruit_reward_id"], ["reward.id"], name="FK_referral_scheme_recruitreward"
        ),
        sa.ForeignKeyConstraint(
            ["referrer_reward_id"], ["reward.id"], name="FK_referral_scheme_referrerreward"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_referral_scheme"),
        **TABLE,
    )
    op.create_index("referral_scheme_active_idx", "referral_scheme", ["active"])


def create_conditions() -> None:
    op.create_table(
        "condition_table",
        sa.Column("id", UnsignedId, autoincrement=True, nullable=False),
        sa.Column("name", sa.String(length=20), nullable=False),
        sa.Column("description", sa.String(length=255), nullable=True),
        sa.Column("event_type", sa.String(length=20), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_condition_table"),
        sa.UniqueConstraint("name", name="name"),
        sa.UniqueConstraint("event_type", name="event_type"),
        **TABLE,
    )


def create_scheme_conditions() -> None:
    op.create_table(
        "referral_scheme_condition_table",
        sa.Column("referral_scheme_id", UnsignedId, nullable=False),
        sa.Column("condition_id", UnsignedId, nullable=False),
        sa.Column("ordinal", UnsignedInt, nullable=False),
        sa.Column("data", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["condition_id"], ["condition_table.id"], name="FK_referralschemeconditiontable_conditiontable"
        ),
        sa.ForeignKeyConstraint(
            ["referral_scheme_id"],
            ["referral_scheme.id"],
            name="FK_referralschemeconditiontable_referralscheme",
        ),
        sa.PrimaryKeyConstraint(
            "referral_scheme_id", "condition_id", name="pk_referral_scheme_condition_table"
        ),
        **TABLE,
    )


def create_referrals() -> None:
    op.create_table(
        "referral",
        sa.Column("id", UnsignedId, autoincrement=True, nullable=False),
        sa.Column("referrer_user_id", UnsignedId, nullable=False),
        sa.Column("user_id", UnsignedId, nullable=False),
        sa.Column("created_at", UtcSeconds(), nullable=False),
        sa.Column("referral_scheme_id", UnsignedId, nullable=False),
        sa.ForeignKeyConstraint(
            ["referral_scheme_id"], ["referral_scheme.id"], name="FK_referral_referralscheme"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_referral"),
        sa.UniqueConstraint("referral_scheme_id", "user_id", name="ReferralScheme_User"),
        **TABLE,
    )
    op.create_index("referrer_user_id_idx", "referral", ["referrer_user_id"])
    op.create_index("user_id_idx", "referral", ["user_id"])


def create_referral_conditions() -> None:
    op.create_table(
        "referral_condition",
        sa.Column("referral_id", UnsignedId, nullable=False),
        sa.Column("condition_id", UnsignedId, nullable=False),
        sa.Column("created_at", UtcSeconds(), nullable=False),
        sa.ForeignKeyConstraint(
            ["condition_id"], ["condition_table.id"], name="FK_referralcondition_condition"
        ),
        sa.ForeignKeyConstraint(["referral_id"], ["referral.id"], name="FK_referralcondition_referral"),
        sa.PrimaryKeyConstraint("referral_id", "condition_id", name="pk_referral_condition"),
        **TABLE,
    )


def create_task() -> None:
    op.create_table(
        "task_manager",
        sa.Column("id", UnsignedId, autoincrement=True, nullable=False),
        sa.Column("in_progress", sa.Boolean(), nullable=False),
        sa.Column("updated_at", UtcSeconds(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_task_manager"),
        **TABLE,
    )
