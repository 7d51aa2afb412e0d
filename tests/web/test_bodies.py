"""What is refused about a body before anything looks into it."""

from __future__ import annotations

import io

import pytest

from tests.web.portal import Visitor


class Untouchable(io.BytesIO):
    """A body that must not be read."""

    def read(self, size: int | None = -1) -> bytes:
        raise AssertionError("the body was read")


@pytest.mark.parametrize(("path", "length"), [("/login", 100_001), ("/api/orders", 10_000_001)])
def test_a_body_over_the_limit_is_refused_before_it_is_read(visitor: Visitor, path: str, length: int) -> None:
    answer = visitor.open(
        path, method="POST", input_stream=Untouchable(), environ_overrides={"CONTENT_LENGTH": str(length)}
    )
    assert answer.status_code == 413


def test_a_body_without_a_length_is_refused_when_it_exceeds_the_limit(visitor: Visitor) -> None:
    chunked = {"wsgi.input_terminated": True, "HTTP_TRANSFER_ENCODING": "chunked"}
    form = {"content_type": "application/x-www-form-urlencoded", "environ_overrides": chunked}
    token = b"csrf_token=" + visitor.token().encode()
    longest = token + b"&x=" + b"y" * (100_000 - len(token) - 3)
    assert visitor.post("/logout", input_stream=io.BytesIO(longest), **form).status_code == 303
    assert visitor.post("/logout", input_stream=io.BytesIO(longest + b"y"), **form).status_code == 413


@pytest.mark.parametrize("body", [b"login=%ff", b"login=\xff", b"login=%C0%AF", b"%ff=1", b"login=a%00b"])
def test_a_form_with_text_that_is_not_utf_8_is_refused(visitor: Visitor, body: bytes) -> None:
    token = b"&csrf_token=" + visitor.token().encode()
    answer = visitor.post("/login", data=body + token, content_type="application/x-www-form-urlencoded")
    assert answer.status_code == 400


def test_an_address_with_text_that_is_not_utf_8_is_refused(visitor: Visitor) -> None:
    assert visitor.get("/login?next=%ff").status_code == 400


def test_a_form_is_taken_in_one_encoding_only(visitor: Visitor) -> None:
    answer = visitor.post("/login", data={"login": "x"}, content_type="multipart/form-data")
    assert answer.status_code == 415


def test_a_form_may_hold_any_letters(visitor: Visitor) -> None:
    assert visitor.log_in("josé+ñ%ü", "contraseña 長い").status_code == 422
