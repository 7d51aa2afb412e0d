"""What is refused about the body of a request before anything looks into it."""

from urllib.parse import unquote_to_bytes

from flask import Flask, request
from werkzeug.exceptions import BadRequest, RequestEntityTooLarge, UnsupportedMediaType

from portal.web.context import runtime

# The largest form has a few fields.
_LARGEST_FORM = 100_000


def read_body(*, cache: bool = False) -> bytes:
    """Return the body of the request; raises RequestEntityTooLarge when there is more than is taken."""
    body = request.get_data(cache=cache)
    _require_at_most((request.max_content_length or 1) - 1, len(body))
    return body


def check_bodies(app: Flask) -> None:
    """Refuse a body that is too large before it is read, and text that is not UTF-8."""
    app.before_request(_check)


def _check() -> None:
    is_api = request.path.startswith("/api/")
    limit = runtime().settings.max_document_bytes if is_api else _LARGEST_FORM
    # A body without a declared length is cut off there: one byte more tells that it is too large.
    request.max_content_length = limit + 1
    _require_at_most(limit, request.content_length or 0)
    _require_text(request.query_string)
    if is_api or request.method in ("GET", "HEAD", "OPTIONS"):
        return
    if request.mimetype not in ("", "application/x-www-form-urlencoded"):
        raise UnsupportedMediaType("Send a form.")
    _require_text(read_body(cache=True))


def _require_at_most(limit: int, length: int) -> None:
    if length > limit:
        raise RequestEntityTooLarge(f"A body has at most {limit:,} bytes here.")


def _require_text(encoded: bytes) -> None:
    try:
        text = unquote_to_bytes(encoded).decode()
    except UnicodeDecodeError:
        raise BadRequest("The request has text that is not UTF-8.") from None
    if "\0" in text:
        raise BadRequest("The request has text with a NUL character.")
