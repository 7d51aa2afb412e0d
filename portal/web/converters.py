"""Texts of others, and ids, as parts of addresses."""

import re

from werkzeug.routing import BaseConverter, IntegerConverter

_ESCAPED = re.compile(r"~([0-9A-F]{2})")
_TO_ESCAPE = re.compile(r"[~/\\]|^\.+$")


class NumberConverter(BaseConverter):
    """An order number, with any characters, as one part of an address: `<number:number>`.

    Servers and browsers treat slashes, backslashes and dots specially even when they are percent-encoded,
    so that those are written as ~2F, ~5C and ~2E, and a tilde as ~7E.
    """

    regex = ".+"
    part_isolating = False

    def to_url(self, value: str) -> str:
        escaped = _TO_ESCAPE.sub(lambda match: "".join(f"~{ord(c):02X}" for c in match[0]), value)
        return super().to_url(escaped)

    def to_python(self, value: str) -> str:
        return _ESCAPED.sub(lambda match: chr(int(match[1], 16)), value)


class TextConverter(BaseConverter):
    """The rest of an address, whatever it is, as it was percent-encoded by another program: `<text:…>`."""

    regex = ".+"
    part_isolating = False


class IdConverter(IntegerConverter):
    """An id, no greater than a database can hold: `<id:…>`."""

    regex = r"[0-9]{1,18}"
