"""The user and the verification service: what happens to a user is published to a topic of SNS."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sandbox.answers import invalid

SIGN_UPS_TOPIC, VERIFICATIONS_TOPIC = "user-sign-ups", "user-verifications"
# Users who sign up without an id are numbered from here, apart from those that tests and people choose.
FIRST_USER_ID = 1_000_000
_LONGEST = 500

Publish = Callable[[str, bytes], str]


def open_topics(aws_endpoint: str, region: str, account: str) -> Publish:
    """Return what publishes a message to a topic by its name, and gives the message's id.

    Raises what boto3 raises when the emulator does not take it.
    """
    import boto3
    from botocore.config import Config

    client = boto3.client(
        "sns",
        endpoint_url=aws_endpoint,
        region_name=region,
        aws_access_key_id=account,
        # The emulator asks for no secret, and the machine's own must never reach it.
        aws_secret_access_key="none",  # noqa: S106
        config=Config(connect_timeout=2, read_timeout=10, retries={"total_max_attempts": 1}),
    )
    topics: dict[str, str] = {}

    def publish(topic: str, message: bytes) -> str:
        if topic not in topics:
            topics[topic] = client.create_topic(Name=topic)["TopicArn"]
        return str(client.publish(TopicArn=topics[topic], Message=message.decode())["MessageId"])

    return publish


def sign_up(request: dict[str, Any], number: int, at: str) -> dict[str, Any]:
    """Make the message of a sign-up; the user's id is given, or made from the number."""
    if not isinstance(request.get("email"), str):
        raise invalid("email", "An e-mail address is needed.")
    return {
        "type": "user.signed-up",
        "user_id": _user_id(request) if "user_id" in request else FIRST_USER_ID + number,
        "email": request["email"],
        "token": _text_or_none(request, "token"),
        "ip": _text_or_none(request, "ip"),
        "device": _text_or_none(request, "device"),
        "at": _text_or_none(request, "at") or at,
    }


def verification(request: dict[str, Any], _number: int, at: str) -> dict[str, Any]:
    """Make the message of a verification."""
    return {
        "type": "user.verified",
        "user_id": _user_id(request),
        "at": _text_or_none(request, "at") or at,
    }


CALLS: dict[str, tuple[str, Callable[[dict[str, Any], int, str], dict[str, Any]]]] = {
    "/users/sign-ups": (SIGN_UPS_TOPIC, sign_up),
    "/users/verifications": (VERIFICATIONS_TOPIC, verification),
}


def _user_id(request: dict[str, Any]) -> int:
    value = request.get("user_id")
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value < 2**63:
        raise invalid("user_id", "user_id must be a whole number from 1.")
    return value


def _text_or_none(request: dict[str, Any], field: str) -> str | None:
    value = request.get(field)
    if value is not None and not (isinstance(value, str) and len(value) <= _LONGEST):
        raise invalid(field, f"{field} must be a text of at most {_LONGEST} characters.")
    return value
