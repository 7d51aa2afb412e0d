"""Documents in the bucket become canonical orders on the FIFO queue."""

import hashlib
import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any
from urllib.parse import unquote_plus

from jobs.consumer import Handled, Source, as_error, consume
from jobs.job import Job
from portal.clients.aws import Message, Outgoing, loads
from portal.errors import InvalidInput
from portal.orders.canonical import canonical_json
from portal.orders.documents import read_document

_THREADS = 2
_READERS = 10
# SQS takes 262,144 bytes with attributes; what is larger goes through the bucket.
_LARGEST_BODY = 200_000


def run(job: Job) -> None:
    """Run until the job stops."""
    settings = job.runtime.settings
    source = Source(settings.order_documents_queue, settings.order_documents_waiting_queue, _subject)
    with ThreadPoolExecutor(_READERS, "document") as pool:
        consume(job, source, partial(handle, job, pool), _THREADS)


def handle(job: Job, pool: ThreadPoolExecutor, messages: Sequence[Message]) -> list[Handled]:
    """Read the document of each event, and send its canonical order on."""
    read = list(pool.map(partial(_try_to_read, job), messages))
    outgoing = [order for orders in read if not isinstance(orders, Exception) for order in orders]
    job.runtime.reached("transformer.before-send")
    job.runtime.queues.send(job.runtime.settings.orders_queue, outgoing)
    job.runtime.reached("transformer.after-send")
    return [as_error(orders) if isinstance(orders, Exception) else None for orders in read]


def _try_to_read(job: Job, message: Message) -> list[Outgoing] | Exception:
    try:
        return [_read(job, record) for record in _created(message)]
    except Exception as error:  # noqa: BLE001 - an edge: one bad document must not hold up the others
        return error


def _created(message: Message) -> list[dict[str, Any]]:
    """Return the objects that an S3 event says were created (S3 event message structure 2.x)."""
    try:
        body = loads(message.body)
    except ValueError as error:
        raise InvalidInput(f"The message is no event of the bucket: {error}", code="not-an-event") from None
    if body.get("Event") == "s3:TestEvent":
        return []
    records = body.get("Records")
    if not isinstance(records, list):
        raise InvalidInput("The message is no event of the bucket: it has no Records.", code="not-an-event")
    return [
        record["s3"] for record in records if str(record.get("eventName", "")).startswith("ObjectCreated")
    ]


def _read(job: Job, place: dict[str, Any]) -> Outgoing:
    try:
        bucket, key = place["bucket"]["name"], unquote_plus(place["object"]["key"])
        version = place["object"].get("versionId")
    except (KeyError, TypeError, AttributeError) as error:
        reason = f"The message is no event of the bucket: it names no object ({error})."
        raise InvalidInput(reason, code="not-an-event") from None
    _refuse_odd_key(key)
    limit = job.runtime.settings.max_document_bytes
    body = job.runtime.files.read(bucket, key, version, max_bytes=limit)
    with job.runtime.metrics.timed("orders.document_read_seconds"):
        document = read_document(body, job.runtime.formats, max_bytes=limit)
    order = canonical_json(document.order)
    origin = {"format": document.format_name, "bucket": bucket, "key": key, "version": version}
    text = json.dumps({"document": origin, "order": order.decode()})
    if len(text.encode()) > _LARGEST_BODY:
        text = json.dumps({"document": origin, "order_at": _put_aside(job, order, document.content_hash)})
    number = document.order.number.encode()
    return Outgoing(
        text,
        group=hashlib.sha256(number).hexdigest(),
        deduplication=hashlib.sha256(
            f"{bucket}/{key}/{version}/{document.content_hash}".encode()
        ).hexdigest(),
    )


def _refuse_odd_key(key: str) -> None:
    if "\0" in key or ".." in key.split("/") or "%2e" in key.lower():
        raise InvalidInput(
            "The object's key has a part that could lead elsewhere.", code="object-key-unsafe", field="key"
        )


def _put_aside(job: Job, order: bytes, content_hash: str) -> dict[str, str]:
    """Keep an order that is too large for a message in the bucket of originals."""
    place = {"bucket": job.runtime.settings.originals_bucket, "key": f"canonical/{content_hash}.json"}
    job.runtime.files.write(place["bucket"], place["key"], order, "application/json")
    return place


def _subject(message: Message) -> str:
    return ", ".join(unquote_plus(place["object"]["key"]) for place in _created(message))
