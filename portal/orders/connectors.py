"""Connectors: what the service tasks of a process call, each by the name that binding sheets use."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

from portal.clients import eom, gift_card, pos, tax_documents
from portal.clients.http import Answer, HttpSystem
from portal.errors import InvalidInput
from portal.orders.canonical import Order, canonical_json
from portal.orders.mails import OrderMails


class MailSender(Protocol):
    def send(self, key: str, *, to: str, subject: str, text: str, html: str, order_number: str) -> str: ...


@dataclass(frozen=True, slots=True)
class Outside:
    """The outside systems that connectors call.

    `delivered` tells the provider's message id of a mail that is known to have gone out, by effect key.
    """

    systems: Mapping[str, HttpSystem]
    mail: MailSender
    mails: OrderMails
    delivered: Callable[[str], str | None]


@dataclass(frozen=True, slots=True)
class Task:
    """One attempt to bring about an effect for an order.

    `key` is the idempotency key, the same in every attempt. `repeated` says that an earlier attempt may
    have had its effect: what became of it is asked before anything is called. `results` are those of the
    order's earlier effects.
    """

    order: Order
    key: str
    repeated: bool
    results: Mapping[str, dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Passed:
    """The effect is there; `asked` when it turned out to be there already from an earlier attempt."""

    result: dict[str, Any]
    call: str | None = None
    status: int | None = None
    asked: bool = False


@dataclass(frozen=True, slots=True)
class Skipped:
    """There was nothing that could be done, and the order goes on without."""

    code: str
    reason: str
    result: dict[str, Any] = field(default_factory=dict)


Connector = Callable[[Outside, Task], Passed | Skipped]


def _once(
    system: HttpSystem, key: str, task: Task, path: str, post: Callable[[HttpSystem, str], Answer]
) -> Passed:
    if task.repeated and (known := system.outcome(key)) is not None:
        return Passed(known.body, f"GET {system.name}/effects/{key}", known.status, asked=True)
    answer = post(system, key)
    return Passed(answer.body, f"POST {system.name}{path}", answer.status)


def redeem_gift_cards(outside: Outside, task: Task) -> Passed:
    """Redeem every card of the order; each has a key of its own."""
    order, passed = task.order, []
    for position, card in enumerate(order.gift_cards, start=1):
        post = partial(
            gift_card.redeem,
            order_number=order.number,
            card_number=card.number,
            amount=card.amount,
            currency=order.currency,
        )
        key = task.key if position == 1 else f"{task.key}.{position}"
        passed.append(_once(outside.systems["gift-card"], key, task, "/redemptions", post))
    if len(passed) == 1:
        return passed[0]
    results = [one.result for one in passed]
    return Passed({"redemptions": results}, passed[-1].call, passed[-1].status, any(p.asked for p in passed))


def register_in_eom(outside: Outside, task: Task) -> Passed:
    content = json.loads(canonical_json(task.order))
    post = partial(eom.register, order_number=task.order.number, order=content)
    return _once(outside.systems["eom"], task.key, task, "/orders", post)


def issue_tax_document(outside: Outside, task: Task) -> Passed:
    """Issue an invoice to a customer with a tax id, a receipt to everybody else."""
    order = task.order
    post = partial(
        tax_documents.issue,
        order_number=order.number,
        kind="invoice" if order.customer.tax_id else "receipt",
        total=order.totals.payable,
        currency=order.currency,
        customer={"name": order.customer.name, "tax_id": order.customer.tax_id},
    )
    return _once(outside.systems["tax-documents"], task.key, task, "/documents", post)


def record_sale(outside: Outside, task: Task) -> Passed:
    order = task.order
    post = partial(
        pos.record_sale,
        order_number=order.number,
        total=order.totals.payable,
        currency=order.currency,
        store=order.store,
        folio=task.results.get("tax-document", {}).get("folio"),
    )
    return _once(outside.systems["pos"], task.key, task, "/sales", post)


def send_mail(name: str, outside: Outside, task: Task) -> Passed | Skipped:
    """Send the mail `name`; an order without an address that can be written to goes on without it."""
    to = task.order.customer.email
    if not to:
        return Skipped("no-mail-address", "No mail could be sent: the order has no mail address.")
    if task.repeated and (message_id := outside.delivered(task.key)):
        return Passed({"message_id": message_id}, "delivery notices of SES", asked=True)
    words = outside.mails.write(name, task.order, dict(task.results))
    try:
        message_id = outside.mail.send(
            task.key,
            to=to,
            subject=words.subject,
            text=words.text,
            html=words.html,
            order_number=task.order.number,
        )
    except InvalidInput:
        reason = "No mail could be sent: mail cannot be sent to the address of the order."
        return Skipped("mail-address-invalid", reason)
    return Passed({"message_id": message_id}, "SES SendRawEmail", 200)


def record_incident(_outside: Outside, task: Task) -> Passed:
    """Keep the error that led here as this step's result; nobody is called."""
    return Passed(dict(task.results.get("error", {})))


CONNECTORS: dict[str, Connector] = {
    "gift_card.redeem": redeem_gift_cards,
    "eom.register": register_in_eom,
    "tax_documents.issue": issue_tax_document,
    "pos.record_sale": record_sale,
    "mail.order_completed": partial(send_mail, "order_completed"),
    "mail.incident": partial(send_mail, "incident"),
    "mail.order_in_process": partial(send_mail, "order_in_process"),
    "record.incident": record_incident,
}
