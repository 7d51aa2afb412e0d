"""What a browser may do with an answer, and how long it may keep it."""

from __future__ import annotations

import re

import pytest

from tests.web.portal import Visitor


@pytest.mark.parametrize("path", ["/login", "/nothing", "/api/schemas/order.json", "/static/css/waybill.css"])
def test_every_answer_says_what_may_be_done_with_it(visitor: Visitor, path: str) -> None:
    headers = visitor.get(path).headers
    policy = headers["Content-Security-Policy"]
    for part in ("default-src 'self'", "frame-ancestors 'none'", "base-uri 'none'", "object-src 'none'"):
        assert part in policy
    assert "unsafe" not in policy
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "same-origin"
    assert "camera=()" in headers["Permissions-Policy"]


def test_pages_are_not_kept(visitor: Visitor, support: Visitor) -> None:
    assert visitor.get("/login").headers["Cache-Control"] == "no-store"
    assert support.get("/password").headers["Cache-Control"] == "no-store"
    assert support.get("/nothing").headers["Cache-Control"] == "no-store"


def test_plain_http_is_not_told_to_become_https(visitor: Visitor) -> None:
    assert "Strict-Transport-Security" not in visitor.get("/login").headers


def test_a_static_file_is_kept_for_ever_under_the_address_that_names_its_content(visitor: Visitor) -> None:
    addresses = re.findall(r'"(/static/[^"#]+)', visitor.get("/login").text)
    assert addresses
    for address in addresses:
        answer = visitor.get(address)
        assert answer.status_code == 200
        assert "immutable" in answer.headers["Cache-Control"], address


@pytest.mark.parametrize("version", ["", "?v=000000000000"])
def test_a_static_file_under_another_address_is_asked_for_again(visitor: Visitor, version: str) -> None:
    answer = visitor.get(f"/static/css/waybill.css{version}")
    assert answer.headers["Cache-Control"] == "no-cache"
    again = visitor.get(
        f"/static/css/waybill.css{version}", headers={"If-None-Match": answer.headers["ETag"]}
    )
    assert again.status_code == 304


@pytest.mark.parametrize(
    "path", ["../settings.py", "%2e%2e/settings.py", "css/../../settings.py", "nothing.css"]
)
def test_nothing_outside_the_static_folder_is_served(visitor: Visitor, path: str) -> None:
    answer = visitor.get(f"/static/{path}")
    assert answer.status_code == 404
    assert answer.headers["Cache-Control"] == "no-store"
