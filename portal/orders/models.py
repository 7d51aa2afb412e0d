"""The rows of orders, their steps, versions of processes, messages that wait, and delivered mails."""

from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import JSON, ForeignKey, Index, Integer, LargeBinary, Numeric, String, Text
from sqlalchemy.dialects import mysql
from sqlalchemy.orm import Mapped, mapped_column

from portal.db import Base, BigId, Key, UtcTime

LongBytes = LargeBinary().with_variant(mysql.LONGBLOB(), "mysql")
LongText = Text().with_variant(mysql.LONGTEXT(), "mysql")


class ProcessVersion(Base):
    """A drawing with its binding sheet, as they were when the first order started on them."""

    __tablename__ = "process_version"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    key: Mapped[str] = mapped_column(String(64))
    hash: Mapped[str] = mapped_column(String(64), unique=True)
    drawing: Mapped[str] = mapped_column(LongText)
    sheet: Mapped[str] = mapped_column(LongText)
    created_at: Mapped[datetime] = mapped_column(UtcTime)


class PurchaseOrder(Base):
    """An order on its way through its process.

    `canonical` is the encrypted canonical JSON; the columns beside it are what lists filter by.
    `uuid` is the namespace of the idempotency keys of the order's effects. `document_*` tell where the
    original document lies; it is never changed.
    """

    __tablename__ = "purchase_order"
    __table_args__ = (
        Index("ix_purchase_order_status_received_at", "status", "received_at"),
        Index("ix_purchase_order_channel_received_at", "channel", "received_at"),
        Index("ix_purchase_order_store_received_at", "store", "received_at"),
        Index("ix_purchase_order_country_received_at", "country", "received_at"),
        Index("ix_purchase_order_email_index", "email_index"),
        Index("ix_purchase_order_received_at", "received_at"),
        Index("ix_purchase_order_completed_at", "completed_at"),
        Index("ix_purchase_order_total", "total"),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    uuid: Mapped[str] = mapped_column(String(36), unique=True)
    number: Mapped[str] = mapped_column(Key(64), unique=True)
    content_hash: Mapped[str] = mapped_column(String(64))
    status: Mapped[str] = mapped_column(String(16))
    process_version_id: Mapped[int] = mapped_column(BigId, ForeignKey("process_version.id"))

    channel: Mapped[str | None] = mapped_column(Key(32))
    store: Mapped[str | None] = mapped_column(Key(64))
    country: Mapped[str | None] = mapped_column(String(2))
    currency: Mapped[str | None] = mapped_column(String(3))
    total: Mapped[Decimal | None] = mapped_column(Numeric(14, 2))
    has_email: Mapped[bool]
    email_index: Mapped[str | None] = mapped_column(String(64))
    canonical: Mapped[bytes] = mapped_column(LongBytes)

    source: Mapped[str] = mapped_column(String(16))
    document_format: Mapped[str] = mapped_column(String(64))
    document_bucket: Mapped[str] = mapped_column(String(63))
    document_key: Mapped[str] = mapped_column(Text)
    document_version: Mapped[str | None] = mapped_column(Text)

    placed_at: Mapped[datetime | None] = mapped_column(UtcTime)
    received_at: Mapped[datetime] = mapped_column(UtcTime)
    completed_at: Mapped[datetime | None] = mapped_column(UtcTime)


class OrderStep(Base):
    """One step of an order: an activity of its process, how far it is, and why it stopped.

    `attempts` counts all attempts ever made; `code` and `reason` are those of the last that failed.
    `result` holds what the outside system answered, such as the number of a tax document.
    """

    __tablename__ = "order_step"
    __table_args__ = (
        Index("ix_order_step_state_order_id", "state", "order_id"),
        Index("ix_order_step_state_code", "state", "code", "order_id"),
    )

    order_id: Mapped[int] = mapped_column(BigId, ForeignKey("purchase_order.id"), primary_key=True)
    element_id: Mapped[str] = mapped_column(Key(128), primary_key=True)
    name: Mapped[str] = mapped_column(String(128))
    system: Mapped[str] = mapped_column(String(32))
    effect: Mapped[str] = mapped_column(String(22))
    state: Mapped[str] = mapped_column(String(16))
    attempts: Mapped[int] = mapped_column(Integer, default=0)
    code: Mapped[str | None] = mapped_column(String(64))
    reason: Mapped[str | None] = mapped_column(Text)
    result: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    pushed_by: Mapped[str | None] = mapped_column(Key(255))
    pushed_at: Mapped[datetime | None] = mapped_column(UtcTime)
    started_at: Mapped[datetime] = mapped_column(UtcTime)
    ended_at: Mapped[datetime | None] = mapped_column(UtcTime)


class WaitingMessage(Base):
    """A message that was received too often without success, kept with its reason until it passes.

    `subject` is what a person knows it by: an object's key or an order's number. `body` is encrypted, and
    empty when it told of people and has passed.
    """

    __tablename__ = "waiting_message"
    __table_args__ = (Index("ix_waiting_message_state_id", "state", "id"),)

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    message_id: Mapped[str] = mapped_column(Key(100), unique=True)
    queue: Mapped[str] = mapped_column(String(80))
    message_group: Mapped[str | None] = mapped_column(Key(128))
    subject: Mapped[str] = mapped_column(Text)
    body: Mapped[bytes] = mapped_column(LongBytes)
    state: Mapped[str] = mapped_column(String(16))
    receives: Mapped[int] = mapped_column(Integer)
    code: Mapped[str] = mapped_column(String(64))
    reason: Mapped[str] = mapped_column(Text)
    arrived_at: Mapped[datetime] = mapped_column(UtcTime)
    pushes: Mapped[int] = mapped_column(Integer, default=0)
    pushed_by: Mapped[str | None] = mapped_column(Key(255))
    pushed_at: Mapped[datetime | None] = mapped_column(UtcTime)
    passed_at: Mapped[datetime | None] = mapped_column(UtcTime)


class MailDelivery(Base):
    """The provider's word that a mail reached its recipient's server: evidence when its answer was lost."""

    __tablename__ = "mail_delivery"

    effect_key: Mapped[str] = mapped_column(Key(64), primary_key=True)
    message_id: Mapped[str] = mapped_column(Key(128))
    at: Mapped[datetime] = mapped_column(UtcTime)
