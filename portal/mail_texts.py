"""Mails as they are written: words from templates, values from whoever sends."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from jinja2 import Environment, PackageLoader, select_autoescape


@dataclass(frozen=True, slots=True)
class MailText:
    subject: str
    text: str
    html: str


class MailTexts:
    """Writes mails from `templates/mails/NAME.txt` and `NAME.html`; the text's first line is the subject."""

    def __init__(self) -> None:
        self._environment = Environment(
            loader=PackageLoader("portal", "templates/mails"),
            autoescape=select_autoescape(("html",)),
            trim_blocks=True,
            lstrip_blocks=True,
        )

    def write(self, name: str, values: Mapping[str, Any]) -> MailText:
        """Write the mail `name`."""
        subject, _, text = self._environment.get_template(f"{name}.txt").render(values).partition("\n")
        html = self._environment.get_template(f"{name}.html").render(values, subject=subject)
        return MailText(" ".join(subject.split()), text.strip() + "\n", html)
