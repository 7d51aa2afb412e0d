"""What customers are told by mail: the words are templates, one for each occasion."""

from typing import Any

from portal.mail_texts import MailText, MailTexts
from portal.orders.canonical import Order


class OrderMails:
    """Writes the mails of an order."""

    def __init__(self, texts: MailTexts) -> None:
        self._texts = texts

    def write(self, name: str, order: Order, results: dict[str, dict[str, Any]]) -> MailText:
        """Write the mail `name`; `results` are those of the order's effects so far, by effect."""
        values = {"order": order, "results": results, "tax_document": results.get("tax-document", {})}
        return self._texts.write(name, values)
