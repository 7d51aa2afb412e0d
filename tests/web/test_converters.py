"""Order numbers with any characters are parts of addresses, and come back as they were."""

from __future__ import annotations

from urllib.parse import unquote

import pytest
from flask import Flask
from hypothesis import example, given
from hypothesis import strategies as st
from werkzeug.routing import Map, Rule

from portal.web.converters import NumberConverter, TextConverter

ODD = [
    "A/B",
    "//",
    "/steps/x/push",
    "..",
    ".",
    "a b",
    "ñ長",
    "50%",
    "~2F",
    "A?b=c#d",
    "\\",
    "a\\..\\b",
    "%2F",
]


def number_map() -> Map:
    return Map(
        [
            Rule("/orders/<number:number>", endpoint="order"),
            Rule("/orders/<number:number>/steps/<element_id>/push", endpoint="push"),
            Rule("/api/orders/<text:number>", endpoint="api"),
        ],
        converters={"number": NumberConverter, "text": TextConverter},
        merge_slashes=False,
    )


def printable() -> st.SearchStrategy[str]:
    letters = st.characters(exclude_categories=["C", "Zl", "Zp"])
    return st.text(letters, min_size=1, max_size=20).map(str.strip).filter(bool)


@given(printable())
@example("A/B")
@example("..")
@example("~2F")
@example("a\\b")
@example("/steps/x/push")
def test_a_number_comes_back_from_its_address(number: str) -> None:
    # A server decodes the path once before the routes see it.
    adapter = number_map().bind("localhost")
    for endpoint, more in (("order", {}), ("push", {"element_id": "Task_1"}), ("api", {})):
        path = adapter.build(endpoint, {"number": number, **more})
        assert adapter.match(unquote(path)) == (endpoint, {"number": number, **more})


@pytest.mark.parametrize("number", ODD)
def test_no_browser_or_proxy_changes_the_address_of_a_number(number: str) -> None:
    path = number_map().bind("localhost").build("order", {"number": number})
    rest = path.removeprefix("/orders/")
    assert not {"/", "\\", "?", "#"} & set(rest)
    assert not {"%2F", "%5C"} & {rest[i : i + 3] for i in range(len(rest))}
    assert rest.strip(".")


def test_slashes_of_numbers_are_not_merged(app: Flask) -> None:
    assert app.url_map.merge_slashes is False
