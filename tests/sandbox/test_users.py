"""The user and the verification service publish what happens to users."""

from __future__ import annotations

import json
import secrets
from typing import Any

import pytest
from click.testing import CliRunner

from portal.clients.aws import Queues
from portal.settings import Settings
from sandbox.__main__ import main
from sandbox.client import SandboxSaysNo
from sandbox.provision import provision
from tests.clients.settings import settings_for
from tests.sandbox.running import RunningSandbox
from tests.servers.waiting import wait_until

SECONDS = 20


@pytest.fixture
def settings(aws_endpoint: str) -> Settings:
    # The sandbox of all tests publishes to the account that it was started with.
    name = f"test-{secrets.token_hex(4)}"
    queues = {
        "USER_SIGN_UPS_QUEUE": f"{name}-sign-ups",
        "USER_SIGN_UPS_WAITING_QUEUE": f"{name}-sign-ups-waiting",
        "USER_VERIFICATIONS_QUEUE": f"{name}-verifications",
        "USER_VERIFICATIONS_WAITING_QUEUE": f"{name}-verifications-waiting",
        "ORDERS_BUCKET": f"{name}-orders",
        "ORIGINALS_BUCKET": f"{name}-originals",
    }
    given = settings_for(aws_endpoint, "test", **queues)
    provision(given)
    return given


def published(settings: Settings, queue: str) -> dict[str, Any]:
    """Return what was published, out of the envelope of SNS."""
    (message,) = wait_until(lambda: Queues(settings).receive(queue), SECONDS, "it comes")
    content: dict[str, Any] = json.loads(json.loads(message.body)["Message"])
    return content


def test_a_sign_up_is_published_and_stands_in_the_ledger(sandbox: RunningSandbox, settings: Settings) -> None:
    user_id = sandbox.client.sign_up("ana@example.com", token="t0k3n", ip="192.0.2.1")
    told = published(settings, settings.user_sign_ups_queue)
    assert told.pop("at").endswith("Z")
    assert told == {
        "type": "user.signed-up",
        "user_id": user_id,
        "email": "ana@example.com",
        "token": "t0k3n",
        "ip": "192.0.2.1",
        "device": None,
    }
    (effect,) = sandbox.client.effects("users", order=str(user_id))
    assert effect["kind"] == "user.signed-up"


def test_a_verification_is_published(sandbox: RunningSandbox, settings: Settings) -> None:
    sandbox.client.verify(7, at="2026-01-02T03:04:05Z")
    told = published(settings, settings.user_verifications_queue)
    assert told == {"type": "user.verified", "user_id": 7, "at": "2026-01-02T03:04:05Z"}


def test_the_user_service_can_be_down(sandbox: RunningSandbox) -> None:
    user_id = secrets.randbelow(2**60) + 1
    sandbox.client.put_fault("users", "down", times=1)
    with pytest.raises(SandboxSaysNo):
        sandbox.client.verify(user_id)
    assert not sandbox.client.effects("users", order=str(user_id))


@pytest.mark.parametrize("document", [b'{"user_id": true}', b'{"user_id": 0}', b"{}", b'{"user_id": "7"}'])
def test_a_user_without_a_proper_id_is_refused(sandbox: RunningSandbox, document: bytes) -> None:
    answer = sandbox.send("POST", "/users/verifications", document)
    assert (answer.status, answer.json()["field"]) == (400, "user_id")


def test_users_sign_up_and_are_verified_from_the_shell(sandbox: RunningSandbox, settings: Settings) -> None:
    shell = CliRunner()
    options = ["--token", "abc", "--url", sandbox.url]
    signed_up = shell.invoke(main, ["user", "sign-up", "eva@example.com", *options])
    user_id = signed_up.output.strip()
    verified = shell.invoke(main, ["user", "verify", user_id, "--url", sandbox.url])
    assert (signed_up.exit_code, verified.exit_code) == (0, 0)
    assert published(settings, settings.user_sign_ups_queue)["token"] == "abc"
    assert str(published(settings, settings.user_verifications_queue)["user_id"]) == user_id
