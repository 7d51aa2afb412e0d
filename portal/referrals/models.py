"""The established tables of referrals, by their names and constraints, as an adopted database has them.

What is needed beyond them stands in tables of our own (`progress_models.py`, `invitation_models.py`,
`reward_models.py`): nothing of the established rows ever changes but what the old service changed too.
On MySQL of that age the first `timestamp` column of a table updates itself on every update: whoever
updates such a row sets that column to what it is.
"""

from datetime import datetime
from decimal import Decimal

from sqlalchemy import BigInteger, ForeignKey, Index, Integer, Numeric, String, Text, UniqueConstraint
from sqlalchemy.dialects import mysql
from sqlalchemy.orm import Mapped, mapped_column

from portal.db import Base, UtcSeconds

UnsignedId = BigInteger().with_variant(mysql.BIGINT(unsigned=True), "mysql").with_variant(Integer(), "sqlite")
UnsignedInt = Integer().with_variant(mysql.INTEGER(unsigned=True), "mysql")


class Reward(Base):
    """What one side of a referral earns; `amount` is in the currency of the scheme's product."""

    __tablename__ = "reward"
    __table_args__ = (UniqueConstraint("name", name="name"),)

    id: Mapped[int] = mapped_column(UnsignedId, primary_key=True, autoincrement=True)
    name: Mapped[str] = mapped_column(String(20))
    description: Mapped[str | None] = mapped_column(String(255))
    amount: Mapped[Decimal] = mapped_column(Numeric(12, 2))


class ReferralScheme(Base):
    """The terms of one version of a scheme; a referral keeps the version that it started under."""

    __tablename__ = "referral_scheme"
    __table_args__ = (Index("referral_scheme_active_idx", "active"),)

    id: Mapped[int] = mapped_column(UnsignedId, primary_key=True, autoincrement=True)
    product: Mapped[str] = mapped_column(String(20))
    expiry_period_type: Mapped[str] = mapped_column(String(20))
    expiry_period_length: Mapped[int] = mapped_column(Integer)
    limit_rewards: Mapped[int] = mapped_column(Integer)
    recruit_reward_id: Mapped[int] = mapped_column(
        UnsignedId, ForeignKey("reward.id", name="FK_referral_scheme_recruitreward")
    )
    referrer_reward_id: Mapped[int] = mapped_column(
        UnsignedId, ForeignKey("reward.id", name="FK_referral_scheme_referrerreward")
    )
    active: Mapped[bool]
    activated_at: Mapped[datetime] = mapped_column(UtcSeconds)


class Condition(Base):
    """A condition that schemes may ask for; `event_type` says what meets it: sign-up, verification, spend."""

    __tablename__ = "condition_table"
    __table_args__ = (
        UniqueConstraint("name", name="name"),
        UniqueConstraint("event_type", name="event_type"),
    )

    id: Mapped[int] = mapped_column(UnsignedId, primary_key=True, autoincrement=True)
    name: Mapped[str] = mapped_column(String(20))
    description: Mapped[str | None] = mapped_column(String(255))
    event_type: Mapped[str] = mapped_column(String(20))


class SchemeCondition(Base):
    """A condition of a scheme, its place in the order, and its data, such as a threshold (JSON)."""

    __tablename__ = "referral_scheme_condition_table"

    referral_scheme_id: Mapped[int] = mapped_column(
        UnsignedId,
        ForeignKey("referral_scheme.id", name="FK_referralschemeconditiontable_referralscheme"),
        primary_key=True,
    )
    condition_id: Mapped[int] = mapped_column(
        UnsignedId,
        ForeignKey("condition_table.id", name="FK_referralschemeconditiontable_conditiontable"),
        primary_key=True,
    )
    ordinal: Mapped[int] = mapped_column(UnsignedInt)
    data: Mapped[str] = mapped_column(Text)


class Referral(Base):
    """A user who signed up because another invited them."""

    __tablename__ = "referral"
    __table_args__ = (
        UniqueConstraint("referral_scheme_id", "user_id", name="ReferralScheme_User"),
        Index("referrer_user_id_idx", "referrer_user_id"),
        Index("user_id_idx", "user_id"),
    )

    id: Mapped[int] = mapped_column(UnsignedId, primary_key=True, autoincrement=True)
    referrer_user_id: Mapped[int] = mapped_column(UnsignedId)
    user_id: Mapped[int] = mapped_column(UnsignedId)
    created_at: Mapped[datetime] = mapped_column(UtcSeconds)
    referral_scheme_id: Mapped[int] = mapped_column(
        UnsignedId, ForeignKey("referral_scheme.id", name="FK_referral_referralscheme")
    )


class ReferralCondition(Base):
    """A condition that a referral has met, and when."""

    __tablename__ = "referral_condition"

    referral_id: Mapped[int] = mapped_column(
        UnsignedId, ForeignKey("referral.id", name="FK_referralcondition_referral"), primary_key=True
    )
    condition_id: Mapped[int] = mapped_column(
        UnsignedId, ForeignKey("condition_table.id", name="FK_referralcondition_condition"), primary_key=True
    )
    created_at: Mapped[datetime] = mapped_column(UtcSeconds)


class PollTask(Base):
    """The one row that says whether a poll of spends is in progress; a trigger refuses a second."""

    __tablename__ = "task_manager"

    id: Mapped[int] = mapped_column(UnsignedId, primary_key=True, autoincrement=True)
    in_progress: Mapped[bool]
    updated_at: Mapped[datetime] = mapped_column(UtcSeconds)
