"""Where a value stands in an XML document, as a format file says it.

A source is written as

- `"path"`: an XPath that leads to one element or attribute;
- `["path", {…}]`: alternatives, the first that has a value wins;
- `{ first = …, case = "upper" }`: the same, in capital letters;
- `{ join = "path" or […], with = ", " }`: every value that is there, joined;
- `{ sum = "path" }`: the sum of amounts;
- `{ date = "path", time = "path", zone = "Z" }`: a time, `zone` if the document names none; without
  `zone`, a day.

Paths start at the part that the source belongs to; `$item` is the item of a list.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final, Protocol

from lxml import etree

from portal.orders.values import read_amount

_LINE_BREAK: Final = re.compile(r"[ \t]*[\r\n]\s*")
_DATE: Final = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2})(Z|[+-][0-9]{2}:[0-9]{2})?")
_ZONE_AT_END: Final = re.compile(r"(?:Z|[+-][0-9]{2}:[0-9]{2})$")


class Refused(Exception):
    """Say why a value that is there cannot be read."""


class Source(Protocol):
    """A way to one value: `path` describes it for a person, `read` returns it or None."""

    @property
    def path(self) -> str: ...

    def read(self, node: etree._Element) -> str | None: ...


class Path:
    """An XPath, compiled once; `nodes` and `texts` return all that it leads to."""

    def __init__(self, path: str, namespaces: Mapping[str, str]) -> None:
        self.path = " ".join(path.split())
        self._find = etree.XPath(path, namespaces=dict(namespaces), smart_strings=False)
        self._names_item = "$item" in path

    def nodes(self, node: etree._Element) -> list[Any]:
        found = self._find(node, item=[node]) if self._names_item else self._find(node)
        return found if isinstance(found, list) else [found]

    def texts(self, node: etree._Element) -> list[str]:
        return [text for text in map(_text, self.nodes(node)) if text]

    def read(self, node: etree._Element) -> str | None:
        """Return the one value; Refused if there are several that differ."""
        nodes = self.nodes(node)
        if not nodes:
            return None
        if len(nodes) == 1:
            return _one_line(_text(nodes[0])) or None
        values = {_one_line(text) for text in map(_text, nodes) if text}
        if len(values) > 1:
            raise Refused(f"stands {len(nodes)} times in the document with different values.")
        return values.pop() if values else None


def _text(node: etree._Element | str) -> str:
    if isinstance(node, str):
        return node.strip()
    # .text ends at the first comment: 10<!-- -->00 would be read as 10.
    if len(node):
        raise Refused(
            "has a comment, an instruction or an element inside its value, which must be text only."
        )
    return (node.text or "").strip()


def _one_line(text: str) -> str:
    return _LINE_BREAK.sub(" ", text) if "\n" in text or "\r" in text else text


@dataclass(frozen=True, slots=True)
class _First:
    sources: Sequence[Source]
    upper: bool = False

    @property
    def path(self) -> str:
        return " or ".join(source.path for source in self.sources)

    def read(self, node: etree._Element) -> str | None:
        for source in self.sources:
            if value := source.read(node):
                return value.upper() if self.upper else value
        return None


@dataclass(frozen=True, slots=True)
class _Join:
    paths: Sequence[Path]
    separator: str

    @property
    def path(self) -> str:
        return " and ".join(path.path for path in self.paths)

    def read(self, node: etree._Element) -> str | None:
        texts = [text for path in self.paths for text in path.texts(node)]
        return self.separator.join(texts) or None


@dataclass(frozen=True, slots=True)
class _Sum:
    amounts: Path

    @property
    def path(self) -> str:
        return self.amounts.path

    def read(self, node: etree._Element) -> str | None:
        texts = self.amounts.texts(node)
        if len(texts) < 2:
            return texts[0] if texts else None
        try:
            return str(sum(map(read_amount, texts), Decimal(0)))
        except ValueError as refused:
            raise Refused(f"cannot be added up: {refused}") from None


@dataclass(frozen=True, slots=True)
class _Day:
    day: Path

    @property
    def path(self) -> str:
        return self.day.path

    def read(self, node: etree._Element) -> str | None:
        text = self.day.read(node)
        match = _DATE.fullmatch(text) if text else None
        return match[1] if match else text


@dataclass(frozen=True, slots=True)
class _Moment:
    day: Path
    time: Path
    zone: str

    @property
    def path(self) -> str:
        return f"{self.day.path} and {self.time.path}"

    def read(self, node: etree._Element) -> str | None:
        text, time = self.day.read(node), self.time.read(node) or "00:00:00"
        match = _DATE.fullmatch(text) if text else None
        if match is None:
            return text
        return f"{match[1]}T{time}" + ("" if _ZONE_AT_END.search(time) else match[2] or self.zone)


def source(spec: object, namespaces: Mapping[str, str]) -> Source:
    """Compile what a format file says about one field.

    Raises ValueError if it is not one of the forms above, and lxml's XPathSyntaxError for a bad path.
    """
    match spec:
        case str():
            return Path(spec, namespaces)
        case list():
            return _First([source(alternative, namespaces) for alternative in spec])
        case {"first": first, "case": "upper", **rest} if not rest:
            alternatives = first if isinstance(first, list) else [first]
            return _First([source(alternative, namespaces) for alternative in alternatives], upper=True)
        case {"join": join, "with": str(separator), **rest} if not rest:
            paths = join if isinstance(join, list) else [join]
            return _Join([Path(path, namespaces) for path in paths], separator)
        case {"sum": str(amounts), **rest} if not rest:
            return _Sum(Path(amounts, namespaces))
        case {"date": str(day), "time": str(time), "zone": str(zone), **rest} if not rest:
            return _Moment(Path(day, namespaces), Path(time, namespaces), zone)
        case {"date": str(day), **rest} if not rest:
            return _Day(Path(day, namespaces))
    raise ValueError(f"{spec!r} does not say where a value stands")
