"""The stream of orders: into the bucket, on after the bucket was away, ended by a signal."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import boto3

from portal.orders.documents.reader import load_formats, read_document
from tests.servers.waiting import wait_until


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


def test_orders_arrive_once_the_bucket_is_there_and_its_absence_is_said_once(
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
        assert order.number == key.rpartition(".")[0]
