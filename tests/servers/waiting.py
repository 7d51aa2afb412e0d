"""Waiting for a condition instead of sleeping for luck."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

Found = TypeVar("Found")


def wait_until(condition: Callable[[], Found], seconds: float, why: str) -> Found:
    """Return the first truthy answer of ``condition``; after ``seconds`` without one, fail with ``why``."""
    until = time.monotonic() + seconds
    pause = 0.005
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > until:
            raise AssertionError(f"Waited {seconds:g} s in vain: {why} (last answer: {found!r})")
        time.sleep(pause)
        pause = min(pause * 1.5, 0.1)
