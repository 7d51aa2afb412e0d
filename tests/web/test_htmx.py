"""A fragment is given to htmx alone, and caches are told."""

from __future__ import annotations

import pytest
from flask import Flask

from portal.web.htmx import wants_fragment
from tests.web.portal import Visitor


@pytest.mark.parametrize(
    ("headers", "wanted"),
    [
        ({}, False),
        ({"HX-Request": "true"}, True),
        ({"HX-Request": "true", "HX-Boosted": "true"}, False),
        ({"HX-Request": "true", "HX-History-Restore-Request": "true"}, False),
    ],
)
def test_only_htmx_that_swaps_a_part_wants_a_fragment(headers: dict[str, str], wanted: bool) -> None:
    with Flask("small").test_request_context(headers=headers):
        assert wants_fragment() is wanted


def test_pages_and_fragments_tell_caches_what_they_differ_by(visitor: Visitor) -> None:
    assert "HX-Request" in visitor.get("/login").headers["Vary"]
    assert "HX-Request" in visitor.get("/nothing", headers={"HX-Request": "true"}).headers["Vary"]
