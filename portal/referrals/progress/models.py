"""How far a referral is, the evidence for each condition, what is known of users, and the polls of spends."""

from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import JSON, ForeignKey, Index, Integer, Numeric, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from portal.db import Base, BigId, Key, UtcTime
from portal.referrals.models import UnsignedId

ADOPTED = "adopted"


class ReferralProgress(Base):
    """Where a referral stands: its status and review; a user is referred once per scheme family."""

    __tablename__ = "referral_progress"
    __table_args__ = (
        UniqueConstraint("family_id", "user_id"),
        Index("ix_referral_progress_status_referral_id", "status", "referral_id"),
        Index("ix_referral_progress_status_expires_at", "status", "expires_at"),
        Index("ix_referral_progress_status_ended_at", "status", "ended_at"),
        Index("ix_referral_progress_referrer", "referrer_user_id", "referral_id", "status"),
        Index("ix_referral_progress_user_id", "user_id"),
        Index("ix_referral_progress_review", "review", "referral_id"),
        Index("ix_referral_progress_scheme_started", "scheme_id", "started_at", "referrer_user_id"),
    )

    referral_id: Mapped[int] = mapped_column(
        UnsignedId, ForeignKey("referral.id"), primary_key=True, autoincrement=False
    )
    family_id: Mapped[int] = mapped_column(UnsignedId)
    scheme_id: Mapped[int] = mapped_column(UnsignedId)
    user_id: Mapped[int] = mapped_column(UnsignedId)
    referrer_user_id: Mapped[int] = mapped_column(UnsignedId)
    invitation_id: Mapped[int | None] = mapped_column(BigId)
    status: Mapped[str] = mapped_column(String(16))
    review: Mapped[str] = mapped_column(String(16))
    started_at: Mapped[datetime] = mapped_column(UtcTime)
    expires_at: Mapped[datetime | None] = mapped_column(UtcTime)
    ended_at: Mapped[datetime | None] = mapped_column(UtcTime)


class ConditionEvidence(Base):
    """What showed that a condition was met: a message or a poll, and for a spend the amount and threshold.

    Of a condition that was met in the old service, its `source` is ADOPTED, and nothing more is known.
    """

    __tablename__ = "condition_evidence"

    referral_id: Mapped[int] = mapped_column(UnsignedId, ForeignKey("referral.id"), primary_key=True)
    condition_id: Mapped[int] = mapped_column(UnsignedId, ForeignKey("condition_table.id"), primary_key=True)
    source: Mapped[str] = mapped_column(String(16))
    source_id: Mapped[str] = mapped_column(Key(128))
    amount: Mapped[Decimal | None] = mapped_column(Numeric(14, 2))
    threshold: Mapped[Decimal | None] = mapped_column(Numeric(14, 2))
    currency: Mapped[str | None] = mapped_column(String(3))
    at: Mapped[datetime] = mapped_column(UtcTime)


class KnownUser(Base):
    """A user who signed up, by keyed hashes only; whoever records something of the user locks the row."""

    __tablename__ = "known_user"
    __table_args__ = (
        Index("ix_known_user_address_index", "address_index"),
        Index("ix_known_user_folded_index", "folded_index"),
        Index("ix_known_user_network", "network_index", "signed_up_at"),
        Index("ix_known_user_device", "device_index", "signed_up_at"),
    )

    user_id: Mapped[int] = mapped_column(UnsignedId, primary_key=True, autoincrement=False)
    address_index: Mapped[str | None] = mapped_column(Key(64))
    folded_index: Mapped[str | None] = mapped_column(Key(64))
    network_index: Mapped[str | None] = mapped_column(Key(64))
    device_index: Mapped[str | None] = mapped_column(Key(64))
    signed_up_at: Mapped[datetime | None] = mapped_column(UtcTime)


class UserFact(Base):
    """Something that a user did, such as verification, kept once whether or not there is a referral yet."""

    __tablename__ = "user_fact"

    user_id: Mapped[int] = mapped_column(UnsignedId, primary_key=True, autoincrement=False)
    event_type: Mapped[str] = mapped_column(Key(20), primary_key=True)
    message_id: Mapped[str] = mapped_column(Key(128))
    at: Mapped[datetime] = mapped_column(UtcTime)
    data: Mapped[dict[str, Any]] = mapped_column(JSON)


class SpendSeen(Base):
    """The last amount that a poll saw for a referral's user, kept when it changed."""

    __tablename__ = "spend_seen"

    referral_id: Mapped[int] = mapped_column(UnsignedId, ForeignKey("referral.id"), primary_key=True)
    amount: Mapped[Decimal] = mapped_column(Numeric(14, 2))
    currency: Mapped[str] = mapped_column(String(3))
    poll_run_id: Mapped[int] = mapped_column(BigId)
    at: Mapped[datetime] = mapped_column(UtcTime)


class PollOwner(Base):
    """Who owns the poll of the `task_manager` row: the token is the fence of everything that it writes."""

    __tablename__ = "poll_owner"

    task_id: Mapped[int] = mapped_column(UnsignedId, ForeignKey("task_manager.id"), primary_key=True)
    token: Mapped[str] = mapped_column(String(36))
    poll_run_id: Mapped[int | None] = mapped_column(BigId)


class PollRun(Base):
    """One pass over all open referrals that lack their spend."""

    __tablename__ = "poll_run"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    owner: Mapped[str] = mapped_column(Key(100))
    started_at: Mapped[datetime] = mapped_column(UtcTime)
    ended_at: Mapped[datetime | None] = mapped_column(UtcTime)
    users: Mapped[int] = mapped_column(Integer)
    batches: Mapped[int] = mapped_column(Integer)
    failed_batches: Mapped[int] = mapped_column(Integer)
    met: Mapped[int] = mapped_column(Integer)


class FailedBatch(Base):
    """A batch of a poll that failed, by its range of referral ids; retried by work of kind spend-batch."""

    __tablename__ = "poll_failed_batch"
    __table_args__ = (Index("ix_poll_failed_batch_first_referral_id", "first_referral_id"),)

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    poll_run_id: Mapped[int] = mapped_column(BigId)
    first_referral_id: Mapped[int] = mapped_column(UnsignedId)
    last_referral_id: Mapped[int] = mapped_column(UnsignedId)
    attempts: Mapped[int] = mapped_column(Integer)
    code: Mapped[str] = mapped_column(String(64))
    reason: Mapped[str] = mapped_column(Text)
    at: Mapped[datetime] = mapped_column(UtcTime)
