"""Mask card numbers and shared secrets in a document before anybody sees it or a log keeps it.

The document is walked as tokens, not parsed: one that was refused for being broken is shown too, and
what is not masked stays as it is, to the letter.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Final
from xml.sax.saxutils import escape, unescape

from portal.errors import InvalidInput
from portal.orders.documents.xml import decoded

HIDDEN: Final = "••••"

_SECRETS: Final = frozenset(
    ["sharedsecret", "secret", "clientsecret", "password", "passwd", "pwd", "token", "accesstoken", "refreshtoken", "apikey", "privatekey", "authorization", "cvv", "cvc", "cv2", "securitycode", "pin"]
)
_CARDS: Final = frozenset(
    ["cardnumber", "giftcardnumber", "giftcertificatecode", "paymentid", "primaryaccountnumber", "primaryaccountnumberid", "pan"]
)
_CARD_LISTS: Final = frozenset({"giftcards", "giftcard"})

_DIGIT_GROUPS: Final = re.compile(r"[0-9]+(?:[ -][0-9]+)*")
_SHORTEST_CARD: Final = 13
_LONGEST_CARD: Final = 19

_XML_TOKEN: Final = re.compile(
    r"<!--.*?(?:-->|\Z)|<!\[CDATA\[.*?(?:\]\]>|\Z)|<[^<>\"']*+(?:\"[^\"]*+\"[^<>\"']*+|'[^']*+'[^<>\"']*+)*+>?|[^<]+",
    re.DOTALL,
)
_XML_NAME: Final = re.compile(r"</?([^\s/>]+)")
_XML_ATTRIBUTE: Final = re.compile(r"""([^\s=<>"']+)(\s*=\s*)("[^"]*"|'[^']*')""")
_XML_CHARACTER: Final = re.compile(r"&#(x[0-9A-Fa-f]{1,6}|[0-9]{1,7});")
_JSON_TOKEN: Final = re.compile(r'"(?:[^"\\]|\\.)*+(?:"|\Z)|[{}\[\],:]|[^"{}\[\],:\s]+|\s+', re.DOTALL)


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
    attribute or key says that they are a card number or a secret.
    """
    start = text.lstrip("\ufeff \t\r\n")[:1]
    if start == "<":
        return "".join(_masked_xml(text))
    if start in ("{", "["):
        return "".join(_masked_json(text))
    return _masked_cards(text)


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
    for last in range(first, len(groups), 2):
        digits += groups[last]
        if len(digits) > _LONGEST_CARD or not digits.isdigit():
            return None
        if len(digits) >= _SHORTEST_CARD and _passes_luhn(digits):
            return last
    return None


def _passes_luhn(digits: str) -> bool:
    doubled = [int(digit) * 2 for digit in digits[-2::-2]]
    return (sum(map(int, digits[-1::-2])) + sum(d - 9 if d > 9 else d for d in doubled)) % 10 == 0


def _masked_by(name: str, value: str) -> str:
    """Mask a value by what its element, attribute or key is called, else by what it looks like."""
    plain = _plain_name(name)
    if plain in _SECRETS:
        return HIDDEN if value.strip() else value
    if plain in _CARDS:
        return value.replace(value.strip(), masked_card_number(value)) if value.strip() else value
    return _masked_cards(value)


def _plain_name(name: str) -> str:
    return "".join(c for c in name.rpartition(":")[2].lower() if c.isalnum())


def _masked_xml(text: str) -> Iterator[str]:
    names: list[str] = []
    for token in _XML_TOKEN.findall(text):
        name = next((n for n in reversed(names) if _plain_name(n) in _SECRETS | _CARDS), "")
        if token.startswith("<![CDATA["):
            closed = "]]>" if token.endswith("]]>") else ""
            yield "<![CDATA[" + _masked_by(name, token[9 : len(token) - len(closed)]) + closed
        elif token.startswith("<!--"):
            closed = "-->" if token.endswith("-->") else ""
            yield "<!--" + _masked_by(name, token[4 : len(token) - len(closed)]) + closed
        elif token.startswith("<"):
            _enter_or_leave(token, names)
            yield _XML_ATTRIBUTE.sub(_masked_attribute, token)
        else:
            yield _masked_markup(name, token)


def _enter_or_leave(tag: str, names: list[str]) -> None:
    match = _XML_NAME.match(tag)
    if match is None or tag.startswith(("<?", "<!")) or tag.endswith("/>"):
        return
    if not tag.startswith("</"):
        names.append(match[1])
    elif match[1] in names:
        while names.pop() != match[1]:
            pass


def _masked_attribute(attribute: re.Match[str]) -> str:
    quoted = attribute[3]
    return attribute[1] + attribute[2] + quoted[0] + _masked_markup(attribute[1], quoted[1:-1]) + quoted[0]


def _masked_markup(name: str, markup: str) -> str:
    """Mask text as it stands in a document, where a digit may be written as `&#52;`."""
    value = _XML_CHARACTER.sub(_character, unescape(markup, {"&quot;": '"', "&apos;": "'"}))
    masked = _masked_by(name, value)
    return markup if masked == value else escape(masked, {'"': "&quot;", "'": "&apos;"})


def _character(reference: re.Match[str]) -> str:
    code = int(reference[1][1:], 16) if reference[1].startswith("x") else int(reference[1])
    return chr(code) if code <= 0x10FFFF else "\ufffd"


def _masked_json(text: str) -> Iterator[str]:
    """Mask scalars by the innermost key above them that is telling; a key is known by its colon."""
    tokens = _JSON_TOKEN.findall(text)
    keys: list[str] = [""]
    for index, token in enumerate(tokens):
        if token in "{[":
            keys.append("")
        elif token in "}]":
            keys = keys[:-1] or [""]
        elif token == ",":
            keys[-1] = ""
        if token.isspace() or token in "{}[],:":
            yield token
        elif keys[-1] == "" and _is_key(tokens, index):
            keys[-1] = _json_string(token)
            yield token
        else:
            yield _masked_scalar(keys, token)


def _is_key(tokens: list[str], index: int) -> bool:
    after = next((token for token in tokens[index + 1 : index + 3] if not token.isspace()), "")
    return tokens[index].startswith('"') and after == ":"


def _masked_scalar(keys: list[str], token: str) -> str:
    value = _json_string(token)
    name = next((key for key in reversed(keys) if _plain_name(key) in _SECRETS | _CARDS), "")
    if not name and keys[-1] == "number" and any(_plain_name(key) in _CARD_LISTS for key in keys):
        name = "cardnumber"
    masked = _masked_by(name, value)
    return token if masked == value else json.dumps(masked, ensure_ascii=False)


def _json_string(token: str) -> str:
    if not token.startswith('"'):
        return token
    try:
        return str(json.loads(token, strict=False))
    except ValueError:
        return token.strip('"')
