"""The three axes of a referral's state, each with the ways between its values; never one field."""

from enum import StrEnum


class ReferralStatus(StrEnum):
    """INVITED and CLICKED stand on the invitation; the rest on the referral."""

    INVITED = "invited"
    CLICKED = "clicked"
    STARTED = "started"
    QUALIFYING = "qualifying"
    CONVERTED = "converted"
    EXPIRED = "expired"
    CANCELLED = "cancelled"


# Where an invitation can still be answered.
WAITS_FOR_SIGN_UP = (ReferralStatus.INVITED, ReferralStatus.CLICKED)


class Review(StrEnum):
    PENDING = "pending"
    FLAGGED = "flagged"
    APPROVED = "approved"
    DENIED = "denied"


class RewardStatus(StrEnum):
    PENDING = "pending"
    EARNED = "earned"
    FULFILLED = "fulfilled"
    SENT = "sent"
    REDEEMED = "redeemed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    REVOKED = "revoked"
    EXPIRED = "expired"


class MailStatus(StrEnum):
    QUEUED = "queued"
    SENT = "sent"
    DELIVERED = "delivered"
    BOUNCED = "bounced"
    SOFT_BOUNCED = "soft-bounced"
    COMPLAINED = "complained"
    FAILED = "failed"
    UNKNOWN = "unknown"


class SchemeState(StrEnum):
    DRAFT = "draft"
    ACTIVE = "active"
    HISTORIC = "historic"
    RETIRED = "retired"


REFERRAL_TRANSITIONS: dict[ReferralStatus, frozenset[ReferralStatus]] = {
    ReferralStatus.INVITED: frozenset(
        {ReferralStatus.CLICKED, ReferralStatus.STARTED, ReferralStatus.CANCELLED}
    ),
    ReferralStatus.CLICKED: frozenset({ReferralStatus.STARTED, ReferralStatus.CANCELLED}),
    ReferralStatus.STARTED: frozenset(
        {
            ReferralStatus.QUALIFYING,
            ReferralStatus.CONVERTED,
            ReferralStatus.EXPIRED,
            ReferralStatus.CANCELLED,
        }
    ),
    ReferralStatus.QUALIFYING: frozenset(
        {ReferralStatus.CONVERTED, ReferralStatus.EXPIRED, ReferralStatus.CANCELLED}
    ),
    ReferralStatus.CONVERTED: frozenset(),
    # By late word of what happened before the end, and by nothing else.
    ReferralStatus.EXPIRED: frozenset({ReferralStatus.QUALIFYING}),
    # Of an invitation, when the correction that cancelled it is taken back; of a referral never.
    ReferralStatus.CANCELLED: frozenset({ReferralStatus.INVITED}),
}

REVIEW_TRANSITIONS: dict[Review, frozenset[Review]] = {
    Review.PENDING: frozenset({Review.FLAGGED, Review.APPROVED, Review.DENIED}),
    Review.FLAGGED: frozenset({Review.APPROVED, Review.DENIED}),
    Review.APPROVED: frozenset({Review.FLAGGED, Review.PENDING}),
    Review.DENIED: frozenset({Review.FLAGGED, Review.PENDING}),
}

REWARD_TRANSITIONS: dict[RewardStatus, frozenset[RewardStatus]] = {
    RewardStatus.PENDING: frozenset({RewardStatus.EARNED, RewardStatus.CANCELLED, RewardStatus.EXPIRED}),
    RewardStatus.EARNED: frozenset(
        {
            RewardStatus.PENDING,
            RewardStatus.FULFILLED,
            RewardStatus.SENT,
            RewardStatus.FAILED,
        }
    ),
    RewardStatus.FULFILLED: frozenset({RewardStatus.SENT, RewardStatus.FAILED, RewardStatus.REVOKED}),
    RewardStatus.SENT: frozenset({RewardStatus.REDEEMED, RewardStatus.REVOKED, RewardStatus.EXPIRED}),
    RewardStatus.FAILED: frozenset({RewardStatus.EARNED, RewardStatus.CANCELLED}),
    RewardStatus.REDEEMED: frozenset(),
    RewardStatus.CANCELLED: frozenset(),
    RewardStatus.REVOKED: frozenset(),
    RewardStatus.EXPIRED: frozenset(),
}

SCHEME_TRANSITIONS: dict[SchemeState, frozenset[SchemeState]] = {
    SchemeState.DRAFT: frozenset({SchemeState.ACTIVE, SchemeState.HISTORIC, SchemeState.RETIRED}),
    SchemeState.ACTIVE: frozenset({SchemeState.HISTORIC, SchemeState.RETIRED}),
    SchemeState.HISTORIC: frozenset({SchemeState.ACTIVE, SchemeState.RETIRED}),
    SchemeState.RETIRED: frozenset(),
}

# Notices come in any order, and before we have kept that a mail was sent. Who complained is sent no other.
# An absent person's answer is a soft bounce of a mail that was delivered: in either order, it is delivered.
MAIL_TRANSITIONS: dict[MailStatus, frozenset[MailStatus]] = {
    MailStatus.QUEUED: frozenset(MailStatus) - {MailStatus.QUEUED},
    MailStatus.UNKNOWN: frozenset(MailStatus) - {MailStatus.UNKNOWN},
    MailStatus.SENT: frozenset(
        {
            MailStatus.QUEUED,
            MailStatus.DELIVERED,
            MailStatus.BOUNCED,
            MailStatus.SOFT_BOUNCED,
            MailStatus.COMPLAINED,
        }
    ),
    MailStatus.SOFT_BOUNCED: frozenset(
        {MailStatus.QUEUED, MailStatus.DELIVERED, MailStatus.BOUNCED, MailStatus.COMPLAINED}
    ),
    MailStatus.DELIVERED: frozenset({MailStatus.QUEUED, MailStatus.BOUNCED, MailStatus.COMPLAINED}),
    MailStatus.BOUNCED: frozenset({MailStatus.QUEUED, MailStatus.COMPLAINED}),
    MailStatus.FAILED: frozenset(
        {MailStatus.QUEUED, MailStatus.DELIVERED, MailStatus.BOUNCED, MailStatus.COMPLAINED}
    ),
    MailStatus.COMPLAINED: frozenset(),
}
