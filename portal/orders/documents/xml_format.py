"""Formats of XML documents: a file says where each field of the canonical order stands."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from lxml import etree

from portal.errors import FieldError, InvalidInput
from portal.orders.canonical import MOST_ERRORS, Order, parse_order
from portal.orders.documents.sources import Path, Refused, Source, source
from portal.orders.values import shown

_INDEX: Final = re.compile(r"\[\d+\]")
_SOURCE_KEYS: Final = frozenset({"first", "join", "sum", "date"})


@dataclass(frozen=True, slots=True)
class Part:
    """An object of the canonical order: `at` leads to its place (the first that exists), if it has one."""

    at: tuple[Path, ...]
    fields: tuple[tuple[str, Source], ...]
    parts: tuple[tuple[str, Part], ...]
    lists: tuple[tuple[str, ListOf], ...]

    def read(self, node: etree._Element, name: str, errors: list[FieldError]) -> dict[str, Any]:
        """Read all fields below `node`; those that cannot be read go to `errors`."""
        place = self._place(node)
        if place is None:
            return {}
        content: dict[str, Any] = {}
        for key, value_source in self.fields:
            try:
                value = value_source.read(place)
            except Refused as refused:
                errors.append(FieldError(f"{name}{key}", f"{name}{key} {refused}"))
                continue
            if value:
                content[key] = value
        for key, part in self.parts:
            if inner := part.read(place, f"{name}{key}.", errors):
                content[key] = inner
        for key, items in self.lists:
            if found := items.read(place, f"{name}{key}", errors):
                content[key] = found
        return content

    def _place(self, node: etree._Element) -> etree._Element | None:
        if not self.at:
            return node
        for path in self.at:
            if nodes := path.nodes(node):
                place: etree._Element = nodes[0]
                return place
        return None


@dataclass(frozen=True, slots=True)
class ListOf:
    """A list of the canonical order: `each` leads to its items, in the order of the document."""

    each: Path
    item: Part

    def read(self, node: etree._Element, name: str, errors: list[FieldError]) -> list[dict[str, Any]]:
        return [
            self.item.read(item, f"{name}[{index}].", errors)
            for index, item in enumerate(self.each.nodes(node))
        ]


@dataclass(frozen=True)
class XmlFormat:
    """One format of XML documents, compiled.

    `root` is the root element in Clark notation, `paths` says for each field (`lines[].amount`) where
    it stands, `agree` leads to all the values that must equal a field of the order.
    """

    name: str
    title: str
    root: str
    external_doctype: bool
    order: Part
    agree: tuple[tuple[str, Path], ...] = ()
    paths: Mapping[str, str] = field(default_factory=dict)

    def read(self, root: etree._Element) -> Order:
        """Read the document into an order.

        Raises InvalidInput, code `order-invalid`, with every refused field and where it stands.
        """
        errors: list[FieldError] = []
        content = self.order.read(root, "", errors)
        errors += self._disagreements(root, content)
        try:
            order = parse_order(content)
        except InvalidInput as refused:
            known = {error.field for error in errors}
            errors += [error for error in refused.errors if error.field not in known]
        else:
            if not errors:
                return order
        raise InvalidInput.of([self._placed(error) for error in errors[:MOST_ERRORS]], code="order-invalid")

    def _disagreements(self, root: etree._Element, content: Mapping[str, Any]) -> list[FieldError]:
        return [
            FieldError(
                name, f"{name} is {content[name]}, but the document also has values in {shown(other)}."
            )
            for name, path in self.agree
            if name in content
            for other in sorted(set(path.texts(root)) - {content[name]})
        ]

    def _placed(self, error: FieldError) -> FieldError:
        path = self.paths.get(_INDEX.sub("[]", error.field))
        return FieldError(error.field, f"{error.reason} It is read from {path}.") if path else error


def xml_format(spec: Mapping[str, Any]) -> XmlFormat:
    """Compile a format file.

    Raises ValueError, KeyError or lxml's XPathSyntaxError for a file that is not one.
    """
    namespaces: dict[str, str] = spec["namespaces"]
    doctype = spec.get("doctype", "refused")
    if doctype not in ("refused", "external-only"):
        raise ValueError(f"doctype is {doctype!r}; it can be refused or external-only")
    paths: dict[str, str] = {}
    recognise = spec["recognise"]
    namespace = recognise.get("namespace")
    return XmlFormat(
        name=spec["name"],
        title=spec["title"],
        root=f"{{{namespace}}}{recognise['root']}" if namespace else recognise["root"],
        external_doctype=doctype == "external-only",
        order=_part(spec["order"], namespaces, "", "", paths),
        agree=tuple((name, Path(path, namespaces)) for name, path in spec.get("agree", {}).items()),
        paths=paths,
    )


def _part(
    spec: Mapping[str, Any], namespaces: Mapping[str, str], name: str, above: str, paths: dict[str, str]
) -> Part:
    """Compile one object of the order called `name`, and note in `paths` where its fields stand."""
    spec = dict(spec)
    places = spec.pop("at", [])
    at = tuple(Path(path, namespaces) for path in ([places] if isinstance(places, str) else places))
    if at:
        above += f"{' or '.join(path.path for path in at)}: "
    fields: list[tuple[str, Source]] = []
    parts: list[tuple[str, Part]] = []
    lists: list[tuple[str, ListOf]] = []
    for key, inner in spec.items():
        if isinstance(inner, dict) and "each" in inner:
            each = Path(inner["each"], namespaces)
            item = {inner_key: value for inner_key, value in inner.items() if inner_key != "each"}
            paths[f"{name}{key}"] = above + each.path
            lists.append(
                (
                    key,
                    ListOf(each, _part(item, namespaces, f"{name}{key}[].", f"{above}{each.path}: ", paths)),
                )
            )
        elif isinstance(inner, dict) and not _SOURCE_KEYS & inner.keys():
            parts.append((key, _part(inner, namespaces, f"{name}{key}.", above, paths)))
        else:
            compiled = source(inner, namespaces)
            paths[f"{name}{key}"] = above + compiled.path
            fields.append((key, compiled))
    return Part(at, tuple(fields), tuple(parts), tuple(lists))
