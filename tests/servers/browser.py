"""The browser of the machine, driven by Playwright."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def executable(path: str | None = None) -> str | None:
    """Find the Chromium or Chrome of this machine."""
    return next((found for name in NAMES if (found := shutil.which(name, path=path))), None)


def missing(path: str | None = None) -> str | None:
    """Say why no browser can be started here, or None."""
    return None if executable(path) else "Chromium is not installed: apt-get install chromium"


@contextmanager
def browser() -> Iterator[Browser]:
    """Run a headless browser until the block ends."""
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=executable(), args=list(ARGUMENTS))
        try:
            yield launched
        finally:
            launched.close()
