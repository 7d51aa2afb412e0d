"""Parse XML from strangers: small limits, no entities, no inclusion, nothing ever fetched.

What libxml2 does not refuse by itself, or only after it has spent time and memory on it, is looked
for in the bytes first.
"""

from __future__ import annotations

import codecs
import re
from typing import Final, NamedTuple

from lxml import etree

from portal.errors import InvalidInput

# A start tag of 100,000 attributes takes libxml2 0.1 s, a million elements 0.8 s and 225 MB.
MOST_ATTRIBUTES: Final = 1_000
MOST_TAGS: Final = 400_000

_ENCODING: Final = re.compile(
    r"""<\?xml\s[^<>]{0,200}?encoding\s*=\s*["']([A-Za-z0-9._:-]{1,40})["'][^<>]{0,200}?\?>"""
)
_PROLOG: Final = re.compile(rb"(?:[ \t\r\n]++|<\?.*?\?>|<!--.*?-->)*+", re.DOTALL)
_LITERAL: Final = rb"""(?:"[^"<>]*+"|'[^'<>]*+')"""
_BARE_DOCTYPE: Final = re.compile(
    rb"<!DOCTYPE\s+[^\s<>\[\]\"']+\s+(?:SYSTEM|PUBLIC\s+" + _LITERAL + rb")\s+" + _LITERAL + rb"\s*>"
)
_CROWDED_TAG: Final = re.compile(
    rb"""<[^<>"'=]++(?:=[ \t\r\n]*+(?:"[^"<]*+"|'[^'<]*+')[^<>"'=]*+){%d}""" % (MOST_ATTRIBUTES + 1)
)
# How libxml2's messages begin when one of its own limits was hit; lxml hands out no code for it.
_LIMITS: Final = ("Excessive depth", "Resource limit", "Name too long")
_INCLUSION: Final = "{http://www.w3.org/2001/XInclude}*"

_BYTE_ORDER_MARKS: Final = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_UTF16: Final = frozenset({"utf-16", "utf-16-le", "utf-16-be"})
_ONE_BYTE: Final = frozenset(
    {f"iso8859-{part}" for part in range(1, 17)} | {f"cp125{page}" for page in range(9)}
)


class ParsedXml(NamedTuple):
    """A parsed document: its root, and whether it names an external DTD (which was not fetched)."""

    root: etree._Element
    external_doctype: bool


def parse_xml(body: bytes, *, max_bytes: int) -> ParsedXml:
    """Parse a document that nobody has checked yet.

    Raises InvalidInput with code `document-too-large`, `document-encoding` (bytes that are not what
    they are declared to be), `document-unsafe` (entities, internal DTD, XInclude, beyond the limits
    of depth, attributes, tags or text) or `document-not-xml`.
    """
    if len(body) > max_bytes:
        raise too_large(max_bytes)
    text = decoded(body).encode()
    has_doctype = _refuse_internal_dtd(text)
    if text.count(b"<") > MOST_TAGS:
        raise _unsafe(f"The document has more than {MOST_TAGS:,} tags.")
    if text.count(b"=") > MOST_ATTRIBUTES and _CROWDED_TAG.search(text):
        raise _unsafe(f"An element of the document has more than {MOST_ATTRIBUTES:,} attributes.")
    root = _parsed(text)
    if next(root.iter(_INCLUSION), None) is not None:
        raise _unsafe("The document asks to include others (XInclude), which is not accepted.")
    return ParsedXml(root, has_doctype)


def too_large(max_bytes: int) -> InvalidInput:
    """Describe a body over the limit."""
    return InvalidInput(f"The document is larger than {max_bytes:,} bytes.", code="document-too-large")


def decoded(body: bytes) -> str:
    """Decode a document by its byte order mark and its declaration, which must tell the truth.

    Raises InvalidInput, code `document-encoding`.
    """
    mark, encoding = next(((m, e) for m, e in _BYTE_ORDER_MARKS if body.startswith(m)), (b"", ""))
    body = body[len(mark) :]
    if body.startswith((b"<\0", b"\0<")):
        encoding = encoding or ("utf-16-le" if body.startswith(b"<\0") else "utf-16-be")
    if encoding == "utf-32":
        raise _bad_encoding("The document is in UTF-32, which is not accepted.")
    declared = _declared_encoding(body[:1000].decode(encoding or "latin-1", "ignore"))
    encoding = _agreed_encoding(encoding, declared)
    try:
        text = body.decode(encoding)
    except UnicodeDecodeError as refused:
        raise _bad_encoding(
            f"Byte {refused.start:,} of the document is not valid {encoding.upper()}."
        ) from None
    if encoding in _ONE_BYTE and not body.isascii() and _is_utf8(body):
        raise _bad_encoding(f"The document declares {declared}, but its bytes are UTF-8.")
    if "\0" in text:
        raise _bad_encoding("The document has NUL characters.")
    return text


def _declared_encoding(start: str) -> str:
    match = _ENCODING.match(start)
    return match[1] if match else ""


def _agreed_encoding(seen: str, declared: str) -> str:
    """Return the codec that both the bytes (`seen`, empty if they do not tell) and the declaration name."""
    try:
        named = codecs.lookup(declared).name if declared else seen or "utf-8"
    except LookupError:
        named = ""
    if named in _UTF16 and seen in _UTF16 and named in ("utf-16", seen):
        return seen
    if named in ("utf-8", "ascii") and seen in ("", "utf-8"):
        return named
    if named in _ONE_BYTE and not seen:
        return named
    if seen or named in _UTF16:
        actual = seen.upper() if seen else "not"
        raise _bad_encoding(f"The document declares {declared}, but its bytes are {actual}.")
    raise _bad_encoding(f"The document declares the encoding {declared}, which is not accepted.")


def _is_utf8(body: bytes) -> bool:
    try:
        body.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _refuse_internal_dtd(text: bytes) -> bool:
    """Tell whether the document has a bare external DOCTYPE; refuse any other."""
    if b"<!DOCTYPE" not in text:
        return False
    prolog = _PROLOG.match(text)
    start = prolog.end() if prolog else 0
    if not text.startswith(b"<!DOCTYPE", start):
        return False
    if not _BARE_DOCTYPE.match(text, start):
        raise _unsafe("The document has a DOCTYPE with declarations of its own, which is not accepted.")
    return True


def _parsed(text: bytes) -> etree._Element:
    # collect_ids=False would be faster, but makes libxml2 load the external DTD, load_dtd=False or not.
    parser = etree.XMLParser(
        encoding="utf-8", resolve_entities=False, load_dtd=False, no_network=True, huge_tree=False
    )
    try:
        return etree.fromstring(text, parser)
    except etree.XMLSyntaxError as refused:
        message = (
            (refused.msg or "it is empty").partition(", use XML_PARSE")[0].partition(", try XML_PARSE")[0]
        )
        if message.startswith(_LIMITS):
            raise _unsafe(f"The document is beyond what is accepted: {message}.") from None
        raise not_xml(f"The document is not well-formed XML: {message}.") from None


def not_xml(reason: str) -> InvalidInput:
    """Describe a body that is no well-formed XML."""
    return InvalidInput(reason, code="document-not-xml")


def _unsafe(reason: str) -> InvalidInput:
    return InvalidInput(reason, code="document-unsafe")


def _bad_encoding(reason: str) -> InvalidInput:
    return InvalidInput(reason, code="document-encoding")
