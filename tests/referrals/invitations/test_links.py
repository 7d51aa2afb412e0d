"""A link leads to the sign-up address, and to nowhere else."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portal.referrals.invitations.links import link_to, sign_up_link


@pytest.mark.parametrize("url", ["https://shop.example/join", "https://shop.example/join?a=&b=1#top"])
@given(token=st.text(max_size=40))
def test_a_token_is_a_parameter_and_changes_nothing_else_of_the_address(url: str, token: str) -> None:
    before, after = urlsplit(url), urlsplit(sign_up_link(url, token))
    assert (after.scheme, after.netloc, after.path, after.fragment) == (
        before.scheme,
        before.netloc,
        before.path,
        before.fragment,
    )
    asked = parse_qs(before.query, keep_blank_values=True)
    assert parse_qs(after.query, keep_blank_values=True) == asked | {"token": [token]}


def test_without_a_token_the_address_is_as_it_was_configured() -> None:
    assert sign_up_link("https://shop.example/join?a", None) == "https://shop.example/join?a"


def test_a_link_is_short_and_below_the_address_of_the_portal() -> None:
    assert link_to("https://portal.example/", "abc") == "https://portal.example/r/abc"
