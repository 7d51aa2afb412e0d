"""What counts in messages of the user and the verification service is read strictly; an error names it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from portal.errors import InvalidInput
from portal.referrals.progress.messages import SignUp, Verification, read_message

SIGN_UP = {
    "type": "user.signed-up",
    "user_id": 123,
    "email": "josé@example.com",
    "token": "t0k3n",
    "ip": "2001:db8::1",
    "device": "phone",
    "at": "2026-11-20T13:00:00+01:00",
}
VERIFIED = {"type": "user.verified", "user_id": 123, "at": "2026-11-20T12:00:00.123456Z"}


def test_a_sign_up_is_read_with_its_time_in_utc() -> None:
    read = read_message(SignUp, SIGN_UP)
    assert (read.user_id, read.email, read.token) == (123, "josé@example.com", "t0k3n")
    assert (read.ip, read.device, read.at) == (
        "2001:db8::1",
        "phone",
        datetime(2026, 11, 20, 12, 0, tzinfo=UTC),
    )


def test_a_verification_is_read() -> None:
    assert read_message(Verification, VERIFIED).at == datetime(2026, 11, 20, 12, 0, 0, 123456, tzinfo=UTC)


@pytest.mark.parametrize("field", ["token", "ip", "device"])
def test_what_is_not_known_may_be_null_or_missing(field: str) -> None:
    without = {name: value for name, value in SIGN_UP.items() if name != field}
    assert read_message(SignUp, without) == read_message(SignUp, SIGN_UP | {field: None})


BAD: list[tuple[str, Any]] = [
    *(("type", value) for value in ("user.verified", None, 1)),
    *(("user_id", value) for value in (0, -1, "123", True, 1.0, None, 2**63, 10**30)),
    *(("email", value) for value in ("", "ana", "@example.com", "ana@", None, 7, "a\n@example.com")),
    ("email", "a" * 250 + "@b.co"),
    *(
        ("at", value)
        for value in (None, "", "yesterday", "2026-11-20T12:00:00", 1795262400, "1999-12-31T00:00:00Z")
    ),
]


UNUSABLE: list[tuple[str, Any]] = [
    *(("token", value) for value in ("", 7, "t" * 201, ["t0k3n"], "\ud800")),
    *(("ip", value) for value in ("", "256.1.1.1", "192.0.2.0/24", 7, "::1%eth0\n")),
    *(("device", value) for value in ("", 7, "d" * 501, "\udfff")),
]


@pytest.mark.parametrize(("field", "value"), UNUSABLE)
def test_what_a_browser_made_unusable_is_none_and_holds_up_no_sign_up(field: str, value: object) -> None:
    assert read_message(SignUp, SIGN_UP | {field: value}) == read_message(SignUp, SIGN_UP | {field: None})


@pytest.mark.parametrize(("kind", "content"), [(SignUp, SIGN_UP), (Verification, VERIFIED)])
def test_what_was_added_to_a_message_is_passed_over(kind: type[SignUp], content: dict[str, Any]) -> None:
    assert read_message(kind, content | {"more": "than was agreed"}) == read_message(kind, content)


@pytest.mark.parametrize(("field", "value"), BAD)
def test_what_is_malformed_is_refused_by_its_field(field: str, value: object) -> None:
    with pytest.raises(InvalidInput) as refused:
        read_message(SignUp, SIGN_UP | {field: value})
    assert (refused.value.field, refused.value.code) == (field, "message-invalid")
    assert str(value) not in refused.value.reason or len(str(value)) < 3


@pytest.mark.parametrize("field", ["type", "user_id", "email", "at"])
def test_what_is_missing_is_named(field: str) -> None:
    without = {name: value for name, value in SIGN_UP.items() if name != field}
    with pytest.raises(InvalidInput) as refused:
        read_message(SignUp, without)
    assert refused.value.field == field


@pytest.mark.parametrize("content", [[], "text", None, 7])
def test_what_is_no_object_is_refused(content: object) -> None:
    with pytest.raises(InvalidInput, match="not a JSON object"):
        read_message(Verification, content)


def test_all_refused_fields_are_told_together() -> None:
    with pytest.raises(InvalidInput) as refused:
        read_message(SignUp, SIGN_UP | {"user_id": 0, "at": "never"})
    assert [error.field for error in refused.value.errors] == ["user_id", "at"]


def test_neither_address_nor_token_stands_in_a_log() -> None:
    assert "josé" not in repr(read_message(SignUp, SIGN_UP))
    assert "t0k3n" not in repr(read_message(SignUp, SIGN_UP))
