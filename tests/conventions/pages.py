"""Rules about templates, and about the routes of the application."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from typing import Any

from flask import Flask

from tests.conventions.source import Finding, Rule, Source

JINJA = re.compile(r"\{\{.*?\}\}|\{%.*?%\}|\{#.*?#\}", re.DOTALL)
EXTENDS = re.compile(r"\{%-?\s*extends\b")
SEGMENT = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*(\.[a-z0-9]+)*")
VARIABLE = re.compile(r"<[^>]*>")


class _Inline(HTMLParser):
    """Collect what a content security policy without 'unsafe-inline' would refuse."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[Finding] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        line = self.getpos()[0]
        given = dict(attrs)
        if tag == "style":
            self.found.append((line, "<style>"))
        if tag == "script" and "src" not in given and given.get("type") != "application/json":
            self.found.append((line, "<script> without src"))
        for name, value in attrs:
            if name == "style" or name.startswith(("on", "hx-on")):
                self.found.append((line, f"{name}="))
            if (value or "").strip().lower().startswith("javascript:"):
                self.found.append((line, f"{name}=javascript:"))


def inline_code(source: Source) -> Iterator[Finding]:
    """Find scripts, styles and handlers that are written into the page."""
    parser = _Inline()
    parser.feed(JINJA.sub(_blank, source.text))
    parser.close()
    yield from parser.found


def _blank(match: re.Match[str]) -> str:
    return re.sub(r"[^\n]", " ", match.group())


def fragments_with_a_page(source: Source) -> Iterator[Finding]:
    """Find fragments that bring a whole page with them."""
    for match in EXTENDS.finditer(source.text):
        yield source.text.count("\n", 0, match.start()) + 1, "extends a page"


def _is_for_browsers(source: Source) -> bool:
    # Mail programs know no policy, and most of them no style sheet.
    return source.is_template and not {"mail", "mails"} & set(source.path.parts)


RULES = (
    Rule(
        "pages-have-no-inline-code",
        "Put it into a file below portal/static/: the content security policy refuses it in the page.",
        _is_for_browsers,
        inline_code,
    ),
    Rule(
        "fragments-do-not-extend-the-page",
        "A template that starts with _ is a part: let the page include it, or drop the underscore.",
        lambda source: source.is_template and source.path.name.startswith("_"),
        fragments_with_a_page,
    ),
)


def routes_without_roles(app: Flask, known: frozenset[str]) -> list[str]:
    """Give a line for each route that does not say, in known roles, who may use it."""
    return [
        f"{rule.rule} ({rule.endpoint})"
        for rule in app.url_map.iter_rules()
        if not _is_static(rule.endpoint) and not _says_who(app.view_functions[rule.endpoint], known)
    ]


def _says_who(view: Callable[..., Any], known: frozenset[str]) -> bool:
    allowed = getattr(view, "allowed_roles", None)
    return isinstance(allowed, frozenset) and bool(allowed) and allowed <= known


def unkempt_addresses(app: Flask) -> list[str]:
    """Give a line for each route with an address that is not kebab-case."""
    return [
        f"{rule.rule} ({rule.endpoint})"
        for rule in app.url_map.iter_rules()
        if not _is_static(rule.endpoint) and not all(map(_is_kebab, rule.rule.strip("/").split("/")))
    ]


def _is_kebab(segment: str) -> bool:
    fixed = VARIABLE.sub("x", segment)
    return fixed == "" or SEGMENT.fullmatch(fixed) is not None


def _is_static(endpoint: str) -> bool:
    return endpoint.rpartition(".")[2] == "static"
