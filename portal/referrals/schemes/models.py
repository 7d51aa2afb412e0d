"""What a scheme has beyond its established row: versions, which one is active, budget, use by referrers."""

from datetime import datetime
from decimal import Decimal

from sqlalchemy import ForeignKey, Index, Integer, Numeric, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from portal.db import Base, Key, UtcTime
from portal.referrals.models import UnsignedId


class SchemeVersion(Base):
    """A row of `referral_scheme` as one version of a scheme.

    `family_id` is the id of the scheme's first version; a change makes a new version, and with it a new row.
    """

    __tablename__ = "referral_scheme_version"
    __table_args__ = (UniqueConstraint("family_id", "version"), Index("ix_scheme_version_state", "state"))

    scheme_id: Mapped[int] = mapped_column(UnsignedId, ForeignKey("referral_scheme.id"), primary_key=True)
    family_id: Mapped[int] = mapped_column(UnsignedId)
    version: Mapped[int] = mapped_column(Integer)
    name: Mapped[str] = mapped_column(String(100))
    state: Mapped[str] = mapped_column(String(16))
    currency: Mapped[str] = mapped_column(String(3))
    created_by: Mapped[str] = mapped_column(Key(255))
    created_at: Mapped[datetime] = mapped_column(UtcTime)
    retired_at: Mapped[datetime | None] = mapped_column(UtcTime)


class ActiveScheme(Base):
    """Which scheme of a product is active: one row a product decides every race to activate."""

    __tablename__ = "active_referral_scheme"

    product: Mapped[str] = mapped_column(Key(20), primary_key=True)
    scheme_id: Mapped[int] = mapped_column(UnsignedId, ForeignKey("referral_scheme.id"))


class SchemeBudget(Base):
    """The budget of a scheme over all its versions, moved by conditional updates only.

    `reserved`: earned but not yet approved; `committed`: approved, on its way; `spent`: delivered. `total`
    None means without limit.
    """

    __tablename__ = "referral_scheme_budget"

    family_id: Mapped[int] = mapped_column(UnsignedId, primary_key=True, autoincrement=False)
    total: Mapped[Decimal | None] = mapped_column(Numeric(14, 2))
    reserved: Mapped[Decimal] = mapped_column(Numeric(14, 2))
    committed: Mapped[Decimal] = mapped_column(Numeric(14, 2))
    spent: Mapped[Decimal] = mapped_column(Numeric(14, 2))


class ReferrerUsage(Base):
    """How many rewards a referrer has earned in a scheme, held below the scheme's limit."""

    __tablename__ = "referrer_usage"

    family_id: Mapped[int] = mapped_column(UnsignedId, primary_key=True, autoincrement=False)
    referrer_user_id: Mapped[int] = mapped_column(UnsignedId, primary_key=True, autoincrement=False)
    rewards: Mapped[int] = mapped_column(Integer)


class RetiredReward(Base):
    """A reward that no new version of a scheme may offer."""

    __tablename__ = "retired_reward"

    reward_id: Mapped[int] = mapped_column(UnsignedId, ForeignKey("reward.id"), primary_key=True)
    retired_at: Mapped[datetime] = mapped_column(UtcTime)


class RetiredCondition(Base):
    """A condition that no new version of a scheme may ask for."""

    __tablename__ = "retired_condition"

    condition_id: Mapped[int] = mapped_column(UnsignedId, ForeignKey("condition_table.id"), primary_key=True)
    retired_at: Mapped[datetime] = mapped_column(UtcTime)


class ConditionMeaning(Base):
    """What meets a condition for which the old service had a word of its own, which stays in its row."""

    __tablename__ = "condition_meaning"
    __table_args__ = (UniqueConstraint("event_type"),)

    condition_id: Mapped[int] = mapped_column(UnsignedId, ForeignKey("condition_table.id"), primary_key=True)
    event_type: Mapped[str] = mapped_column(Key(20))
