"""AWS by boto3: queues (SQS) and files (S3)."""

import json
import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, cast

import boto3
from botocore.client import BaseClient
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

from portal.errors import NotFound, Upstream
from portal.settings import Settings

# SQS takes at most ten entries in one batch call.
BATCH = 10
# And at most this much in one batch call, of which bodies and attributes count.
_BATCH_BYTES = 250_000
_GONE = {"NoSuchKey", "NoSuchVersion", "NoSuchBucket", "404"}
# What SQS refuses in a text: all but the characters of XML 1.0.
_NO_TEXT = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
# A garbled answer is an error of boto3's own outside of its families.
AWS_ERRORS = (BotoCoreError, ClientError, ResponseParserError)
# boto3 makes clients from one session for all, which threads must not use at the same time.
_making = threading.Lock()


def make_client(
    service: str, settings: Settings, *, attempts: int = 3, read_seconds: float = 10
) -> BaseClient:
    """Make a boto3 client; outside AWS the endpoint and the keys come from the settings."""
    endpoint = settings.ses_endpoint_url if service == "ses" else None
    config = Config(
        connect_timeout=3,
        read_timeout=read_seconds,
        max_pool_connections=64,
        retries={"mode": "standard", "total_max_attempts": attempts},
        s3={"addressing_style": "path"},
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
    with _making:
        return boto3.client(
            service,
            region_name=settings.aws_region,
            endpoint_url=endpoint or settings.aws_endpoint_url,
            aws_access_key_id=settings.aws_access_key_id,
            aws_secret_access_key=settings.aws_secret_access_key,
            config=config,
        )


@dataclass(frozen=True, slots=True)
class Message:
    """A message as received: `receives` counts the receipts up to and with this one."""

    id: str
    receipt: str
    body: str
    receives: int
    group: str | None = None
    attributes: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message to send; FIFO queues need `group` and `deduplication`, an empty attribute is left out."""

    body: str
    group: str | None = None
    deduplication: str | None = None
    attributes: dict[str, str] = field(default_factory=dict)


class Queues:
    """SQS: receive, send, acknowledge, and let a message come back later."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._urls: dict[str, str] = {}

    @cached_property
    def _sqs(self) -> Any:
        return make_client("sqs", self._settings)

    def receive(self, queue: str, *, wait_seconds: int = 1) -> list[Message]:
        """Return up to ten messages, waiting up to `wait_seconds` for the first."""
        answer = self._call(
            "receive_message",
            queue,
            MaxNumberOfMessages=BATCH,
            WaitTimeSeconds=wait_seconds,
            MessageSystemAttributeNames=["ApproximateReceiveCount", "MessageGroupId"],
            MessageAttributeNames=["All"],
        )
        return [_message(raw) for raw in answer.get("Messages", [])]

    def send(self, queue: str, messages: Sequence[Outgoing]) -> None:
        """Send messages in order; raises Upstream when the queue refused one of them."""
        for entries in _batches([_entry(number, message) for number, message in enumerate(messages)]):
            answer = self._call("send_message_batch", queue, Entries=entries)
            # Those that were taken are counted: a garbled answer tells of no failures either.
            if len(answer.get("Successful", ())) != len(entries):
                why = (answer.get("Failed") or [{}])[0].get("Message")
                raise Upstream(f"The queue {queue} did not take a message: {why}", retryable=True)

    def acknowledge(self, queue: str, messages: Sequence[Message]) -> None:
        """Delete messages that were handled."""
        for entries in _batches([{"Id": str(n), "ReceiptHandle": m.receipt} for n, m in enumerate(messages)]):
            self._call("delete_message_batch", queue, Entries=entries)

    def return_later(self, queue: str, message: Message, seconds: int) -> None:
        """Let a message that could not be handled come back in `seconds`."""
        self._call(
            "change_message_visibility", queue, ReceiptHandle=message.receipt, VisibilityTimeout=seconds
        )

    def depth(self, queue: str) -> int:
        """Return how many messages lie in a queue, about."""
        answer = self._call("get_queue_attributes", queue, AttributeNames=["ApproximateNumberOfMessages"])
        return int(answer["Attributes"]["ApproximateNumberOfMessages"])

    def _url(self, queue: str) -> str:
        if queue not in self._urls:
            self._urls[queue] = self._sqs.get_queue_url(QueueName=queue)["QueueUrl"]
        return self._urls[queue]

    def _call(self, operation: str, queue: str, **arguments: Any) -> dict[str, Any]:
        try:
            return cast(dict[str, Any], getattr(self._sqs, operation)(QueueUrl=self._url(queue), **arguments))
        except (*AWS_ERRORS, KeyError) as error:
            raise _as_upstream(f"The queue {queue}", error) from error


class Files:
    """S3: original documents and what else is too large for a row or a message."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    @cached_property
    def _s3(self) -> Any:
        return make_client("s3", self._settings)

    def read(self, bucket: str, key: str, version: str | None = None, *, max_bytes: int) -> bytes:
        """Return an object's bytes, at most `max_bytes` and one more; raises NotFound when it is gone."""
        wanted = {"Bucket": bucket, "Key": key} | ({"VersionId": version} if version else {})
        try:
            with closing(self._s3.get_object(**wanted)["Body"]) as body:
                return cast(bytes, body.read(max_bytes + 1))
        except AWS_ERRORS as error:
            if isinstance(error, ClientError) and error.response["Error"]["Code"] in _GONE:
                raise NotFound(
                    f"The document {key} is no longer in {bucket}.", code="document-gone"
                ) from error
            raise _as_upstream(f"The bucket {bucket}", error) from error

    def write(self, bucket: str, key: str, body: bytes, content_type: str) -> str | None:
        """Put an object; return its version where the bucket keeps versions."""
        try:
            answer = self._s3.put_object(Bucket=bucket, Key=key, Body=body, ContentType=content_type)
        except AWS_ERRORS as error:
            raise _as_upstream(f"The bucket {bucket}", error) from error
        return cast(str | None, answer.get("VersionId"))


def _batches(entries: Sequence[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    batch: list[dict[str, Any]] = []
    size = 0
    for entry in entries:
        bytes_of_entry = len(json.dumps(entry, ensure_ascii=False).encode())
        if batch and (len(batch) == BATCH or size + bytes_of_entry > _BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(entry)
        size += bytes_of_entry
    if batch:
        yield batch


def _message(raw: dict[str, Any]) -> Message:
    system = raw.get("Attributes", {})
    return Message(
        id=raw["MessageId"],
        receipt=raw["ReceiptHandle"],
        body=raw["Body"],
        receives=int(system.get("ApproximateReceiveCount", 1)),
        group=system.get("MessageGroupId"),
        attributes={
            name: value["StringValue"]
            for name, value in raw.get("MessageAttributes", {}).items()
            if "StringValue" in value
        },
    )


def _entry(number: int, message: Outgoing) -> dict[str, Any]:
    entry: dict[str, Any] = {"Id": str(number), "MessageBody": message.body}
    if message.group is not None:
        entry |= {"MessageGroupId": message.group, "MessageDeduplicationId": message.deduplication}
    told = {name: _NO_TEXT.sub("\ufffd", value) for name, value in message.attributes.items() if value}
    if told:
        entry["MessageAttributes"] = {
            name: {"DataType": "String", "StringValue": value} for name, value in told.items()
        }
    return entry


def _as_upstream(what: str, error: Exception) -> Upstream:
    return Upstream(f"{what} did not do as asked: {error}", code="aws", retryable=True)


def loads(body: str) -> dict[str, Any]:
    """Return a message's JSON object; raises ValueError when it is none."""
    try:
        value = json.loads(body)
    except RecursionError:
        raise ValueError("the message is nested too deeply") from None
    if not isinstance(value, dict):
        raise ValueError("the message is not a JSON object")
    return value
