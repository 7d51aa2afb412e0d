"""What the user and the verification service publish; what must be right is read strictly, by its field."""

import ipaddress
from datetime import UTC, datetime
from typing import Annotated, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import PydanticCustomError

from portal.errors import FieldError, InvalidInput

# What a signed column of eight bytes holds; the log of events has one.
LARGEST_USER_ID = 2**63 - 1
# Older than any user, and within what a TIMESTAMP can hold.
_EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)


def _instant(value: object) -> datetime:
    try:
        at = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        at = None
    if at is None or at.tzinfo is None:
        raise PydanticCustomError("instant", "must be a time with its zone, as ISO 8601 writes it")
    if at < _EARLIEST:
        raise PydanticCustomError("instant", "must not be before the year 2000")
    return at.astimezone(UTC)


def _mail_address(value: str) -> str:
    local, at, domain = value.strip().rpartition("@")
    if not (local and at and domain) or not value.isprintable():
        raise PydanticCustomError("mail_address", "must be a mail address")
    return value


def _usable_text(longest: int) -> BeforeValidator:
    """Read what is no text, empty, or longer as None: the visitor's browser had it, and may say anything."""

    def usable(value: object) -> str | None:
        # Half of a surrogate pair is not printable, and cannot be hashed.
        is_usable = isinstance(value, str) and 0 < len(value) <= longest and value.isprintable()
        return str(value) if is_usable else None

    return BeforeValidator(usable)


def _network_address(value: object) -> str | None:
    try:
        address = ipaddress.ip_address(value) if isinstance(value, str) else None
    except ValueError:
        address = None
    return str(value) if address is not None and getattr(address, "scope_id", None) is None else None


UserId = Annotated[int, Field(ge=1, le=LARGEST_USER_ID)]
Instant = Annotated[datetime, BeforeValidator(_instant)]


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)


class SignUp(_Message):
    """A user signed up; `token` is that of the link they came by, `device` a fingerprint.

    A token, an address or a device that cannot be used is none: it must not hold up the sign-up.
    """

    type: Literal["user.signed-up"]
    user_id: UserId
    email: Annotated[str, AfterValidator(_mail_address)] = Field(max_length=254, repr=False)
    token: Annotated[str | None, _usable_text(200)] = Field(default=None, repr=False)
    ip: Annotated[str | None, BeforeValidator(_network_address)] = None
    device: Annotated[str | None, _usable_text(500)] = None
    at: Instant


class Verification(_Message):
    """The identity of a user was verified."""

    type: Literal["user.verified"]
    user_id: UserId
    at: Instant


class EarlierUser(_Message):
    """A user who signed up before anybody was listening, as an import tells of them."""

    # Whoever writes the file can mend it: a name that is not known is a mistake.
    model_config = ConfigDict(extra="forbid")

    user_id: UserId
    address: Annotated[str, AfterValidator(_mail_address)] = Field(max_length=254, repr=False)
    signed_up_at: Instant | None = None


Read = TypeVar("Read", SignUp, Verification, EarlierUser)


def read_message(kind: type[Read], content: object) -> Read:
    """Read a parsed JSON message; raises InvalidInput, code `message-invalid`, naming each refused field."""
    if not isinstance(content, dict):
        raise InvalidInput("The message is not a JSON object.", code="message-invalid")
    try:
        return kind.model_validate(content)
    except ValidationError as refused:
        # Not with the input: it is personal, and reasons are shown.
        errors = refused.errors(include_input=False, include_url=False, include_context=False)
        fields = [FieldError(".".join(map(str, one["loc"])) or "message", one["msg"]) for one in errors]
        raise InvalidInput.of(fields, code="message-invalid") from None
