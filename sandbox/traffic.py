"""A gentle stream of synthetic orders into the bucket, as sales channels would put them there."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from random import Random
from threading import Event

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from sandbox.samples import as_json, sample_order
from sandbox.ubl import as_ubl

JSON_SHARE = 0.2
LONGEST_WAIT = 5.0


@dataclass(frozen=True, slots=True)
class Bucket:
    """Where the orders go; `put` takes key, body and content type, and raises what boto3 raises."""

    name: str
    put: Callable[[str, bytes, str], object]


def open_bucket(aws_endpoint: str, name: str, region: str, account: str) -> Bucket:
    """Reach a bucket of the emulator; `account` is the access key id, by which it keeps accounts apart."""
    patience = Config(connect_timeout=2, read_timeout=10, retries={"total_max_attempts": 1})
    client = boto3.client(
        "s3",
        endpoint_url=aws_endpoint,
        region_name=region,
        aws_access_key_id=account,
        # The emulator asks for no secret, and the machine's own must never reach it.
        aws_secret_access_key="none",  # noqa: S106
        config=patience,
    )

    def put(key: str, body: bytes, content_type: str) -> object:
        return client.put_object(Bucket=name, Key=key, Body=body, ContentType=content_type)

    return Bucket(name, put)


def run(
    bucket: Bucket,
    *,
    clock: Callable[[], datetime],
    every: float,
    stopping: Event,
    say: Callable[[str], None],
) -> None:
    """Put an order every `every` seconds until `stopping` is set.

    While the bucket cannot be reached, that is said once, and the same order is tried again.
    """
    numbers = _numbers(clock())
    random = Random()
    away = False
    say(f"An order every {every:g} s goes to the bucket {bucket.name}.")
    number = next(numbers)
    while not stopping.is_set():
        try:
            _put_order(bucket, number, clock(), random)
        except (BotoCoreError, ClientError) as error:
            if not away:
                say(f"The bucket {bucket.name} cannot be reached, trying on: {error}")
            away = True
            stopping.wait(min(every, LONGEST_WAIT))
            continue
        if away:
            say(f"The bucket {bucket.name} is back.")
            away = False
        number = next(numbers)
        stopping.wait(every)


def _put_order(bucket: Bucket, number: str, now: datetime, random: Random) -> None:
    order = sample_order(number, random.randrange(2**32), placed_at=now)
    if random.random() < JSON_SHARE:
        bucket.put(f"{number}.json", as_json(order), "application/json")
    else:
        bucket.put(f"{number}.xml", as_ubl(order), "application/xml")


def _numbers(started: datetime) -> Iterator[str]:
    """Count orders up under a prefix that no other run has."""
    prefix = f"{started:%y%m%d-%H%M%S}-{secrets.token_hex(2)}"
    position = 0
    while True:
        position += 1
        yield f"{prefix}-{position:04d}"
