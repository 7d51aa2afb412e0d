"""Events of referrals and invitations as the timeline of a user tells them."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from portal.events import Event

# kind -> how it looks (a tone and an icon of the style sheet), and what it says
_LOOKS = {
    "invitation.created": ("info", "send", "Invited"),
    "invitation.sent-again": ("info", "send", "Invitation sent again"),
    "invitation.corrected": ("info", "send", "Address corrected: another invitation took the place"),
    "invitation.reopened": ("info", "send", "Correction taken back: invited again"),
    "invitation.clicked": ("info", "link", "Link followed"),
    "invitation.started": ("ok", "user", "Invitation answered by a sign-up"),
    "invitation.mail-sent": ("ok", "mail", "Mail sent"),
    "invitation.mail-delivered": ("ok", "mail", "Mail delivered"),
    "invitation.mail-bounced": ("bad", "mail-off", "Mail came back"),
    "invitation.mail-soft-bounced": ("wait", "mail-off", "Mail came back for now"),
    "invitation.mail-complained": ("bad", "mail-off", "Recipient complained"),
    "invitation.mail-unknown": ("wait", "mail-off", "Whether the mail was sent is not known"),
    "invitation.mail-failed": ("wait", "mail-off", "Mail could not be sent"),
    "invitation.erased": ("neutral", "eye-off", "Address and link erased"),
    "referral.started": ("ok", "user", "Referral started"),
    "referral.condition-met": ("ok", "check", "Condition met: {condition}"),
    "referral.converted": ("ok", "checks", "Converted"),
    "referral.expired": ("bad", "clock-pause", "Expired"),
    "referral.reopened-late": ("info", "clock-pause", "Reopened: late word of {event_type} before the end"),
    "referral.came-too-late": ("wait", "clock-pause", "Came too late: {event_type}"),
    "referral.flagged": ("bad", "shield", "Flagged: {rule}"),
    "referral.approved": ("ok", "shield", "Approved"),
    "referral.denied": ("bad", "shield", "Denied"),
    "referral.reopened": ("info", "shield", "Reopened"),
    "reward.pending": ("wait", "hourglass", "Reward of the {side} waits"),
    "reward.earned": ("ok", "gift", "Reward of the {side} earned"),
    "reward.sent": ("ok", "gift", "Reward of the {side} delivered"),
    "reward.retried": ("wait", "refresh", "Delivery to the {side} failed at attempt {attempt}"),
    "reward.failed": ("bad", "alert-triangle", "Reward of the {side} could not be delivered"),
    "reward.push-requested": ("info", "rotate-clockwise", "Reward of the {side} pushed to retry"),
    "reward.push-refused": ("wait", "rotate-clockwise", "Push of the reward of the {side} refused"),
    "reward.adjusted": ("info", "gift", "Reward of the {side} adjusted"),
    "reward.cancelled": ("bad", "ban", "Reward of the {side} cancelled"),
}
_TOLD_ELSEWHERE = frozenset(
    {"condition", "event_type", "rule", "side", "reason", "code", "next_at", "attempt", "asked"}
    | {"outcome_unknown", "grant_id", "at", "expires_at"}
)


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry: what happened to which referral or invitation, by whom, why, and what else is known."""

    id: int
    at: datetime
    subject: str
    subject_id: int
    tone: str
    icon: str
    title: str
    actor_kind: str
    actor: str
    code: str | None
    reason: str | None
    asked: bool
    outcome_unknown: bool
    next_at: datetime | None
    happened_at: datetime | None
    details: tuple[tuple[str, str], ...]


class _Said(dict[str, Any]):
    """What an event says; what it does not say is left open in a title."""

    def __missing__(self, name: str) -> str:
        return "?"


def entry_of(event: Event) -> Entry:
    """Turn an event into an entry of the timeline; an unknown kind is told by its name."""
    data = event.data
    plain = event.kind.partition(".")[2].replace("-", " ").capitalize()
    tone, icon, title = _LOOKS.get(event.kind, ("neutral", "info-circle", plain))
    return Entry(
        id=event.id,
        at=event.at,
        subject=event.subject,
        subject_id=event.subject_id,
        tone=tone,
        icon=icon,
        title=title.format_map(_Said(data)),
        actor_kind=event.actor_kind,
        actor=event.actor,
        code=data.get("code"),
        reason=data.get("reason"),
        asked=bool(data.get("asked")),
        outcome_unknown=bool(data.get("outcome_unknown")),
        next_at=_time(data.get("next_at")),
        happened_at=_time(data.get("at")),
        details=tuple(
            (name.replace("_", " ").capitalize(), str(value))
            for name, value in data.items()
            if name not in _TOLD_ELSEWHERE and value is not None
        ),
    )


def _time(said: str | None) -> datetime | None:
    return datetime.fromisoformat(said) if said else None
