"""Rewards that were earned, the flags that hold them back, and experiments."""

from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import JSON, ForeignKey, Index, Integer, Numeric, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from portal.db import Base, BigId, Key, UtcTime
from portal.referrals.models import UnsignedId


class RewardGrant(Base):
    """The reward of one side of a referral: earned once, delivered under an idempotency key.

    `code` and `reason` tell why it is pending or failed. `uuid` is the idempotency key.
    """

    __tablename__ = "reward_grant"
    __table_args__ = (
        UniqueConstraint("referral_id", "side"),
        Index("ix_reward_grant_status_id", "status", "id"),
        Index("ix_reward_grant_status_code", "status", "code", "id"),
        Index("ix_reward_grant_user_id", "user_id"),
        Index("ix_reward_grant_family_status", "family_id", "status"),
        Index("ix_reward_grant_family_earned", "family_id", "earned_at", "status", "amount"),
        Index("ix_reward_grant_family_code", "family_id", "code", "status", "amount"),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    uuid: Mapped[str] = mapped_column(String(36), unique=True)
    referral_id: Mapped[int] = mapped_column(UnsignedId, ForeignKey("referral.id"))
    family_id: Mapped[int] = mapped_column(UnsignedId)
    side: Mapped[str] = mapped_column(String(8))
    user_id: Mapped[int] = mapped_column(UnsignedId)
    reward_id: Mapped[int] = mapped_column(UnsignedId, ForeignKey("reward.id"))
    amount: Mapped[Decimal] = mapped_column(Numeric(12, 2))
    currency: Mapped[str] = mapped_column(String(3))
    status: Mapped[str] = mapped_column(String(16))
    code: Mapped[str | None] = mapped_column(String(64))
    reason: Mapped[str | None] = mapped_column(Text)
    attempts: Mapped[int] = mapped_column(Integer)
    external_id: Mapped[str | None] = mapped_column(Key(128))
    pushed_by: Mapped[str | None] = mapped_column(Key(255))
    pushed_at: Mapped[datetime | None] = mapped_column(UtcTime)
    earned_at: Mapped[datetime] = mapped_column(UtcTime)
    ended_at: Mapped[datetime | None] = mapped_column(UtcTime)


class ReferralFlag(Base):
    """A rule of the fraud check that spoke, and why; its rewards wait for approval."""

    __tablename__ = "referral_flag"
    __table_args__ = (UniqueConstraint("referral_id", "rule"),)

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    referral_id: Mapped[int] = mapped_column(UnsignedId, ForeignKey("referral.id"))
    rule: Mapped[str] = mapped_column(String(32))
    reason: Mapped[str] = mapped_column(Text)
    at: Mapped[datetime] = mapped_column(UtcTime)


class Experiment(Base):
    """Offering referrals to a percentage of existing users, until a horizon that is set beforehand.

    `figures` is what was counted of it at `counted_at`; whoever counts next moves `count_due_at` on first.
    """

    __tablename__ = "referral_experiment"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    name: Mapped[str] = mapped_column(Key(64), unique=True)
    product: Mapped[str] = mapped_column(Key(20))
    percentage: Mapped[Decimal] = mapped_column(Numeric(5, 2))
    started_at: Mapped[datetime] = mapped_column(UtcTime)
    horizon_at: Mapped[datetime] = mapped_column(UtcTime)
    stopped_at: Mapped[datetime | None] = mapped_column(UtcTime)
    figures: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    counted_at: Mapped[datetime | None] = mapped_column(UtcTime)
    count_due_at: Mapped[datetime | None] = mapped_column(UtcTime)
    figures_are_final: Mapped[bool] = mapped_column(default=False)

    @property
    def ends_at(self) -> datetime:
        """Return when it ends: at its horizon, or when somebody stopped it before."""
        return min(self.horizon_at, self.stopped_at or self.horizon_at)


class Exposure(Base):
    """A user who came into an experiment, and whether referring was offered."""

    __tablename__ = "referral_exposure"

    experiment_id: Mapped[int] = mapped_column(BigId, ForeignKey("referral_experiment.id"), primary_key=True)
    user_id: Mapped[int] = mapped_column(UnsignedId, primary_key=True, autoincrement=False)
    offered: Mapped[bool]
    at: Mapped[datetime] = mapped_column(UtcTime)
