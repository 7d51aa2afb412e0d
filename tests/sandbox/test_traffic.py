"""The stream of orders: into the bucket, on after the bucket was away, ended by a signal."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from threading import Event
from typing import Any

import boto3
from botocore.exceptions import ClientError

from portal.orders.documents.reader import load_formats, read_document
from sandbox.traffic import Bucket, run
from tests.servers.waiting import wait_until

NOW = datetime(2026, 11, 20, 10, 0, tzinfo=UTC)


class UnsteadyBucket:
    """A bucket that is away for the calls named, and that ends the stream after some calls."""

    def __init__(self, away: set[int], last: int) -> None:
        self.away = away
        self.last = last
        self.calls = 0
        self.kept: list[str] = []
        self.stopping = Event()

    def put(self, key: str, body: bytes, content_type: str) -> None:
        self.calls += 1
        if self.calls == self.last:
            self.stopping.set()
        if self.calls in self.away:
            raise ClientError({"Error": {"Code": "NoSuchBucket"}}, "PutObject")
        self.kept.append(key)


def number(key: str) -> str:
    return key.rpartition(".")[0]


def stream_into(bucket: UnsteadyBucket) -> list[str]:
    said: list[str] = []
    target = Bucket("orders-in", bucket.put)
    run(target, clock=lambda: NOW, every=0.001, stopping=bucket.stopping, say=said.append)
    return said


def test_a_bucket_that_is_away_is_told_of_once_each_time_and_no_order_is_left_out() -> None:
    bucket = UnsteadyBucket(away={2, 3, 4, 6, 7}, last=9)
    said = stream_into(bucket)
    assert [" back" in line for line in said[1:]] == [False, True, False, True]
    assert [number(key)[-5:] for key in bucket.kept] == ["-0001", "-0002", "-0003", "-0004"]


def test_two_streams_started_at_the_same_moment_share_no_number() -> None:
    one, other = UnsteadyBucket(set(), 5), UnsteadyBucket(set(), 5)
    stream_into(one)
    stream_into(other)
    assert not {number(key) for key in one.kept} & {number(key) for key in other.kept}


@contextmanager
def traffic(endpoint: str, bucket: str, account: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "sandbox", "traffic", "--bucket", bucket, "--every", "0.01"],
        env={
            **os.environ,
            "AWS_ENDPOINT_URL": endpoint,
            "AWS_ACCESS_KEY_ID": account,
            "PYTHONUNBUFFERED": "1",
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def keys(s3: Any, bucket: str) -> list[str]:
    return [each["Key"] for each in s3.list_objects_v2(Bucket=bucket).get("Contents", [])]


def said(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


def test_orders_arrive_once_the_bucket_is_there_and_a_signal_ends_the_stream(
    aws_endpoint: str, aws_account: str
) -> None:
    s3: Any = boto3.client(
        "s3",
        endpoint_url=aws_endpoint,
        region_name="us-east-1",
        aws_access_key_id=aws_account,
        aws_secret_access_key="any",
    )
    bucket = f"orders-in-{aws_account}"
    with traffic(aws_endpoint, bucket, aws_account) as first:
        assert "goes to the bucket" in said(first)
        assert "cannot be reached, trying on" in said(first)
        s3.create_bucket(Bucket=bucket)
        assert said(first) == f"The bucket {bucket} is back.\n"
        wait_until(lambda: keys(s3, bucket)[24:], 20, "25 orders")
        first.send_signal(signal.SIGTERM)
        assert first.wait(10) == 0
        assert said(first) == ""
    before = keys(s3, bucket)
    with traffic(aws_endpoint, bucket, aws_account) as second:
        wait_until(lambda: keys(s3, bucket)[len(before) + 5 :], 20, "orders of another run")
        second.send_signal(signal.SIGINT)
        assert second.wait(10) == 0
    assert {key.rpartition(".")[2] for key in before} == {"xml", "json"}
    formats = load_formats()
    for key in before[:5]:
        order = read_document(s3.get_object(Bucket=bucket, Key=key)["Body"].read(), formats).order
        assert order.number == number(key)
