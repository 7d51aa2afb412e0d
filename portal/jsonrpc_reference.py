"""What a method takes and gives, as rows for people to read, made from its models."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from portal.jsonrpc import Method

_WORDS = {
    "string": "text",
    "integer": "integer",
    "number": "number",
    "boolean": "true or false",
    "null": "null",
}


@dataclass(frozen=True, slots=True)
class Row:
    """One field: `path` such as `conditions[].data`."""

    path: str
    type: str
    required: bool
    description: str


@dataclass(frozen=True, slots=True)
class Entry:
    """A method with its parameters, its result, and an example of both as JSON."""

    name: str
    summary: str
    administrates: bool
    params: tuple[Row, ...]
    result_type: str
    result: tuple[Row, ...]
    request: str
    answer: str


def describe(method: Method) -> Entry:
    """Describe a method."""
    params = method.params.model_json_schema()
    result = method.result.json_schema(mode="serialization")
    call = {"jsonrpc": "2.0", "method": method.name, "params": method.example.params, "id": 1}
    answer = {"jsonrpc": "2.0", "result": method.example.result, "id": 1}
    return Entry(
        name=method.name,
        summary=" ".join(method.summary.split()),
        administrates=method.administrates,
        params=tuple(_rows(params, params.get("$defs", {}))),
        result_type=_type(result, result.get("$defs", {})),
        result=tuple(_rows(result, result.get("$defs", {}))),
        request=json.dumps(call, indent=2, ensure_ascii=False),
        answer=json.dumps(answer, indent=2, ensure_ascii=False),
    )


def _rows(schema: Mapping[str, Any], known: Mapping[str, Any], before: str = "") -> Iterator[Row]:
    required = schema.get("required", ())
    for name, field in schema.get("properties", {}).items():
        path = before + name
        yield Row(path, _type(field, known), name in required, field.get("description", ""))
        for kind in _alternatives(field, known):
            if kind.get("type") == "array":
                for item in _alternatives(kind.get("items", {}), known):
                    yield from _rows(item, known, f"{path}[].")
            else:
                yield from _rows(kind, known, f"{path}.")


def _alternatives(field: Mapping[str, Any], known: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the schemas of which one holds, without references."""
    if "anyOf" in field:
        return [one for kind in field["anyOf"] for one in _alternatives(kind, known)]
    if "$ref" in field:
        return [known.get(field["$ref"].rpartition("/")[2], {})]
    return [field]


def _type(field: Mapping[str, Any], known: Mapping[str, Any]) -> str:
    words = dict.fromkeys(_word(kind, known) for kind in _alternatives(field, known))
    return " or ".join(words)


def _word(kind: Mapping[str, Any], known: Mapping[str, Any]) -> str:
    if "enum" in kind:
        return " or ".join(str(value) for value in kind["enum"])
    if kind.get("format") == "date-time":
        return "time"
    if kind.get("type") == "array":
        return f"list of {_type(kind.get('items', {}), known)}"
    return _WORDS.get(kind.get("type", ""), "object" if kind.get("type") == "object" else "any")
