"""Invitations, the daily limit of each referrer, and requests that were answered already."""

from datetime import date, datetime
from typing import Any

from sqlalchemy import JSON, Date, Index, Integer, LargeBinary, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from portal.db import Base, BigId, Key, UtcTime
from portal.referrals.models import UnsignedId

_STAGE = ("status", "clicked_at", "referral_id")


class Invitation(Base):
    """One address that a referrer invited, with a link of its own.

    `address` and `token` are encrypted, and None once the person was erased; `address_index` (keyed hash of
    the normalised address) stays against repeated abuse. `folded_index` is for the fraud check only.
    """

    __tablename__ = "invitation"
    __table_args__ = (
        UniqueConstraint("referrer_user_id", "address_index"),
        Index("ix_invitation_address_index", "address_index"),
        Index("ix_invitation_folded_index", "folded_index"),
        Index("ix_invitation_created_at_stage", "created_at", "scheme_id", *_STAGE),
        Index("ix_invitation_scheme_stage", "scheme_id", "created_at", *_STAGE),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    uuid: Mapped[str] = mapped_column(String(36), unique=True)
    scheme_id: Mapped[int] = mapped_column(UnsignedId)
    referrer_user_id: Mapped[int] = mapped_column(UnsignedId)
    address: Mapped[bytes | None] = mapped_column(LargeBinary(1024))
    address_index: Mapped[str] = mapped_column(Key(64))
    folded_index: Mapped[str] = mapped_column(Key(64))
    token: Mapped[bytes | None] = mapped_column(LargeBinary(1024))
    token_hash: Mapped[str | None] = mapped_column(String(64), unique=True)
    status: Mapped[str] = mapped_column(String(16))
    mail_status: Mapped[str] = mapped_column(String(16))
    mail_reason: Mapped[str | None] = mapped_column(Text)
    mail_key: Mapped[str | None] = mapped_column(Key(64), unique=True)
    sends: Mapped[int] = mapped_column(Integer)
    clicks: Mapped[int] = mapped_column(Integer)
    created_at: Mapped[datetime] = mapped_column(UtcTime)
    clicked_at: Mapped[datetime | None] = mapped_column(UtcTime)
    referral_id: Mapped[int | None] = mapped_column(UnsignedId)


class InvitationDay(Base):
    """How many invitations a referrer sent on a day (UTC), held below the limit by conditional updates."""

    __tablename__ = "invitation_day"

    referrer_user_id: Mapped[int] = mapped_column(UnsignedId, primary_key=True, autoincrement=False)
    day: Mapped[date] = mapped_column(Date, primary_key=True)
    sent: Mapped[int] = mapped_column(Integer)


class AnsweredRequest(Base):
    """The answer to a request with an idempotency key, given again when the same request comes again."""

    __tablename__ = "answered_request"
    __table_args__ = (Index("ix_answered_request_at", "at"),)

    client_id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=False)
    key: Mapped[str] = mapped_column(Key(128), primary_key=True)
    request_hash: Mapped[str] = mapped_column(String(64))
    answer: Mapped[dict[str, Any]] = mapped_column(JSON)
    at: Mapped[datetime] = mapped_column(UtcTime)
