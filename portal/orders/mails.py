"""What customers are told by mail: the words are templates, one for each occasion."""

from dataclasses import dataclass
from typing import Any

from jinja2 import Environment, PackageLoader, select_autoescape

from portal.orders.canonical import Order


@dataclass(frozen=True, slots=True)
class MailText:
    subject: str
    text: str
    html: str


class OrderMails:
    """Writes the mails of an order from `templates/mails/NAME.txt` and `NAME.html`.

    The first line of the text is the subject.
    """

    def __init__(self) -> None:
        self._environment = Environment(
            loader=PackageLoader("portal", "templates/mails"),
            autoescape=select_autoescape(("html",)),
            trim_blocks=True,
            lstrip_blocks=True,
        )

    def write(self, name: str, order: Order, results: dict[str, dict[str, Any]]) -> MailText:
        """Write the mail `name`; `results` are those of the order's effects so far, by effect."""
        values = {"order": order, "results": results, "tax_document": results.get("tax-document", {})}
        subject, _, text = self._environment.get_template(f"{name}.txt").render(values).partition("\n")
        html = self._environment.get_template(f"{name}.html").render(values, subject=subject)
        return MailText(" ".join(subject.split()), text.strip() + "\n", html)
