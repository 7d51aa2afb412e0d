"""Logs are lines of JSON that hold no secrets, whoever writes them."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from portal.logs import mask_secrets

SECRET = "hunter2"


def masked(**event: Any) -> str:
    return json.dumps(mask_secrets(None, "info", event), default=repr)


@pytest.mark.parametrize(
    "name",
    [
        "password",
        "new_password",
        "SECRET_KEY",
        "lease_token",
        "Authorization",
        "Set-Cookie",
        "api_key",
        "X-Api-Key",
        "apiKey",
        "data_key",
        "card_number",
        "cardNumber",
    ],
)
def test_what_is_named_like_a_secret_is_masked(name: str) -> None:
    assert masked(**{name: SECRET}) == json.dumps({name: "[masked]"})


@pytest.mark.parametrize(
    "nest",
    [
        lambda inner: {"headers": inner},
        lambda inner: {"people": [inner]},
        lambda inner: {"people": ({"of": inner},)},
        lambda inner: {"a": {"b": [[{"c": inner}]]}},
    ],
    ids=["an object", "a list", "a tuple", "all of them"],
)
def test_secrets_are_masked_however_deep_they_lie(nest: Any) -> None:
    told = masked(**nest({"password": SECRET, "login": "ana"}))
    assert SECRET not in told
    assert '"login": "ana"' in told


def test_a_secret_that_is_a_whole_object_is_masked_with_all_that_is_in_it() -> None:
    assert SECRET not in masked(secrets={"first": SECRET}, tokens=[SECRET])


def test_what_is_no_secret_stays() -> None:
    event = {"event": "step passed", "order": "A-1", "counts": [1, 2], "when": {"minute": 3}}
    assert mask_secrets(None, "info", dict(event)) == event


WRITES = """
import logging
import structlog
from portal.logs import configure_logs
configure_logs("info")
log = structlog.get_logger().bind(order="A-1")
structlog.contextvars.bind_contextvars(request="r-1")
log.debug("not told")
log.info("told", password="hunter2", people=[{"api_key": "hunter2"}])
logging.getLogger("some.library").warning("of %s", "a library", extra={"password": "hunter2"})
try:
    1 / 0
except ZeroDivisionError:
    log.exception("a defect")
"""


def test_each_line_on_stderr_is_an_object_with_time_level_and_the_ids_at_hand() -> None:
    run = subprocess.run([sys.executable, "-c", WRITES], capture_output=True, text=True, check=True)
    lines = [json.loads(line) for line in run.stderr.splitlines()]
    assert [(line["level"], line["event"]) for line in lines] == [
        ("info", "told"),
        ("warning", "of a library"),
        ("error", "a defect"),
    ]
    assert all(line["timestamp"].endswith("Z") and line["request"] == "r-1" for line in lines)
    assert lines[0]["order"] == "A-1"
    assert "ZeroDivisionError" in lines[2]["exception"]
    assert SECRET not in run.stderr
    assert run.stdout == ""
