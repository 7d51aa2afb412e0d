"""JSON-RPC 2.0 without any transport: requests in, answers out. https://www.jsonrpc.org/specification

A module of methods has a function `methods()` that gives `Method`s, and is listed in
`portal/referrals/rpc.py`; parameters and results are models, from which the page of methods is made.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any, NoReturn

from pydantic import BaseModel, BeforeValidator, ConfigDict, TypeAdapter, ValidationError

from portal.errors import FieldError, InvalidInput
from portal.events import Actor
from portal.runtime import Runtime

MOST_CALLS = 100
PARSE_ERROR = -32700
INVALID_REQUEST = -32600
METHOD_NOT_FOUND = -32601
INVALID_PARAMS = -32602
INTERNAL_ERROR = -32603
_MESSAGES = {
    PARSE_ERROR: "Parse error",
    INVALID_REQUEST: "Invalid Request",
    METHOD_NOT_FOUND: "Method not found",
    INVALID_PARAMS: "Invalid params",
    INTERNAL_ERROR: "Internal error",
}


class RpcError(Exception):
    """Say that a call failed: a code of the specification, or one from -32099 to -32000 of our own."""

    def __init__(self, code: int, message: str | None = None, data: Any = None) -> None:
        super().__init__(code, message, data)
        self.code = code
        self.message = message or _MESSAGES[code]
        self.data = data


class Params(BaseModel):
    """The parameters of a method, by name or in the order of the fields: nothing is guessed or ignored."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Result(BaseModel):
    """The result of a method."""

    model_config = ConfigDict(frozen=True)


class NoParams(Params):
    """The parameters of a method that takes none."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Whom a method works for, and what with."""

    runtime: Runtime
    actor: Actor
    may_administer: bool


@dataclass(frozen=True, slots=True)
class Example:
    """A call as the page of methods shows it; `result` is what would come back."""

    params: dict[str, Any]
    result: Any


class Method:
    """A method: its docstring is that of `handle`, which gets the caller and the parameters.

    `handle` returns a `result`, or its JSON as bytes where that is kept. It may raise the errors of
    portal/errors.py. With `administrates` only clients that may administer can call it.
    """

    def __init__(
        self,
        name: str,
        params: type[Params],
        result: Any,
        handle: Callable[[Caller, Any], Any],
        example: Example,
        *,
        administrates: bool = False,
    ) -> None:
        self.name = name
        self.params = params
        self.result: TypeAdapter[Any] = TypeAdapter(result)
        self.handle = handle
        self.example = example
        self.administrates = administrates
        self._fields = tuple(params.model_fields)

    @property
    def summary(self) -> str:
        """Return what the method does, in a sentence or more."""
        return (self.handle.__doc__ or "").strip()

    def call(self, caller: Caller, given: list[Any] | dict[str, Any] | None) -> bytes:
        """Call the method and return its result as JSON; raises RpcError for other parameters."""
        result = self.handle(caller, self.bind(given))
        return result if type(result) is bytes else self.result.dump_json(result)

    def bind(self, given: list[Any] | dict[str, Any] | None) -> Params:
        """Return the parameters that were given by position or by name; raises RpcError."""
        if type(given) is list:
            if len(given) > len(self._fields):
                raise invalid_params([FieldError("params", f"There are at most {len(self._fields)}.")])
            given = dict(zip(self._fields, given, strict=False))
        try:
            return self.params.model_validate(given or {})
        except ValidationError as error:
            raise invalid_params(list(_field_errors(error))) from None


class Methods:
    """The methods of an endpoint, found without regard to case."""

    def __init__(self, methods: Iterable[Method]) -> None:
        self._by_name: dict[str, Method] = {}
        for method in methods:
            key = method.name.lower()
            if key in self._by_name or key.startswith("rpc."):
                raise ValueError(f"There cannot be another method {method.name}.")
            self._by_name[key] = method

    def __iter__(self) -> Iterator[Method]:
        return iter(sorted(self._by_name.values(), key=lambda method: method.name))

    def find(self, name: str) -> Method:
        """Return a method; raises RpcError when there is none of that name."""
        method = self._by_name.get(name) or self._by_name.get(name.lower())
        if method is None:
            raise RpcError(METHOD_NOT_FOUND)
        return method


class GivenNumber(float):
    """A number with a fraction or an exponent, and the text that it was given as."""

    __slots__ = ("text",)
    text: str

    def __new__(cls, text: str) -> "GivenNumber":
        number = super().__new__(cls, text)
        number.text = text
        return number


def _exactly(value: object) -> object:
    """Return the amount that was written, not the binary number next to it."""
    if isinstance(value, GivenNumber):
        return Decimal(value.text)
    if isinstance(value, str):
        return _decimal(value)
    return Decimal(value) if type(value) is int else value


def _decimal(text: str) -> Decimal:
    plain = text.replace(".", "", 1).removeprefix("-")
    if not (plain.isascii() and plain.isdigit()):
        raise ValueError("An amount is written in digits, such as 10.00.")
    return Decimal(text)


# An amount of money: a number, or better a text such as "10.00"; a text in results.
Amount = Annotated[Decimal, BeforeValidator(_exactly)]


def invalid_params(errors: Iterable[FieldError]) -> RpcError:
    """Return the error that names each parameter that was refused, and why."""
    told = [{"field": error.field, "reason": error.reason} for error in errors]
    return RpcError(INVALID_PARAMS, data={"errors": told} if told else None)


def answer(body: bytes, call: Callable[[str, list[Any] | dict[str, Any] | None], bytes]) -> bytes | None:
    """Answer one request or a batch; None when nothing is to be answered.

    `call` gets the name of a method and its parameters, and returns the result as JSON or raises RpcError.
    """
    try:
        given = _DECODER.decode(body.decode())
        if b"\\u" in body:
            _refuse_halves(given)
    except (ValueError, RecursionError):
        return _failure(RpcError(PARSE_ERROR), None)
    if type(given) is not list:
        return _answer_one(given, call)
    if not 1 <= len(given) <= MOST_CALLS:
        return _failure(RpcError(INVALID_REQUEST), None)
    answers = [told for one in given if (told := _answer_one(one, call)) is not None]
    return b"[" + b",".join(answers) + b"]" if answers else None


def _answer_one(
    request: Any, call: Callable[[str, list[Any] | dict[str, Any] | None], bytes]
) -> bytes | None:
    if type(request) is not dict:
        return _failure(RpcError(INVALID_REQUEST), None)
    request_id = request.get("id")
    if type(request_id) not in _KINDS_OF_ID:
        return _failure(RpcError(INVALID_REQUEST), None)
    name, params = request.get("method"), request.get("params")
    odd_params = "params" in request and type(params) not in (dict, list)
    if request.get("jsonrpc") != "2.0" or type(name) is not str or odd_params:
        return _failure(RpcError(INVALID_REQUEST), request_id)
    try:
        result = call(name, params)
    except RpcError as error:
        return _failure(error, request_id) if "id" in request else None
    if "id" not in request:
        return None
    return b'{"jsonrpc":"2.0","result":%b,"id":%b}' % (result, _encode_id(request_id))


def _failure(error: RpcError, request_id: Any) -> bytes:
    told = {"code": error.code, "message": error.message}
    if error.data is not None:
        told["data"] = error.data
    return b'{"jsonrpc":"2.0","error":%b,"id":%b}' % (json.dumps(told).encode(), _encode_id(request_id))


def _encode_id(request_id: str | int | GivenNumber | None) -> bytes:
    if type(request_id) is GivenNumber:
        return request_id.text.encode()
    return json.dumps(request_id).encode()


def _field_errors(error: ValidationError) -> Iterator[FieldError]:
    for one in error.errors(include_url=False, include_context=False, include_input=False):
        path = ""
        for part in one["loc"]:
            path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else str(part)
        yield FieldError(path or "params", one["msg"].removeprefix("Value error, "))


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("A name comes twice in an object.")
    return found


def _refuse_halves(given: Any) -> None:
    """Refuse half of a surrogate pair (RFC 7493, section 2.1): no database keeps it."""
    json.dumps(given, ensure_ascii=False).encode()


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON.")


_KINDS_OF_ID = frozenset({str, int, GivenNumber, type(None)})
_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_float=GivenNumber, parse_constant=_refuse)


def of_invalid_input(error: InvalidInput) -> RpcError:
    """Return the error of parameters that the method itself refused."""
    return invalid_params(error.errors or [FieldError("params", error.reason)])
