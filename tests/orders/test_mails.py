"""Mails to customers hold what documents say as text, and nothing of it gets into a header."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest

from portal.mail_texts import MailTexts
from portal.orders.canonical import Customer, Line, Order, Totals, parse_order
from portal.orders.mails import OrderMails

NAMES = ("order_completed", "incident", "order_in_process")
EVIL = '<img src=x onerror=alert(1) hx-get="/x">&{{ 7*7 }}'


class Tags(HTMLParser):
    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.add(tag)


@pytest.fixture(scope="module")
def mails() -> OrderMails:
    return OrderMails(MailTexts())


def order_of(**fields: object) -> Order:
    return parse_order(
        {"number": "A-1", "lines": [{"name": "Lamp", "quantity": "2.0", "amount": "10"}], **fields}
    )


@pytest.mark.parametrize("name", NAMES)
def test_every_mail_names_the_order_and_greets_the_customer(mails: OrderMails, name: str) -> None:
    mail = mails.write(name, order_of(customer={"name": "José & Söhne"}), {})
    assert "A-1" in mail.subject
    assert "A-1" in mail.text
    assert "José & Söhne" in mail.text
    assert "José &amp; Söhne" in mail.html


@pytest.mark.parametrize("name", NAMES)
def test_a_mail_needs_only_what_every_order_has(mails: OrderMails, name: str) -> None:
    mail = mails.write(name, parse_order({"number": "A-1", "lines": [{"id": "1"}]}), {})
    assert "None" not in mail.subject + mail.text + mail.html
    assert mail.text.startswith("Hello,\n")


def test_a_completed_order_is_told_its_tax_document_and_total(mails: OrderMails) -> None:
    order = order_of(currency="CLP")
    mail = mails.write("order_completed", order, {"tax-document": {"folio": "77", "type": "receipt"}})
    for words in (mail.text, mail.html):
        assert "receipt is 77" in words
        assert "10.00" in words
        assert "CLP" in words


@pytest.mark.parametrize("name", NAMES)
def test_markup_in_an_order_is_shown_as_text(mails: OrderMails, name: str) -> None:
    order = order_of(number=EVIL, customer={"name": EVIL}, lines=[{"name": EVIL, "amount": "1"}])
    plain = mails.write(name, order_of(), {})
    mail = mails.write(name, order, {"tax-document": {"folio": EVIL, "type": EVIL}})
    assert Tags(mail.html).tags <= Tags(plain.html).tags | {"p"}
    assert EVIL in mail.text
    assert "{{ 7*7 }}" in mail.html


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("end", ["\n", "\r", "\r\n", "\u2028", "\u0085", "\x0b"])
def test_no_field_of_an_order_breaks_out_of_the_subject(mails: OrderMails, name: str, end: str) -> None:
    """Such an order is refused as it is read; the mail does not rely on that."""
    text = f"A-1{end}Bcc: all@example.com"
    order = Order.model_construct(
        number=text, customer=Customer(), lines=[Line(id="1")], totals=Totals(), currency=None
    )
    mail = mails.write(name, order, {})
    assert len(mail.subject.splitlines()) == 1
    assert mail.subject == " ".join(mail.subject.split())
