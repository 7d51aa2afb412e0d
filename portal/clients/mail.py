"""Mail through SES."""

import re
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import formataddr
from functools import cached_property
from typing import Any

from botocore.exceptions import ClientError
from botocore.exceptions import ConnectionError as NoConnection

from portal.clients.aws import AWS_ERRORS, make_client
from portal.errors import InvalidInput, Upstream
from portal.settings import Settings

# SES answers these when it will never take this message, whoever sends it again.
_REFUSED = {"MessageRejected", "MailFromDomainNotVerifiedException", "InvalidParameterValue"}
# What SES takes: it knows no addresses beyond ASCII. The part before the @ is a dot-atom (RFC 5322, 3.2.3).
_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_ADDRESS = re.compile(rf"(?=[^@]{{1,64}}@){_ATOM}(\.{_ATOM})*@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+")
_LONGEST_ADDRESS = 254
_ENVELOPE = re.compile(r"bounce\+(?P<key>[^@]{1,57})@")


class Mail:
    """Sends mails whose envelope sender carries the key of the effect.

    SES has no idempotency key. So the envelope's sender is a variable return path (VERP): every delivery
    notice names it, and tells that a mail went out even when SES's own answer was lost.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._domain = settings.mail_from.rpartition("@")[2]

    @cached_property
    def _ses(self) -> Any:
        # SES has no idempotency key: a retry by boto3 itself could send a mail twice.
        return make_client(
            "ses", self._settings, attempts=1, read_seconds=self._settings.call_deadline_seconds
        )

    def send(
        self, key: str, *, to: str, subject: str, text: str, html: str, order_number: str | None = None
    ) -> str:
        """Send one mail; return SES's message id.

        Raises InvalidInput for an address that cannot stand in a header, Upstream when SES did not take it.
        """
        if not can_be_sent_to(to):
            raise InvalidInput(f"The mail address {to!r} cannot be sent to.", field="customer.email")
        message = EmailMessage(policy=SMTP)
        try:
            message["From"] = formataddr(("Waybill", self._settings.mail_from))
            message["To"] = Address(addr_spec=to)
            message["Subject"] = subject
            message["X-Waybill-Effect"] = key
            if order_number is not None:
                message["X-Waybill-Order"] = order_number
            message.set_content(text)
            message.add_alternative(html, subtype="html")
            raw = message.as_bytes()
        except (ValueError, IndexError) as error:
            raise InvalidInput(
                f"A mail cannot be sent to this address: {error}", field="customer.email"
            ) from error
        return self._send(f"bounce+{key}@{self._domain}", to, raw)

    def _send(self, sender: str, to: str, raw: bytes) -> str:
        try:
            answer = self._ses.send_raw_email(Source=sender, Destinations=[to], RawMessage={"Data": raw})
            return str(answer["MessageId"])
        except ClientError as error:
            status = error.response["ResponseMetadata"]["HTTPStatusCode"]
            code = error.response["Error"]["Code"]
            refused = status < 500 and code in _REFUSED
            raise Upstream(
                f"The mail provider refused it: {error.response['Error'].get('Message')}"
                if refused
                else f"The mail provider answered {status}.",
                code="mail-refused" if refused else "mail-error",
                retryable=not refused,
                outcome_unknown=status >= 500,
                status=status,
                answer=str(error)[:500],
            ) from error
        except (*AWS_ERRORS, KeyError) as error:
            raise Upstream(
                "The mail provider did not answer.",
                code="mail-no-answer",
                retryable=True,
                outcome_unknown=not isinstance(error, NoConnection),
                answer=f"{type(error).__name__}: {error}"[:500],
            ) from error


def can_be_sent_to(address: str) -> bool:
    """Tell whether SES takes mail to an address; whether anybody has it is another question."""
    return len(address) <= _LONGEST_ADDRESS and _ADDRESS.fullmatch(address) is not None


def effect_key_of(envelope_sender: str) -> str | None:
    """Return the key that `Mail.send` put into an envelope's sender, or None when there is none."""
    found = _ENVELOPE.match(envelope_sender)
    return found["key"] if found else None
