"""Create the tables of orders, the work queue, the event log, access and metrics."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

from portal.db import BigId, Key, UtcTime

revision = "0001"
down_revision = None

LongBytes = sa.LargeBinary().with_variant(mysql.LONGBLOB(), "mysql")
LongText = sa.Text().with_variant(mysql.LONGTEXT(), "mysql")
TABLE: dict[str, Any] = {"mysql_engine": "InnoDB", "mysql_charset": "utf8mb4"}


def upgrade() -> None:
    create_log_and_queue()
    create_access()
    create_metrics()
    create_orders()


def create_log_and_queue() -> None:
    op.create_table(
        "event",
        sa.Column("id", BigId, nullable=False),
        sa.Column("at", UtcTime(), nullable=False),
        sa.Column("subject", sa.String(length=32), nullable=False),
        sa.Column("subject_id", BigId, nullable=False),
        sa.Column("kind", sa.String(length=48), nullable=False),
        sa.Column("actor_kind", sa.String(length=16), nullable=False),
        sa.Column("actor", Key(255), nullable=False),
        sa.Column("data", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_event"),
        **TABLE,
    )
    op.create_index("ix_event_actor_kind_id", "event", ["actor_kind", "id"])
    op.create_index("ix_event_subject", "event", ["subject", "subject_id", "id"])
    op.create_table(
        "audit_entry",
        sa.Column("sequence", BigId, autoincrement=False, nullable=False),
        sa.Column("event_id", BigId, nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(["event_id"], ["event.id"], name="fk_audit_entry_event_id"),
        sa.PrimaryKeyConstraint("sequence", name="pk_audit_entry"),
        sa.UniqueConstraint("event_id", name="uq_audit_entry_event_id"),
        **TABLE,
    )
    op.create_table(
        "audit_head",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("sequence", BigId, nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_audit_head"),
        **TABLE,
    )
    op.create_table(
        "work",
        sa.Column("id", BigId, nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("reference", BigId, nullable=False),
        sa.Column("lane", sa.String(length=32), nullable=False),
        sa.Column("due_at", UtcTime(), nullable=False),
        sa.Column("lease_token", sa.String(length=36), nullable=True),
        sa.Column("attempt", sa.SmallInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_work"),
        sa.UniqueConstraint("kind", "reference", name="uq_work_kind_reference"),
        **TABLE,
    )
    op.create_index("ix_work_kind_due_at", "work", ["kind", "due_at"])
    op.execute(
        sa.text("INSERT INTO audit_head (id, sequence, hash) VALUES (1, 0, :nothing)").bindparams(
            nothing="0" * 64
        )
    )


def create_access() -> None:
    op.create_table(
        "person",
        sa.Column("id", BigId, nullable=False),
        sa.Column("login", Key(254), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("role", sa.String(length=16), nullable=False),
        sa.Column("password_hash", sa.String(length=255), nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("created_at", UtcTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_person"),
        sa.UniqueConstraint("login", name="uq_person_login"),
        **TABLE,
    )
    op.create_table(
        "login_session",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("person_id", BigId, nullable=False),
        sa.Column("created_at", UtcTime(), nullable=False),
        sa.Column("expires_at", UtcTime(), nullable=False),
        sa.Column("writes", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["person_id"], ["person.id"], name="fk_login_session_person_id"),
        sa.PrimaryKeyConstraint("id", name="pk_login_session"),
        **TABLE,
    )
    op.create_index("ix_login_session_person_id", "login_session", ["person_id"])
    op.create_table(
        "login_failure",
        sa.Column("id", BigId, nullable=False),
        sa.Column("address", sa.String(length=45), nullable=False),
        sa.Column("login_hash", sa.String(length=64), nullable=False),
        sa.Column("at", UtcTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_login_failure"),
        **TABLE,
    )
    op.create_index("ix_login_failure_address_at", "login_failure", ["address", "at"])
    op.create_index("ix_login_failure_login_hash_at", "login_failure", ["login_hash", "at"])
    op.create_table(
        "api_client",
        sa.Column("id", BigId, nullable=False),
        sa.Column("name", Key(100), nullable=False),
        sa.Column("key_hash", sa.String(length=64), nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("created_at", UtcTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_api_client"),
        sa.UniqueConstraint("key_hash", name="uq_api_client_key_hash"),
        sa.UniqueConstraint("name", name="uq_api_client_name"),
        **TABLE,
    )


def create_metrics() -> None:
    op.create_table(
        "metric_minute",
        sa.Column("name", Key(64), nullable=False),
        sa.Column("label", Key(64), nullable=False),
        sa.Column("minute", UtcTime(), nullable=False),
        sa.Column("count", BigId, nullable=False),
        sa.Column("total", sa.Double(), nullable=False),
        sa.Column("maximum", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("name", "label", "minute", name="pk_metric_minute"),
        **TABLE,
    )
    op.create_index("ix_metric_minute_minute", "metric_minute", ["minute"])
    op.create_table(
        "job_heartbeat",
        sa.Column("job", sa.String(length=32), nullable=False),
        sa.Column("instance", Key(100), nullable=False),
        sa.Column("started_at", UtcTime(), nullable=False),
        sa.Column("at", UtcTime(), nullable=False),
        sa.Column("counters", sa.JSON(), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("job", "instance", name="pk_job_heartbeat"),
        **TABLE,
    )


def create_orders() -> None:
    op.create_table(
        "process_version",
        sa.Column("id", BigId, nullable=False),
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.Column("drawing", LongText, nullable=False),
        sa.Column("sheet", LongText, nullable=False),
        sa.Column("created_at", UtcTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_process_version"),
        sa.UniqueConstraint("hash", name="uq_process_version_hash"),
        **TABLE,
    )
    op.create_table(
        "purchase_order",
        sa.Column("id", BigId, nullable=False),
        sa.Column("uuid", sa.String(length=36), nullable=False),
        sa.Column("number", Key(64), nullable=False),
        sa.Column("content_hash", sa.String(length=64), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("process_version_id", BigId, nullable=False),
        sa.Column("channel", Key(32), nullable=True),
        sa.Column("store", Key(64), nullable=True),
        sa.Column("country", sa.String(length=2), nullable=True),
        sa.Column("currency", sa.String(length=3), nullable=True),
        sa.Column("total", sa.Numeric(precision=14, scale=2), nullable=True),
        sa.Column("has_email", sa.Boolean(), nullable=False),
        sa.Column("email_index", sa.String(length=64), nullable=True),
        sa.Column("canonical", LongBytes, nullable=False),
        sa.Column("source", sa.String(length=16), nullable=False),
        sa.Column("document_format", sa.String(length=64), nullable=False),
        sa.Column("document_bucket", sa.String(length=63), nullable=False),
        sa.Column("document_key", sa.Text(), nullable=False),
        sa.Column("document_version", sa.Text(), nullable=True),
        sa.Column("placed_at", UtcTime(), nullable=True),
        sa.Column("received_at", UtcTime(), nullable=False),
        sa.Column("completed_at", UtcTime(), nullable=True),
        sa.ForeignKeyConstraint(
            ["process_version_id"], ["process_version.id"], name="fk_purchase_order_process_version_id"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_purchase_order"),
        sa.UniqueConstraint("number", name="uq_purchase_order_number"),
        sa.UniqueConstraint("uuid", name="uq_purchase_order_uuid"),
        **TABLE,
    )
    op.create_index("ix_purchase_order_channel_id", "purchase_order", ["channel", "id"])
    op.create_index("ix_purchase_order_country_id", "purchase_order", ["country", "id"])
    op.create_index("ix_purchase_order_email_index", "purchase_order", ["email_index"])
    op.create_index("ix_purchase_order_received_at", "purchase_order", ["received_at"])
    op.create_index("ix_purchase_order_status_id", "purchase_order", ["status", "id"])
    op.create_index("ix_purchase_order_store_id", "purchase_order", ["store", "id"])
    op.create_table(
        "order_step",
        sa.Column("order_id", BigId, nullable=False),
        sa.Column("element_id", Key(128), nullable=False),
        sa.Column("name", sa.String(length=128), nullable=False),
        sa.Column("system", sa.String(length=32), nullable=False),
        sa.Column("effect", sa.String(length=22), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("code", sa.String(length=64), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("result", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("pushed_by", Key(255), nullable=True),
        sa.Column("pushed_at", UtcTime(), nullable=True),
        sa.Column("started_at", UtcTime(), nullable=False),
        sa.Column("ended_at", UtcTime(), nullable=True),
        sa.ForeignKeyConstraint(["order_id"], ["purchase_order.id"], name="fk_order_step_order_id"),
        sa.PrimaryKeyConstraint("order_id", "element_id", name="pk_order_step"),
        **TABLE,
    )
    op.create_index("ix_order_step_state_code", "order_step", ["state", "code", "order_id"])
    op.create_index("ix_order_step_state_order_id", "order_step", ["state", "order_id"])
    op.create_table(
        "waiting_message",
        sa.Column("id", BigId, nullable=False),
        sa.Column("message_id", Key(100), nullable=False),
        sa.Column("queue", sa.String(length=80), nullable=False),
        sa.Column("message_group", Key(128), nullable=True),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("body", LongBytes, nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("receives", sa.Integer(), nullable=False),
        sa.Column("code", sa.String(length=64), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("arrived_at", UtcTime(), nullable=False),
        sa.Column("pushes", sa.Integer(), nullable=False),
        sa.Column("pushed_by", Key(255), nullable=True),
        sa.Column("pushed_at", UtcTime(), nullable=True),
        sa.Column("passed_at", UtcTime(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_waiting_message"),
        sa.UniqueConstraint("message_id", name="uq_waiting_message_message_id"),
        **TABLE,
    )
    op.create_index("ix_waiting_message_state_id", "waiting_message", ["state", "id"])
    op.create_table(
        "mail_delivery",
        sa.Column("effect_key", Key(64), nullable=False),
        sa.Column("message_id", Key(128), nullable=False),
        sa.Column("at", UtcTime(), nullable=False),
        sa.PrimaryKeyConstraint("effect_key", name="pk_mail_delivery"),
        **TABLE,
    )
