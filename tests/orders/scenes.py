"""Orders at any place of their process, brought there by the parts that the runner uses."""

from __future__ import annotations

import base64
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import select, update

from portal import work
from portal.crypto import DataCipher
from portal.db import Database
from portal.errors import Upstream
from portal.events import Actor
from portal.orders.canonical import Customer, Order, parse_order
from portal.orders.connectors import Passed, Skipped
from portal.orders.models import PurchaseOrder
from portal.orders.open_orders import Turn, load_turns
from portal.orders.process.definitions import Definitions, load_definitions
from portal.orders.progress import Failed, Outcome, Progress, Result
from portal.orders.service import WORK_KIND, Arrival, DocumentPlace, push_to_retry, receive_orders
from portal.orders.waiting import Undelivered, keep_waiting
from portal.work import Work

DATA_KEY = base64.b64encode(b"k" * 32).decode()
NOW = datetime(2026, 11, 20, 12, 0, 0, 123456, UTC)
RUNNER = Actor("job", "runner")
LEASE = timedelta(minutes=1)

DOWN = Failed(
    Upstream(
        "The tax document system did not answer.",
        code="tax-documents-no-answer",
        retryable=False,
        outcome_unknown=True,
        answer="ProtocolError: Connection aborted",
    )
)


def person(name: str) -> Actor:
    return Actor("person", name)


def plain_order(number: str, **fields: Any) -> Order:
    """Make an order with one line and a customer with a mail address; `fields` replace what it has."""
    order = parse_order(
        {
            "number": number,
            "channel": "kiosk",
            "store": "North",
            "country": "CL",
            "currency": "USD",
            "customer": {"name": "Rosa Díaz", "email": "rosa@example.com"},
            "lines": [{"id": "1", "name": "Lamp", "quantity": "2", "unit_price": "5.00", "amount": "10.00"}],
        }
    )
    return order.model_copy(update=fields)


@dataclass
class Scene:
    """A database with orders in it; time stands still at `now` until somebody moves it."""

    database: Database
    cipher: DataCipher = field(default_factory=lambda: DataCipher(DATA_KEY))
    definitions: Definitions = field(default_factory=load_definitions)
    now: datetime = NOW

    def receive(self, *orders: Order) -> list[int]:
        """Take orders in at this moment, and return their ids."""
        document = DocumentPlace("canonical-json", "originals", "in/order.json", "v1")
        arrivals = [Arrival(order, document, "bucket", str(uuid.uuid4())) for order in orders]
        with self.database.writer() as session:
            receipts = receive_orders(
                session,
                arrivals,
                definition=self.definitions.get("retail-order"),
                cipher=self.cipher,
                actor=Actor("job", "reader"),
                now=self.now,
            )
        return [receipt.order_id for receipt in receipts]

    def claim(self, order_id: int) -> Turn:
        """Take the due step of an order as the runner does, and leave it running."""
        with self.database.writer() as session:
            session.execute(
                update(Work)
                .where(Work.kind == WORK_KIND, Work.reference == order_id)
                .values(due_at=datetime(2000, 1, 1, tzinfo=UTC))
            )
        with self.database.writer() as session:
            claims = work.claim(session, WORK_KIND, limit=1, lease=LEASE, token=str(uuid.uuid4()))
            (turn,) = load_turns(session, claims, plans=self.definitions.plans, cipher=self.cipher).turns
        assert turn.order.id == order_id
        return turn

    def finish(self, turn: Turn, outcome: Outcome) -> None:
        """Commit what an attempt came to; the next step is left for others to claim."""
        progress = Progress(
            actor=RUNNER, lease=LEASE, new_token=lambda: str(uuid.uuid4()), keep=lambda lane: False
        )
        with self.database.writer() as session:
            progress.apply(session, [Result(turn, outcome, self.now, self.now)])

    def step(self, order_id: int, *outcomes: Outcome) -> None:
        """Let the order's due step come to each of these outcomes in turn."""
        for outcome in outcomes:
            self.finish(self.claim(order_id), outcome)

    def to_exception(self, order_id: int) -> None:
        """Bring a new order without a gift card to the step that waits after the incident."""
        self.step(order_id, Passed({"eom_id": "E-1"}), DOWN, Passed({}), Passed({"message_id": "m-1"}))

    def complete(self, order_id: int) -> None:
        """Bring a new order without a gift card to its end."""
        self.step(order_id, *[Passed({"id": str(number)}) for number in range(4)])

    def push(self, order_id: int, element_id: str = "Task_IssueAfterIncident", by: str = "ana") -> None:
        with self.database.writer() as session:
            push_to_retry(session, order_id, element_id, actor=person(by), now=self.now)

    def keep_waiting(
        self,
        subject: str,
        *,
        reason: str = "It is no order.",
        waiting_id: int | None = None,
        queue: str = "order-documents",
        body: str = '{"key": "bad.xml"}',
    ) -> None:
        """Let a message arrive on the waiting queue."""
        message = Undelivered(
            message_id=str(uuid.uuid4()),
            queue=queue,
            group=None,
            subject=subject,
            body=body,
            receives=10,
            code="not-an-order",
            reason=reason,
            waiting_id=waiting_id,
        )
        with self.database.writer() as session:
            keep_waiting(session, message, cipher=self.cipher, actor=Actor("job", "waiting"), now=self.now)

    def order(self, number: str) -> PurchaseOrder:
        with self.database.writer() as session:
            return session.scalars(select(PurchaseOrder).where(PurchaseOrder.number == number)).one()


SKIPPED = Skipped("no-mail-address", "No mail could be sent: the order has no mail address.")
NOBODY = Customer()
AMOUNT = Decimal("10.00")
