"""Notices of SES about mails that it took: delivered, bounced, or complained about.

Source: "Amazon SNS notification contents for Amazon SES", whose field names these are.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from portal.clients.aws import loads
from portal.clients.mail import effect_key_of

Kind = Literal["delivery", "bounce", "complaint"]
_KINDS: dict[str, Kind] = {"Delivery": "delivery", "Bounce": "bounce", "Complaint": "complaint"}
_LONGEST_REASON = 500


@dataclass(frozen=True, slots=True)
class MailNotice:
    """What became of the mail with this effect key; a bounce is `permanent` when no retry can help.

    `reason` is the provider's, and may name the address.
    """

    kind: Kind
    effect_key: str
    message_id: str
    at: datetime
    reason: str | None = None
    permanent: bool = False


def read_notice(body: str) -> MailNotice | None:
    """Read the body of a message; None for a notice of another kind, or about a mail that is not ours.

    SNS wraps a notice in an envelope unless raw delivery is on. Raises ValueError, KeyError, TypeError or
    AttributeError for what is no notice of SES.
    """
    outer = loads(body)
    notice = loads(outer["Message"]) if outer.get("Type") == "Notification" else outer
    kind = _KINDS.get(str(notice.get("notificationType", notice.get("eventType"))))
    if kind is None:
        return None
    mail, about = notice["mail"], notice[kind]
    key = effect_key_of(str(mail["source"]))
    at = datetime.fromisoformat(about["timestamp"]).astimezone(UTC)
    if key is None:
        return None
    reason = _reason(kind, about)
    permanent = kind == "bounce" and about.get("bounceType") == "Permanent"
    return MailNotice(kind, key, str(mail["messageId"])[:128], at, reason, permanent)


def _reason(kind: Kind, about: dict[str, Any]) -> str | None:
    if kind == "delivery":
        return None
    if kind == "complaint":
        return f"The recipient complained: {about.get('complaintFeedbackType') or 'no reason given'}."
    recipients = about.get("bouncedRecipients") or [{}]
    said = recipients[0].get("diagnosticCode")
    words = f"{about.get('bounceType', 'Undetermined')} bounce, {about.get('bounceSubType', 'Undetermined')}"
    return (f"{words}: {said}" if said else f"{words}.")[:_LONGEST_REASON]
