"""Canonical orders on the FIFO queue become orders in the database."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from sqlalchemy.orm import Session

from jobs.consumer import Handled, Source, as_error, consume
from jobs.job import Job
from portal.clients.aws import Message, loads
from portal.errors import Conflict
from portal.orders import service
from portal.orders.canonical import parse_order
from portal.orders.documents.strict_json import parse_json
from portal.orders.service import Arrival, DocumentPlace, Receipt

PROCESS = "retail-order"


@dataclass(frozen=True, slots=True)
class _Taken:
    message: Message
    arrival: Arrival


def run(job: Job) -> None:
    """Run until the job stops."""
    settings = job.runtime.settings
    source = Source(settings.orders_queue, settings.orders_waiting_queue, _subject)
    consume(job, source, partial(handle, job))


def handle(job: Job, messages: Sequence[Message]) -> list[Handled]:
    """Take in the orders of a batch in one transaction."""
    outcomes: dict[str, Handled] = {}
    taken: list[_Taken] = []
    for message in messages:
        try:
            taken.append(_Taken(message, _arrival(job, message)))
        except Exception as error:  # noqa: BLE001 - an edge: one bad message must not hold up the others
            outcomes[message.id] = as_error(error)
    if taken:
        job.runtime.reached("reader.before-commit")
        receipts = job.runtime.transact(partial(_receive, job, taken))
        job.runtime.reached("reader.after-commit")
        for one, receipt in zip(taken, receipts, strict=True):
            outcomes[one.message.id] = _judge(job, receipt)
    return [outcomes[message.id] for message in messages]


def _receive(job: Job, taken: Sequence[_Taken], session: Session) -> list[Receipt]:
    return service.receive_orders(
        session,
        [one.arrival for one in taken],
        definition=job.runtime.definitions.get(PROCESS),
        cipher=job.runtime.cipher,
        actor=job.actor,
        now=job.runtime.clock(),
    )


def _arrival(job: Job, message: Message) -> Arrival:
    body = loads(message.body)
    if "order_at" in body:
        place, limit = body["order_at"], job.runtime.settings.max_document_bytes * 2
        text = job.runtime.files.read(place["bucket"], place["key"], max_bytes=limit)
    else:
        text = body["order"].encode()
    document = DocumentPlace(**body["document"])
    return Arrival(parse_order(parse_json(text)), document, "bucket", job.runtime.new_id())


def _judge(job: Job, receipt: Receipt) -> Handled:
    if receipt.outcome == "conflict":
        return Conflict(
            f"Order {receipt.number} is known with other content; nothing was changed.", code="order-differs"
        )
    if receipt.outcome == "known":
        job.count("duplicate")
    return None


def _subject(message: Message) -> str:
    body = loads(message.body)
    order = parse_json(body["order"].encode()) if "order" in body else None
    return str(order["number"] if isinstance(order, dict) else body["document"]["key"])
