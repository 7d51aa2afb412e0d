"""The small parts of pages show values exactly, and text as text."""

from __future__ import annotations

import re
import tomllib
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from flask import Flask
from markupsafe import Markup

import assets

FOLDER = assets.ROOT / "portal" / "templates"
PARTS = (FOLDER / "macros" / "parts.html").read_text("utf-8")
ICONS = tomllib.loads((assets.ROOT / "assets.toml").read_text("utf-8"))["icons"]
HOSTILE = "<img src=x onerror=alert(1)>\"'"


@pytest.fixture(scope="module")
def pages() -> Flask:
    return Flask("pages", template_folder=str(FOLDER), static_folder=str(FOLDER.parent / "static"))


def render(pages: Flask, call: str, **values: Any) -> str:
    """Render one call of a macro of parts.html or process.html."""
    imports = '{% import "macros/parts.html" as p %}{% import "macros/process.html" as process %}'
    with pages.test_request_context():
        return pages.jinja_env.from_string(f"{imports}{{{{ {call} }}}}").render(**values)


def text_of(html: str) -> str:
    return " ".join(Markup(html).striptags().split())


@pytest.mark.parametrize(
    ("amount", "currency", "shown"),
    [
        (Decimal("1234567.5"), "EUR", "1,234,567.50 EUR"),
        (Decimal("12990.00"), "CLP", "12,990 CLP"),
        (Decimal("12990.50"), "CLP", "12,990.50 CLP"),
        (Decimal("999999999999.99"), None, "999,999,999,999.99"),
        (Decimal(0), "EUR", "0.00 EUR"),
        (None, "EUR", "– not given"),
    ],
)
def test_money_is_shown_to_the_cent_with_its_currency(
    pages: Flask, amount: Decimal | None, currency: str | None, shown: str
) -> None:
    html = render(pages, "p.money(amount, currency)", amount=amount, currency=currency)
    assert text_of(html.replace("</span>", " </span>").replace("<span", " <span")) == shown


def test_a_time_carries_its_exact_utc(pages: Flask) -> None:
    html = render(pages, "p.time(at, 'full')", at=datetime(2026, 11, 20, 9, 8, 7, 654321, tzinfo=UTC))
    assert 'datetime="2026-11-20T09:08:07.654321Z"' in html
    assert 'title="2026-11-20 09:08:07.654 UTC"' in html
    assert text_of(html) == "2026-11-20 09:08:07 UTC"


def test_every_icon_of_a_state_is_fetched(pages: Flask) -> None:
    states = re.findall(r'^    "([a-z-]+)": \(', PARTS, re.MULTILINE)
    assert len(states) > 10
    for state in [*states, "never-heard-of"]:
        (icon,) = re.findall(r"icons\.svg#([\w-]+)", render(pages, "p.status_badge(state)", state=state))
        assert icon in ICONS, state


@pytest.mark.parametrize("tone", ["ok", "info", "wait", "bad", "success", "message", "warning", "error"])
def test_every_notice_has_an_icon_that_is_fetched(pages: Flask, tone: str) -> None:
    (icon,) = re.findall(r"icons\.svg#([\w-]+)", render(pages, "p.notice('text', tone)", tone=tone))
    assert icon in ICONS


@pytest.mark.parametrize(
    "call",
    [
        "p.status_badge(v)",
        "p.copyable(v, v)",
        "p.notice(v)",
        "p.empty_state(v, v)",
        "p.tile(v, v, note=v)",
        "p.money(1, v)",
        "process.process_drawing('/x', {v: v}, [{'label': v, 'state': v, 'note': v}], v)",
        "process.process_marks({v: v})",
    ],
)
def test_hostile_text_stays_text(pages: Flask, call: str) -> None:
    html = render(pages, call, v=HOSTILE)
    assert "onerror" in html
    assert "<img" not in html
    assert HOSTILE[-2:] not in html
