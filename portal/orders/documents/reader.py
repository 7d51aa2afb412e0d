"""Recognise the format of an incoming document and read it into the canonical order."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from lxml import etree

from portal.errors import InvalidInput
from portal.orders.canonical import Order, content_hash, parse_order
from portal.orders.documents.strict_json import parse_json
from portal.orders.documents.xml import not_xml, parse_xml, too_large
from portal.orders.documents.xml_format import XmlFormat, xml_format
from portal.orders.values import shown

MAX_DOCUMENT_BYTES: Final = 10_000_000

_FORMATS: Final = Path(__file__).parent / "formats"
_BLANK: Final = b" \t\r\n"
_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class JsonFormat:
    """The canonical order itself, in JSON."""

    name: str
    title: str

    def read(self, content: object) -> Order:
        """Validate the parsed JSON; raises InvalidInput, code `order-invalid`, with every refused field."""
        return parse_order(content)


@dataclass(frozen=True, slots=True)
class Formats:
    """All formats that are known: those of XML by root element in Clark notation, and that of JSON."""

    xml: Mapping[str, XmlFormat]
    json: JsonFormat | None

    @property
    def titles(self) -> list[str]:
        """Name the formats for a person."""
        return [known.title for known in self.xml.values()] + ([self.json.title] if self.json else [])


class ReadDocument(NamedTuple):
    """What became of a document; `content_hash` is that of its canonical JSON."""

    order: Order
    format_name: str
    content_hash: str


def load_formats(folder: Path = _FORMATS) -> Formats:
    """Load and compile every format file of a folder, once, when a process starts.

    Raises ValueError that names the file if one cannot be used.
    """
    xml: dict[str, XmlFormat] = {}
    json: JsonFormat | None = None
    for file in sorted(folder.glob("*.toml")):
        try:
            spec = tomllib.loads(file.read_text("utf-8"))
            if spec["kind"] == "json":
                json = JsonFormat(spec["name"], spec["title"])
                continue
            loaded = xml_format(spec)
        except (KeyError, ValueError, etree.XPathError) as cause:
            raise ValueError(f"The format file {file.name} cannot be used: {cause!r}") from cause
        if other := xml.get(loaded.root):
            raise ValueError(f"The format files {other.name} and {loaded.name} both recognise {loaded.root}")
        xml[loaded.root] = loaded
    return Formats(xml, json)


def read_document(body: bytes, formats: Formats, *, max_bytes: int = MAX_DOCUMENT_BYTES) -> ReadDocument:
    """Read a document that nobody has checked yet.

    Raises InvalidInput, and nothing else, with code `document-too-large`, `document-encoding`,
    `document-unsafe`, `document-not-xml`, `document-not-json`, `document-unknown-format` or
    `order-invalid`; the last with `errors`, one for each refused field of the canonical order.
    """
    if len(body) > max_bytes:
        raise too_large(max_bytes)
    if body.removeprefix(_BYTE_ORDER_MARK).lstrip(_BLANK).startswith((b"{", b"[")):
        order, name = _read_json(body, formats)
    else:
        order, name = _read_xml(body, formats, max_bytes)
    return ReadDocument(order, name, content_hash(order))


def _read_json(body: bytes, formats: Formats) -> tuple[Order, str]:
    content = parse_json(body)
    if formats.json is None or not isinstance(content, dict):
        raise _unknown("The document is JSON, but not one order as an object.", formats)
    return formats.json.read(content), formats.json.name


def _read_xml(body: bytes, formats: Formats, max_bytes: int) -> tuple[Order, str]:
    if b"<" not in body[:1000]:
        raise not_xml("The document is neither XML nor a JSON object.")
    document = parse_xml(body, max_bytes=max_bytes)
    known = formats.xml.get(document.root.tag)
    if known is None:
        name = etree.QName(document.root)
        place = (
            f" of the namespace {shown(name.namespace, 200)}" if name.namespace else " without a namespace"
        )
        raise _unknown(f"No format is known for the root element {shown(name.localname)}{place}.", formats)
    if document.external_doctype and not known.external_doctype:
        raise InvalidInput(
            f"The document has a DOCTYPE, which is not accepted in a {known.title}.", code="document-unsafe"
        )
    return known.read(document.root), known.name


def _unknown(reason: str, formats: Formats) -> InvalidInput:
    return InvalidInput(f"{reason} Known are: {', '.join(formats.titles)}.", code="document-unknown-format")
