"""Notices of SES about mails that it took: delivered, bounced, or complained about.

Source: "Amazon SNS notification contents for Amazon SES", whose field names these are.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from portal.clients.aws import loads
from portal.clients.mail import effect_key_of
from portal.errors import InvalidInput

Kind = Literal["delivery", "bounce", "complaint"]
_KINDS: dict[str, Kind] = {"Delivery": "delivery", "Bounce": "bounce", "Complaint": "complaint"}
_LONGEST_REASON, _LONGEST_DIAGNOSIS = 100, 500


@dataclass(frozen=True, slots=True)
class MailNotice:
    """What became of the mail with this effect key; a bounce is `permanent` when no retry can help.

    `reason` is its kind in the provider's terms; `diagnosis` are the words of the recipient's server, which
    may name anybody.
    """

    kind: Kind
    effect_key: str
    message_id: str
    at: datetime
    reason: str | None = None
    permanent: bool = False
    diagnosis: str | None = None

    @property
    def full_reason(self) -> str | None:
        """The reason together with the diagnosis."""
        return f"{(self.reason or '').rstrip('.')}: {self.diagnosis}" if self.diagnosis else self.reason


def read_notice(body: str) -> MailNotice | None:
    """Read the body of a message; None for a notice of another kind, or about a mail that is not ours.

    SNS wraps a notice in an envelope unless raw delivery is on. Raises InvalidInput, code `notice-invalid`,
    for what is no notice of SES.
    """
    try:
        return _read(body)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        # Not with what it says: that may be personal, and reasons are shown.
        lacks = f": it has no {error}" if isinstance(error, KeyError) else ""
        raise InvalidInput(
            f"This is no notice of SES that can be read{lacks}.", code="notice-invalid"
        ) from None


def _read(body: str) -> MailNotice | None:
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
    return MailNotice(
        kind,
        key,
        str(mail["messageId"])[:128],
        at,
        reason=_reason(kind, about),
        permanent=kind == "bounce" and about.get("bounceType") == "Permanent",
        diagnosis=_diagnosis(kind, about),
    )


def _reason(kind: Kind, about: dict[str, Any]) -> str | None:
    if kind == "delivery":
        return None
    if kind == "complaint":
        said = about.get("complaintFeedbackType") or "no reason given"
        return f"The recipient complained: {said}."[:_LONGEST_REASON]
    words = f"{about.get('bounceType', 'Undetermined')} bounce, {about.get('bounceSubType', 'Undetermined')}."
    return words[:_LONGEST_REASON]


def _diagnosis(kind: Kind, about: dict[str, Any]) -> str | None:
    recipients = (about.get("bouncedRecipients") if kind == "bounce" else None) or [{}]
    said = recipients[0].get("diagnosticCode")
    return str(said)[:_LONGEST_DIAGNOSIS] if said else None
