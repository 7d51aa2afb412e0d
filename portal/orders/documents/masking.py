"""Mask card numbers and shared secrets in a document before anybody sees it or a log keeps it.

The document is walked as tokens, not parsed: one that was refused for being broken is shown too, and
what is not masked stays as it is, to the letter.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from enum import Enum, auto
from typing import Final
from xml.sax.saxutils import escape, unescape

from portal.errors import InvalidInput
from portal.orders.documents.xml import decoded

HIDDEN: Final = "••••"

TOO_DEEP: Final = "This document is nested too deeply to be shown."

# What elements, attributes and keys are called, in lower case, without prefix and signs.
_SECRET_NAMES: Final = frozenset(
    {"authorization", "pin", "cvv", "cvc", "cv2", "securitycode", "ip", "sourceip", "device"}
)
_SECRET_ENDINGS: Final = ("secret", "password", "passwd", "pwd", "token", "apikey", "privatekey")
_CARD_NAMES: Final = frozenset({"paymentid", "pan", "giftcertificatecode"})
_CARD_ENDINGS: Final = ("cardnumber", "primaryaccountnumber", "primaryaccountnumberid")
_CARD_LISTS: Final = frozenset({"giftcards", "giftcard"})
_DEEPEST: Final = 256

_DIGIT_GROUPS: Final = re.compile(r"[0-9]+(?:[ -][0-9]+)*")
_SHORTEST_CARD: Final = 13
_LONGEST_CARD: Final = 19
_MOST_GROUPS: Final = 6

_XML_TOKEN: Final = re.compile(
    r"<!--.*?(?:-->|\Z)|<!\[CDATA\[.*?(?:\]\]>|\Z)|<[^<>\"']*+(?:\"[^\"]*+\"[^<>\"']*+|'[^']*+'[^<>\"']*+)*+>?|[^<]+",
    re.DOTALL,
)
_XML_NAME: Final = re.compile(r"</?([^\s/>]+)")
_XML_ATTRIBUTE: Final = re.compile(r"""(?<![^\s=<>"'])([^\s=<>"']++)(\s*+=\s*+)("[^"]*"|'[^']*')""")
_XML_CHARACTER: Final = re.compile(r"&#(x[0-9A-Fa-f]{1,6}|[0-9]{1,7});")
_JSON_TOKEN: Final = re.compile(r'"(?:[^"\\]|\\.)*+(?:"|\\?\Z)|[{}\[\],:]|[^"{}\[\],:\s]+|\s+', re.DOTALL)


def masked_card_number(number: str) -> str:
    """Show the last four characters of a card number, or none of a short one."""
    kept = "".join(c for c in number if c.isalnum())
    return f"{HIDDEN} {kept[-4:]}" if len(kept) >= 8 else HIDDEN


def masked_document(body: bytes) -> str:
    """Return an original document as text for display, masked; bytes that are no text become �."""
    try:
        text = decoded(body)
    except InvalidInput:
        text = body.decode("utf-8", "replace")
    return masked_text(text)


def masked_text(text: str) -> str:
    """Mask card numbers, gift card numbers and secrets in XML, JSON or plain text.

    Masked are 13 to 19 digits that pass the Luhn check (ISO/IEC 7812-1), and values whose element,
    attribute or key says that they are a card number, a secret, or a person's network or device. So they
    are in JSON that is a string of JSON, as in the envelopes of SNS.
    """
    start = text.lstrip("\ufeff \t\r\n")[:1]
    try:
        if start == "<":
            return "".join(_masked_xml(text))
        if start in ("{", "["):
            return "".join(_masked_json(text))
    except _TooDeep:
        return TOO_DEEP
    return _masked_cards(text)


class _TooDeep(Exception):
    """Say that no honest document is nested like this; to walk it could take for ever."""


class _Kind(Enum):
    """What a name says about the values below it."""

    PLAIN = auto()
    CARD_LIST = auto()
    CARD = auto()
    SECRET = auto()


def _kind(name: str, above: _Kind = _Kind.PLAIN) -> _Kind:
    """Tell the kind of the values of that name; what is below a card number or secret is one too."""
    plain = "".join(c for c in name.rpartition(":")[2].lower() if c.isalnum())
    if above is _Kind.SECRET or plain in _SECRET_NAMES or plain.endswith(_SECRET_ENDINGS):
        return _Kind.SECRET
    if above is _Kind.CARD or plain in _CARD_NAMES or plain.endswith(_CARD_ENDINGS):
        return _Kind.CARD
    if above is _Kind.CARD_LIST and plain == "number":
        return _Kind.CARD
    return _Kind.CARD_LIST if above is _Kind.CARD_LIST or plain in _CARD_LISTS else _Kind.PLAIN


def _masked(kind: _Kind, value: str) -> str:
    if kind is _Kind.SECRET:
        return HIDDEN if value.strip() else value
    if kind is _Kind.CARD:
        return value.replace(value.strip(), masked_card_number(value)) if value.strip() else value
    return _masked_cards(value)


def _masked_cards(text: str) -> str:
    return _DIGIT_GROUPS.sub(_masked_run, text)


def _masked_run(run: re.Match[str]) -> str:
    """Mask the cards in a run of digit groups; a group may be a date or amount that stands before one."""
    groups = re.split(r"([ -])", run[0])
    shown: list[str] = []
    first = 0
    while first < len(groups):
        last = _end_of_card(groups, first)
        shown.append(
            groups[first] if last is None else masked_card_number("".join(groups[first : last + 1 : 2]))
        )
        first = first + 1 if last is None else last + 1
    return "".join(shown)


def _end_of_card(groups: list[str], first: int) -> int | None:
    digits = ""
    for last in range(first, min(first + 2 * _MOST_GROUPS, len(groups)), 2):
        digits += groups[last]
        if len(digits) > _LONGEST_CARD or not digits.isdigit():
            return None
        if len(digits) >= _SHORTEST_CARD and _passes_luhn(digits):
            return last
    return None


def _passes_luhn(digits: str) -> bool:
    doubled = [int(digit) * 2 for digit in digits[-2::-2]]
    return (sum(map(int, digits[-1::-2])) + sum(d - 9 if d > 9 else d for d in doubled)) % 10 == 0


def _masked_xml(text: str) -> Iterator[str]:
    opened: list[tuple[str, _Kind]] = [("", _Kind.PLAIN)]
    for part in _XML_TOKEN.findall(text):
        kind = opened[-1][1]
        if part.startswith("<![CDATA["):
            yield _masked_between("<![CDATA[", part, "]]>", kind)
        elif part.startswith("<!--"):
            yield _masked_between("<!--", part, "-->", kind)
        elif part.startswith("<"):
            _enter_or_leave(part, opened)
            yield _XML_ATTRIBUTE.sub(_masked_attribute, part)
        else:
            yield _masked_markup(kind, part)


def _masked_between(start: str, part: str, end: str, kind: _Kind) -> str:
    end = end if part.endswith(end) else ""
    return start + _masked(kind, part[len(start) : len(part) - len(end)]) + end


def _enter_or_leave(tag: str, opened: list[tuple[str, _Kind]]) -> None:
    match = _XML_NAME.match(tag)
    if match is None or tag.startswith(("<?", "<!")) or tag.endswith("/>"):
        return
    name = match[1]
    if not tag.startswith("</"):
        opened.append((name, _kind(name, opened[-1][1])))
    elif any(name == other for other, _ in opened):
        while opened.pop()[0] != name:
            pass
    if len(opened) > _DEEPEST:
        raise _TooDeep


def _masked_attribute(attribute: re.Match[str]) -> str:
    quoted = attribute[3]
    value = _masked_markup(_kind(attribute[1]), quoted[1:-1])
    return attribute[1] + attribute[2] + quoted[0] + value + quoted[0]


def _masked_markup(kind: _Kind, markup: str) -> str:
    """Mask text as it stands in a document, where a digit may be written as `&#52;`."""
    value = unescape(_XML_CHARACTER.sub(_character, markup), {"&quot;": '"', "&apos;": "'"})
    masked = _masked(kind, value)
    return markup if masked == value else escape(masked, {'"': "&quot;", "'": "&apos;"})


def _character(reference: re.Match[str]) -> str:
    code = int(reference[1][1:], 16) if reference[1].startswith("x") else int(reference[1])
    return chr(code) if code <= 0x10FFFF else "\ufffd"


def _masked_json(text: str) -> Iterator[str]:
    """Mask the scalars by the keys above them; a string is a key if a colon follows."""
    parts = _JSON_TOKEN.findall(text)
    opened = [_Kind.PLAIN]
    kind = _Kind.PLAIN
    for index, part in enumerate(parts):
        if part in ("{", "["):
            opened.append(kind)
        elif part in ("}", "]"):
            kind = opened.pop() if len(opened) > 1 else _Kind.PLAIN
        elif part == ",":
            kind = opened[-1]
        if len(opened) > _DEEPEST:
            raise _TooDeep
        if part.isspace() or part in ("{", "}", "[", "]", ",", ":"):
            yield part
        elif _is_key(parts, index):
            kind = _kind(_json_string(part), opened[-1])
            yield part
        else:
            yield _masked_scalar(kind, part)


def _is_key(parts: list[str], index: int) -> bool:
    after = next((part for part in parts[index + 1 : index + 3] if not part.isspace()), "")
    return parts[index].startswith('"') and after == ":"


def _masked_scalar(kind: _Kind, part: str) -> str:
    value = _json_string(part)
    holds_json = part.startswith('"') and value.lstrip()[:1] in ("{", "[") and kind is _Kind.PLAIN
    masked = _masked(kind, "".join(_masked_json(value)) if holds_json else value)
    return part if masked == value else json.dumps(masked, ensure_ascii=False)


def _json_string(part: str) -> str:
    if not part.startswith('"'):
        return part
    for end in ("", '"'):
        # What was cut off is escaped all the same.
        try:
            return str(json.loads(part + end, strict=False))
        except ValueError:
            continue
    return part.strip('"')
