"""The page of methods shows each with its parameters, its result and an example true to its models."""

from __future__ import annotations

import html
import json
import re
from pathlib import Path

from flask import Flask

from portal.jsonrpc import (
    INTERNAL_ERROR,
    INVALID_PARAMS,
    INVALID_REQUEST,
    METHOD_NOT_FOUND,
    MOST_CALLS,
    PARSE_ERROR,
    Methods,
)
from portal.jsonrpc_reference import describe
from portal.web.rpc import LARGEST_BODY, error_codes
from tests.web.portal import Visitor


def test_the_examples_of_all_methods_are_true_to_their_models(app: Flask) -> None:
    methods: Methods = app.extensions["rpc"]
    for method in methods:
        method.bind(json.loads(json.dumps(method.example.params)))
        told = method.result.dump_json(method.result.validate_python(method.example.result))
        assert json.loads(told) == method.example.result, method.name
        assert method.summary.endswith("."), method.name


def test_fields_within_fields_are_described_with_their_types(app: Flask) -> None:
    methods: Methods = app.extensions["rpc"]
    entry = describe(methods.find("referrals.createreferralscheme"))
    params = {row.path: (row.type, row.required) for row in entry.params}
    assert params["conditions[].data"] == ("object", False)
    assert params["budget"] == ("number or text or null", False)
    assert params["expiry_period_length"] == ("integer", True)
    result = {row.path: row.type for row in entry.result}
    assert result["recruit_reward.amount"] == "text"
    assert result["retired_at"] == "time or null"
    assert entry.administrates


def test_the_page_shows_every_method_with_its_example(app: Flask, executive: Visitor) -> None:
    page = executive.get("/rpc-methods")
    assert page.status_code == 200
    shown = [
        json.loads(html.unescape(one))
        for one in re.findall(r"<pre><code>(.*?)</code></pre>", page.text, re.S)
    ]
    methods = list(app.extensions["rpc"])
    assert [one["method"] for one in shown[::2]] == [method.name for method in methods]
    assert [one["result"] for one in shown[1::2]] == [method.example.result for method in methods]
    assert "Only for clients that may administer." in page.text
    assert "-32602" in page.text


def test_visitors_log_in_before_they_see_the_methods(visitor: Visitor) -> None:
    assert visitor.get("/rpc-methods").status_code == 303


def test_everybody_is_led_to_the_methods_from_the_schemes(admin: Visitor) -> None:
    assert 'href="/rpc-methods"' in admin.get("/schemes").text
    tabs, _, rest = admin.get("/rpc-methods").text.partition('href="/rpc-methods"')
    assert rest.startswith(' aria-current="page"')
    here = tabs.partition('href="/schemes"')[2]
    assert here.startswith(' aria-current="page"'), "the navigation says that it lies below the schemes"


def test_the_documentation_names_every_error_code() -> None:
    told = (Path(__file__).parents[2] / "docs" / "api.md").read_text(encoding="utf-8")
    standard = (PARSE_ERROR, INVALID_REQUEST, METHOD_NOT_FOUND, INVALID_PARAMS, INTERNAL_ERROR)
    for code in (*standard, *error_codes()):
        assert f"| {code} |" in told
    assert f"at most {MOST_CALLS} calls" in told
    assert f"at most {LARGEST_BODY:,} bytes" in told
