"""Makes what the portal expects of AWS: buckets, queues, topics and subscriptions; again is harmless."""

import json
from contextlib import suppress
from typing import Any

from portal.clients.aws import make_client
from portal.settings import Settings
from sandbox.users import SIGN_UPS_TOPIC, VERIFICATIONS_TOPIC


def provision(settings: Settings) -> None:
    """Create all that is missing, and connect bucket, topic and queues."""
    sqs, s3 = make_client("sqs", settings), make_client("s3", settings)
    documents = _queue_with_waiting(
        sqs, settings, settings.order_documents_queue, settings.order_documents_waiting_queue
    )
    _queue_with_waiting(sqs, settings, settings.orders_queue, settings.orders_waiting_queue)
    mail_events = _queue_with_waiting(
        sqs, settings, settings.mail_events_queue, settings.mail_events_waiting_queue
    )
    _bucket(s3, settings.originals_bucket)
    _bucket(s3, settings.orders_bucket)
    s3.put_bucket_notification_configuration(
        Bucket=settings.orders_bucket,
        NotificationConfiguration={
            "QueueConfigurations": [{"QueueArn": documents, "Events": ["s3:ObjectCreated:*"]}]
        },
    )
    _connect_mail_notices(settings, mail_events)
    _connect_user_events(sqs, settings)


def _queue_with_waiting(sqs: Any, settings: Settings, name: str, waiting: str) -> str:
    """Make a queue whose messages go to another one when they were taken too often; return its ARN."""
    policy = {"deadLetterTargetArn": _queue(sqs, settings, waiting), "maxReceiveCount": settings.max_receives}
    return _queue(sqs, settings, name, RedrivePolicy=json.dumps(policy))


def _queue(sqs: Any, settings: Settings, name: str, **attributes: str) -> str:
    kind = {"FifoQueue": "true"} if name.endswith(".fifo") else {}
    url = sqs.create_queue(QueueName=name, Attributes=kind)["QueueUrl"]
    attributes |= {"VisibilityTimeout": str(settings.visibility_seconds), "MessageRetentionPeriod": "1209600"}
    # Set apart: to create a queue that is there already is refused when its attributes differ.
    sqs.set_queue_attributes(QueueUrl=url, Attributes=attributes)
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    return str(arn)


def _bucket(s3: Any, name: str) -> None:
    # The emulator, killed before it saved of which region a bucket is, refuses one that is there.
    with suppress(s3.exceptions.BucketAlreadyOwnedByYou):
        s3.create_bucket(Bucket=name)
    s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})


def _connect_mail_notices(settings: Settings, queue_arn: str) -> None:
    domain = settings.mail_from.rpartition("@")[2]
    # The mailbox stand-in may not be up yet: what concerns the identity goes to SES itself.
    ses = make_client("ses", settings.model_copy(update={"ses_endpoint_url": None}))
    sns = make_client("sns", settings)
    topic = sns.create_topic(Name="mail-events")["TopicArn"]
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=queue_arn)
    ses.verify_domain_identity(Domain=domain)
    for kind in ("Delivery", "Bounce", "Complaint"):
        ses.set_identity_notification_topic(Identity=domain, NotificationType=kind, SnsTopic=topic)


def _connect_user_events(sqs: Any, settings: Settings) -> None:
    sns = make_client("sns", settings)
    for topic, queue, waiting in (
        (SIGN_UPS_TOPIC, settings.user_sign_ups_queue, settings.user_sign_ups_waiting_queue),
        (VERIFICATIONS_TOPIC, settings.user_verifications_queue, settings.user_verifications_waiting_queue),
    ):
        queue_arn = _queue_with_waiting(sqs, settings, queue, waiting)
        topic_arn = sns.create_topic(Name=topic)["TopicArn"]
        sns.subscribe(TopicArn=topic_arn, Protocol="sqs", Endpoint=queue_arn)
