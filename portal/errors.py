"""The small family of errors that the portal raises on purpose.

One file maps them to pages and problem documents, one to retry, exception or dead letter.
Everything else that is raised is a defect.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class WaybillError(Exception):
    """Say what went wrong: `code` for machines (kebab-case), `reason` for a support person."""

    default_code = "error"

    def __init__(self, reason: str, *, code: str | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.code = code or self.default_code


class NotFound(WaybillError):
    """Say that there is no such thing, or none that this actor may know of."""

    default_code = "not-found"


class Conflict(WaybillError):
    """Say that somebody or something else was first, or that the state does not allow it."""

    default_code = "conflict"


class Forbidden(WaybillError):
    """Say that this actor may not do this."""

    default_code = "forbidden"


class TooManyRequests(WaybillError):
    """Say that this was asked for too often; it may be asked again after `retry_after` seconds."""

    default_code = "too-many-requests"

    def __init__(self, reason: str, *, retry_after: int, code: str | None = None) -> None:
        super().__init__(reason, code=code)
        self.retry_after = retry_after


@dataclass(frozen=True, slots=True)
class FieldError:
    """One field that was refused: `field` such as `lines[0].amount`, and the reason in plain words."""

    field: str
    reason: str


class InvalidInput(WaybillError):
    """Say that what was handed in is refused, and which fields are the cause.

    `field` and `reason` are those of the main error; `errors` holds one entry for each refused
    field (the main one first), and is empty when no single field is to blame.
    """

    default_code = "invalid-input"

    def __init__(
        self,
        reason: str,
        *,
        code: str | None = None,
        field: str | None = None,
        errors: Sequence[FieldError] = (),
    ) -> None:
        super().__init__(reason, code=code)
        self.field = field
        self.errors: list[FieldError] = list(errors)
        if field is not None and not self.errors:
            self.errors = [FieldError(field, reason)]

    @classmethod
    def of(cls, errors: Sequence[FieldError], *, code: str | None = None) -> InvalidInput:
        """Report several refused fields at once; the first becomes the main one."""
        first = errors[0]
        return cls(first.reason, code=code, field=first.field, errors=errors)


class Upstream(WaybillError):
    """Say that an outside system refused, failed or did not answer.

    `retryable` tells whether the same call may succeed later; `outcome_unknown` that the effect may
    have happened although no answer came, so it must be asked for before a retry. `status` and
    `answer` are what came back over HTTP, if anything did.
    """

    default_code = "upstream"

    def __init__(
        self,
        reason: str,
        *,
        code: str | None = None,
        retryable: bool,
        outcome_unknown: bool = False,
        status: int | None = None,
        answer: str | None = None,
    ) -> None:
        super().__init__(reason, code=code)
        self.retryable = retryable
        self.outcome_unknown = outcome_unknown
        self.status = status
        self.answer = answer
