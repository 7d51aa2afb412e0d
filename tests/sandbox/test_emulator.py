"""The AWS emulator keeps what it was given, and keeps to itself."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from sandbox.emulator import Emulator, EmulatorError, emulator_environment

ACCOUNT = "123456789012"
BUCKET = f"orders-in-{ACCOUNT}"


def client(emulator: Emulator, service: Any) -> Any:
    return boto3.client(
        service,
        endpoint_url=emulator.url,
        region_name="us-east-1",
        aws_access_key_id=ACCOUNT,
        aws_secret_access_key="any",
    )


@pytest.fixture(scope="module")
def restarted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    """An emulator that was filled, stopped, and started again on another port."""
    state = tmp_path_factory.mktemp("emulator")
    with Emulator(state) as first:
        fill(first)
    with Emulator(state) as second:
        yield second


def fill(emulator: Emulator) -> None:
    s3, sqs, sns, ses = (client(emulator, service) for service in ("s3", "sqs", "sns", "ses"))
    events = sqs.create_queue(QueueName="order-documents")["QueueUrl"]
    asked = sqs.get_queue_attributes(QueueUrl=events, AttributeNames=["QueueArn"])
    arn = asked["Attributes"]["QueueArn"]
    s3.create_bucket(Bucket=BUCKET)
    s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    s3.put_object(Bucket=BUCKET, Key="a/order 1.xml", Body=b"<first/>", Metadata={"channel": "kiosk"})
    s3.put_object(Bucket=BUCKET, Key="a/order 1.xml", Body=b"<second/>")
    s3.put_bucket_notification_configuration(
        Bucket=BUCKET,
        NotificationConfiguration={
            "QueueConfigurations": [{"QueueArn": arn, "Events": ["s3:ObjectCreated:*"]}]
        },
    )
    topic = sns.create_topic(Name="users")["TopicArn"]
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn, Attributes={"RawMessageDelivery": "true"})
    ses.verify_email_identity(EmailAddress="orders@example.com")
    queue = sqs.create_queue(
        QueueName="orders.fifo", Attributes={"FifoQueue": "true", "VisibilityTimeout": "600"}
    )["QueueUrl"]
    for group in ("taken", "waiting"):
        sqs.send_message(
            QueueUrl=queue, MessageBody=group, MessageGroupId=group, MessageDeduplicationId=group
        )
    sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=1)


def test_every_version_of_an_object_survives_a_restart(restarted: Emulator) -> None:
    s3 = client(restarted, "s3")
    versions = s3.list_object_versions(Bucket=BUCKET)["Versions"]
    bodies = [
        s3.get_object(Bucket=BUCKET, Key=version["Key"], VersionId=version["VersionId"])["Body"].read()
        for version in versions
    ]
    assert bodies == [b"<second/>", b"<first/>"]


def test_messages_survive_a_restart_and_one_in_flight_stays_in_flight(restarted: Emulator) -> None:
    sqs = client(restarted, "sqs")
    queue = sqs.get_queue_url(QueueName="orders.fifo")["QueueUrl"]
    received = sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10)["Messages"]
    assert [message["Body"] for message in received] == ["waiting"]


def test_an_object_and_a_topic_still_reach_the_queue_after_a_restart(restarted: Emulator) -> None:
    s3, sqs, sns = (client(restarted, service) for service in ("s3", "sqs", "sns"))
    queue = sqs.get_queue_url(QueueName="order-documents")["QueueUrl"]
    sqs.purge_queue(QueueUrl=queue)
    s3.put_object(Bucket=BUCKET, Key="new.xml", Body=b"<new/>")
    event = json.loads(receive_one(sqs, queue))
    assert event["Records"][0]["s3"]["object"]["key"] == "new.xml"
    sns.publish(TopicArn=sns.list_topics()["Topics"][0]["TopicArn"], Message="signed up")
    assert receive_one(sqs, queue) == "signed up"


def receive_one(sqs: Any, queue: str) -> str:
    message = sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=5)["Messages"][0]
    sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
    return str(message["Body"])


def test_a_verified_sender_survives_a_restart(restarted: Emulator) -> None:
    assert client(restarted, "ses").list_identities()["Identities"] == ["orders@example.com"]


def test_all_files_lie_below_the_state_directory(restarted: Emulator) -> None:
    assert restarted.state_dir is not None
    assert (restarted.state_dir / "tmp" / f"ministack-{restarted.port}.pid").exists()
    assert restarted.log_path.is_relative_to(restarted.state_dir)


def test_a_taken_port_is_refused_with_its_number(restarted: Emulator, tmp_path: Path) -> None:
    taken = f"Port {restarted.port} .* is taken"
    with pytest.raises(EmulatorError, match=taken), Emulator(tmp_path, restarted.port):
        pass


def test_without_a_state_directory_nothing_is_left_behind() -> None:
    with Emulator(None) as emulator:
        home = emulator.log_path.parent
        client(emulator, "s3").create_bucket(Bucket="some-bucket")
    assert not emulator.alive()
    assert not home.exists()


def test_nothing_of_the_machine_that_leads_outside_reaches_it(tmp_path: Path) -> None:
    outer = {
        "PATH": "/usr/bin",
        "SMTP_HOST": "mail.example.com",
        "AWS_PROFILE": "production",
        "DOCKER_HOST": "tcp://10.0.0.1:2375",
        "BIND_HOST": "0.0.0.0",
    }
    inner = emulator_environment(outer, tmp_path, 4567, keep=True)
    assert inner["PATH"] == "/usr/bin"
    assert inner["BIND_HOST"] == "127.0.0.1"
    assert inner["DOCKER_HOST"].startswith(f"unix://{tmp_path}")
    assert not {"SMTP_HOST", "AWS_PROFILE"} & inner.keys()
