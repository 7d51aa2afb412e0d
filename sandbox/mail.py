"""Mail: what a request to SES is about to send, and what a stored message says.

SES is spoken in two protocols: the form-encoded query protocol of version 1 (`SendRawEmail`) and the
JSON of version 2 (`SendEmail` with raw content). Source: the API references of SES v1 and v2.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from email import policy
from email.header import decode_header, make_header
from email.message import EmailMessage, Message
from email.parser import BytesHeaderParser, BytesParser
from email.utils import getaddresses
from html import escape
from typing import Any
from urllib.parse import parse_qs

from sandbox.answers import Answer, Refused, decode_object, encode

SEND_PATH_V2 = "/v2/email/outbound-emails"
BULK_PATH_V2 = "/v2/email/outbound-bulk-emails"
EFFECT_HEADER = "X-Waybill-Effect"
ORDER_HEADER = "X-Waybill-Order"
_V1_MESSAGE_ID = re.compile(rb"<MessageId>([^<]+)</MessageId>")
_V1_SENDS = {"SendEmail", "SendRawEmail", "SendTemplatedEmail", "SendBulkTemplatedEmail"}


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message on its way: the raw MIME document, and the addresses on its envelope."""

    mime: bytes
    recipients: tuple[str, ...]
    key: str | None
    order_number: str | None
    subject: str

    def as_request(self) -> str:
        """Write it as the JSON that the ledger keeps, byte for byte."""
        return encode({"to": self.recipients, "mime": self.mime.decode("latin-1")}).decode()


@dataclass(frozen=True, slots=True)
class Letter:
    """A message as a person reads it; `to` is the envelope."""

    to: list[str]
    sender: str
    subject: str
    message_id: str
    text: str
    html: str
    headers: list[tuple[str, str]]


def outgoing(path: str, content_type: str, body: bytes) -> Outgoing | None:
    """Return the message that a request to SES sends, or None when it sends none.

    Raises Refused for a message in a form that could not be read into the ledger.
    """
    if path == SEND_PATH_V2:
        return _outgoing_v2(decode_object(body))
    if path == BULK_PATH_V2:
        raise _unreadable("SendBulkEmail")
    if not content_type.startswith("application/x-www-form-urlencoded"):
        return None
    form = parse_qs(body.decode("latin-1"))
    action = form.get("Action", [""])[0]
    if action not in _V1_SENDS:
        return None
    if action != "SendRawEmail":
        raise _unreadable(action)
    listed = [form[name][0] for name in sorted(form) if name.startswith("Destinations.member.")]
    return _message(form.get("RawMessage.Data", [""])[0], listed)


def accepted_id(body: bytes) -> str:
    """Return the message id in the answer of SES, of either protocol; empty when there is none."""
    found = _V1_MESSAGE_ID.search(body)
    if found:
        return found[1].decode("latin-1")
    try:
        document = json.loads(body)
    except ValueError:
        return ""
    return str(document.get("MessageId", "")) if isinstance(document, dict) else ""


def as_ses_error(path: str, refusal: Refused) -> Answer:
    """Write a refusal as SES would, in the protocol of the request, for clients to understand."""
    if path.startswith("/v2/"):
        return Answer(
            refusal.status,
            encode({"message": refusal.detail}),
            headers=(("x-amzn-ErrorType", refusal.code),),
        )
    blame = "Sender" if refusal.status < 500 else "Receiver"
    body = (
        f"<ErrorResponse><Error><Type>{blame}</Type><Code>{refusal.code}</Code>"
        f"<Message>{escape(refusal.detail)}</Message></Error></ErrorResponse>"
    )
    return Answer(refusal.status, body.encode(), "text/xml")


def recipients_of(request: str) -> list[str]:
    """Return the addresses on the envelope of a message that `Outgoing.as_request` wrote."""
    return list(json.loads(request)["to"])


def read_letter(request: str) -> Letter:
    """Take a message apart that `Outgoing.as_request` wrote."""
    stored = json.loads(request)
    message = BytesParser(_class=EmailMessage, policy=policy.default).parsebytes(
        stored["mime"].encode("latin-1")
    )
    return Letter(
        to=list(stored["to"]),
        sender=str(message.get("From", "")),
        subject=str(message.get("Subject", "")),
        message_id=str(message.get("Message-ID", "")),
        text=_content(message, "plain"),
        html=_content(message, "html"),
        headers=[(name, str(value)) for name, value in message.items()],
    )


def _outgoing_v2(document: Mapping[str, Any]) -> Outgoing:
    content = document.get("Content")
    raw = content.get("Raw") if isinstance(content, dict) else None
    data = raw.get("Data") if isinstance(raw, dict) else None
    if not isinstance(data, str):
        raise _unreadable("SendEmail without raw content")
    destination = document.get("Destination")
    lists = destination.values() if isinstance(destination, dict) else ()
    listed = [address for addresses in lists if isinstance(addresses, list) for address in addresses]
    return _message(data, [str(address) for address in listed])


def _message(data: str, envelope: list[str]) -> Outgoing:
    try:
        mime = base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError) as error:
        raise Refused(400, "message-unreadable", f"The message is not base64: {error}") from error
    headers = _HEADERS.parsebytes(mime)
    named = [str(value) for name in ("To", "Cc", "Bcc") for value in headers.get_all(name, [])]
    return Outgoing(
        mime=mime,
        recipients=tuple(_storable(address) for _, address in getaddresses(envelope or named) if address),
        key=_header(headers, EFFECT_HEADER) or None,
        order_number=_header(headers, ORDER_HEADER) or None,
        subject=_header(headers, "Subject"),
    )


def _header(headers: Message, name: str) -> str:
    raw = str(headers.get(name, ""))
    if "=?" not in raw:
        return _storable(" ".join(raw.split()))
    try:
        return _storable(str(make_header(decode_header(raw))))
    except (LookupError, ValueError):
        return _storable(raw)


def _storable(text: str) -> str:
    """Replace what UTF-8 cannot hold: a message must not be accepted and then fail to be written down."""
    return text.encode("utf-8", "replace").decode()


def _content(message: EmailMessage, subtype: str) -> str:
    part = message.get_body(preferencelist=(subtype,))
    if part is None:
        return ""
    try:
        return str(part.get_content())
    except (LookupError, ValueError):
        # A charset that Python does not know, or one that lies.
        payload = part.get_payload(decode=True)
        return payload.decode("utf-8", "replace") if isinstance(payload, bytes) else ""


def _unreadable(what: str) -> Refused:
    return Refused(
        400, "message-unreadable", f"The mail stand-in takes SendRawEmail and raw SendEmail only, not {what}."
    )


# The old policy: it leaves values as they are, at a tenth of the cost of parsing each.
_HEADERS = BytesHeaderParser(policy=policy.compat32)
