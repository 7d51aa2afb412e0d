"""JSON-RPC 2.0 as its specification has it: its own examples first, each answer compared whole."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any

import pytest
from pydantic import Field

from portal import jsonrpc
from portal.errors import InvalidInput
from portal.events import Actor
from portal.jsonrpc import (
    Amount,
    Caller,
    Example,
    Method,
    Methods,
    NoParams,
    Params,
    Result,
    RpcError,
    answer,
    of_invalid_input,
)

Given = list[Any] | dict[str, Any] | None
NO_CALLER = Caller(None, Actor("client", "shop"), may_administer=False)  # type: ignore[arg-type]


def call_of_the_specification(name: str, params: Given) -> bytes:
    """Stand for the server of the specification's examples, which says no more than their names do."""
    known: dict[str, Callable[..., Any]] = {
        "subtract": lambda minuend, subtrahend: minuend - subtrahend,
        "sum": lambda *numbers: sum(numbers),
        "get_data": lambda: ["hello", 5],
        "update": lambda *_: None,
        "notify_hello": lambda *_: None,
        "notify_sum": lambda *_: None,
    }
    if name not in known:
        raise RpcError(jsonrpc.METHOD_NOT_FOUND)
    result = known[name](**params) if isinstance(params, dict) else known[name](*(params or []))
    return json.dumps(result).encode()


# https://www.jsonrpc.org/specification, section 7, in its order and its words.
EXAMPLES = [
    (
        '{"jsonrpc": "2.0", "method": "subtract", "params": [42, 23], "id": 1}',
        '{"jsonrpc": "2.0", "result": 19, "id": 1}',
    ),
    (
        '{"jsonrpc": "2.0", "method": "subtract", "params": [23, 42], "id": 2}',
        '{"jsonrpc": "2.0", "result": -19, "id": 2}',
    ),
    (
        '{"jsonrpc": "2.0", "method": "subtract", "params": {"subtrahend": 23, "minuend": 42}, "id": 3}',
        '{"jsonrpc": "2.0", "result": 19, "id": 3}',
    ),
    (
        '{"jsonrpc": "2.0", "method": "subtract", "params": {"minuend": 42, "subtrahend": 23}, "id": 4}',
        '{"jsonrpc": "2.0", "result": 19, "id": 4}',
    ),
    ('{"jsonrpc": "2.0", "method": "update", "params": [1,2,3,4,5]}', None),
    ('{"jsonrpc": "2.0", "method": "foobar"}', None),
    (
        '{"jsonrpc": "2.0", "method": "foobar", "id": "1"}',
        '{"jsonrpc": "2.0", "error": {"code": -32601, "message": "Method not found"}, "id": "1"}',
    ),
    (
        '{"jsonrpc": "2.0", "method": "foobar, "params": "bar", "baz]',
        '{"jsonrpc": "2.0", "error": {"code": -32700, "message": "Parse error"}, "id": null}',
    ),
    (
        '{"jsonrpc": "2.0", "method": 1, "params": "bar"}',
        '{"jsonrpc": "2.0", "error": {"code": -32600, "message": "Invalid Request"}, "id": null}',
    ),
    (
        """[
  {"jsonrpc": "2.0", "method": "sum", "params": [1,2,4], "id": "1"},
  {"jsonrpc": "2.0", "method"
]""",
        '{"jsonrpc": "2.0", "error": {"code": -32700, "message": "Parse error"}, "id": null}',
    ),
    (
        "[]",
        '{"jsonrpc": "2.0", "error": {"code": -32600, "message": "Invalid Request"}, "id": null}',
    ),
    (
        "[1]",
        """[
  {"jsonrpc": "2.0", "error": {"code": -32600, "message": "Invalid Request"}, "id": null}
]""",
    ),
    (
        "[1,2,3]",
        """[
  {"jsonrpc": "2.0", "error": {"code": -32600, "message": "Invalid Request"}, "id": null},
  {"jsonrpc": "2.0", "error": {"code": -32600, "message": "Invalid Request"}, "id": null},
  {"jsonrpc": "2.0", "error": {"code": -32600, "message": "Invalid Request"}, "id": null}
]""",
    ),
    (
        """[
        {"jsonrpc": "2.0", "method": "sum", "params": [1,2,4], "id": "1"},
        {"jsonrpc": "2.0", "method": "notify_hello", "params": [7]},
        {"jsonrpc": "2.0", "method": "subtract", "params": [42,23], "id": "2"},
        {"foo": "boo"},
        {"jsonrpc": "2.0", "method": "foo.get", "params": {"name": "myself"}, "id": "5"},
        {"jsonrpc": "2.0", "method": "get_data", "id": "9"}
    ]""",
        """[
        {"jsonrpc": "2.0", "result": 7, "id": "1"},
        {"jsonrpc": "2.0", "result": 19, "id": "2"},
        {"jsonrpc": "2.0", "error": {"code": -32600, "message": "Invalid Request"}, "id": null},
        {"jsonrpc": "2.0", "error": {"code": -32601, "message": "Method not found"}, "id": "5"},
        {"jsonrpc": "2.0", "result": ["hello", 5], "id": "9"}
    ]""",
    ),
    (
        """[
        {"jsonrpc": "2.0", "method": "notify_sum", "params": [1,2,4]},
        {"jsonrpc": "2.0", "method": "notify_hello", "params": [7]}
    ]""",
        None,
    ),
]


@pytest.mark.parametrize(("request_text", "expected"), EXAMPLES)
def test_the_examples_of_the_specification_are_answered_as_it_says(
    request_text: str, expected: str | None
) -> None:
    told = answer(request_text.encode(), call_of_the_specification)
    assert (json.loads(told) if told is not None else None) == (json.loads(expected) if expected else None)


def code_of(body: bytes) -> tuple[int, Any]:
    told = json.loads(answer(body, call_of_the_specification) or b"null")
    return told["error"]["code"], told["id"]


NOT_JSON = [
    b"",
    b" ",
    b"{",
    b"nul",
    b"\xff{}",
    b"\xef\xbb\xbf{}",
    '{"jsonrpc": "2.0", "method": "get_data", "id": 1}'.encode("utf-16"),
    b'{"jsonrpc": "2.0", "method": "get_data", "id": 1} x',
    b'{"jsonrpc": "2.0", "method": "sum", "params": [NaN], "id": 1}',
    b'{"jsonrpc": "2.0", "method": "sum", "params": [-Infinity], "id": 1}',
    b'{"jsonrpc": "2.0", "method": "get_data", "id": 1, "id": 2}',
    b'{"jsonrpc": "2.0", "method": "sum", "params": {"a": {"b": 1, "b": 2}}, "id": 1}',
    b'{"jsonrpc": "2.0", "method": "sum", "params": [01], "id": 1}',
    b'{"jsonrpc": "2.0", "method": "a\nb", "id": 1}',
    b'{"jsonrpc": "2.0", "method": "sum", "params": [' + b"9" * 5000 + b'], "id": 1}',
    b'{"jsonrpc": "2.0", "method": "get_data", "id": "\\ud800"}',
    b'{"jsonrpc": "2.0", "method": "sum", "params": {"\\udfff": 1}, "id": 1}',
    b"[" * 200_000,
    b"[" * 200_000 + b"]" * 200_000,
    b'{"a":' * 200_000 + b"1" + b"}" * 200_000,
]


@pytest.mark.parametrize("body", NOT_JSON, ids=lambda body: repr(body[:40]))
def test_what_is_no_json_is_a_parse_error(body: bytes) -> None:
    assert code_of(body) == (-32700, None)


INVALID = [
    ('{"method": "get_data", "id": 1}', 1),
    ('{"jsonrpc": "1.0", "method": "get_data", "id": 1}', 1),
    ('{"jsonrpc": 2.0, "method": "get_data", "id": 1}', 1),
    ('{"jsonrpc": "2.0", "id": 1}', 1),
    ('{"jsonrpc": "2.0", "method": null, "id": 1}', 1),
    ('{"jsonrpc": "2.0", "method": ["get_data"], "id": 1}', 1),
    ('{"jsonrpc": "2.0", "method": "sum", "params": 1, "id": 1}', 1),
    ('{"jsonrpc": "2.0", "method": "sum", "params": null, "id": 1}', 1),
    ('{"jsonrpc": "2.0", "method": "get_data", "id": true}', None),
    ('{"jsonrpc": "2.0", "method": "get_data", "id": [1]}', None),
    ('{"jsonrpc": "2.0", "method": "get_data", "id": {}}', None),
    ('"get_data"', None),
    ("1", None),
    ("null", None),
    ("true", None),
]


@pytest.mark.parametrize(("body", "request_id"), INVALID)
def test_json_that_is_no_request_is_an_invalid_request(body: str, request_id: int | None) -> None:
    assert code_of(body.encode()) == (-32600, request_id)


@pytest.mark.parametrize(
    "request_id",
    [
        '"1"',
        "1",
        "-7",
        "0",
        "null",
        '""',
        '"é ☂"',
        '"\\ud83d\\ude00"',
        "12345678901234567890123",
        "1.0",
        "1.50",
        "1e400",
    ],
)
def test_an_id_comes_back_as_it_was_given(request_id: str) -> None:
    told = answer(
        f'{{"jsonrpc": "2.0", "method": "get_data", "id": {request_id}}}'.encode(), call_of_the_specification
    )
    assert told is not None
    written = told.decode().rpartition('"id":')[2].removesuffix("}")
    assert written == request_id or json.loads(written) == json.loads(request_id)
    if request_id[0].isdigit():
        assert written == request_id


def test_a_notification_is_carried_out_and_never_answered() -> None:
    called: list[str] = []

    def call(name: str, params: Given) -> bytes:
        called.append(name)
        raise RpcError(jsonrpc.INVALID_PARAMS)

    assert answer(b'{"jsonrpc": "2.0", "method": "a"}', call) is None
    assert answer(b'[{"jsonrpc": "2.0", "method": "b"}]', call) is None
    assert called == ["a", "b"]


def test_a_batch_has_at_most_a_hundred_calls() -> None:
    one = '{"jsonrpc": "2.0", "method": "get_data", "id": 1}'
    full = answer(f"[{','.join([one] * 100)}]".encode(), call_of_the_specification)
    assert len(json.loads(full or b"")) == 100
    assert code_of(f"[{','.join([one] * 101)}]".encode()) == (-32600, None)


class Terms(Params):
    user_id: Annotated[int, Field(ge=1)]
    amount: Amount = Decimal(0)
    names: list[str] = Field(default=[])


class Told(Result):
    user_id: int
    amount: Decimal
    at: datetime


def tell(_caller: Caller, params: Terms) -> Told:
    """Tell what was given."""
    return Told(user_id=params.user_id, amount=params.amount, at=datetime(2026, 11, 20, tzinfo=UTC))


TELL = Method("users.Tell", Terms, Told, tell, Example({"user_id": 1}, {}))


def call(given: str) -> Any:
    body = f'{{"jsonrpc": "2.0", "method": "Users.TELL", "params": {given}, "id": 1}}'
    methods = Methods([TELL])
    told = answer(body.encode(), lambda name, params: methods.find(name).call(NO_CALLER, params))
    return json.loads(told or b"null")


@pytest.mark.parametrize("given", ['{"user_id": 7, "amount": 10.10}', '[7, "10.10"]', '[7, 10.10, ["a"]]'])
def test_parameters_come_by_name_or_in_their_order_and_amounts_are_exact(given: str) -> None:
    told = call(given)
    assert told["result"] == {"user_id": 7, "amount": "10.10", "at": "2026-11-20T00:00:00Z"}


REFUSED = [
    ("{}", ["user_id"]),
    ("[]", ["user_id"]),
    ('{"user_id": "7"}', ["user_id"]),
    ('{"user_id": true}', ["user_id"]),
    ('{"user_id": 7.0}', ["user_id"]),
    ('{"user_id": 0}', ["user_id"]),
    ('{"user_id": null}', ["user_id"]),
    ('{"user_id": 7, "colour": 1}', ["colour"]),
    ("[7, 1, [], 4]", ["params"]),
    ('{"user_id": 7, "names": "a"}', ["names"]),
    ('{"user_id": 7, "names": ["a", 1, "b", 2]}', ["names[1]", "names[3]"]),
    ('{"user_id": 7, "amount": "1_000"}', ["amount"]),
    ('{"user_id": 7, "amount": "NaN"}', ["amount"]),
    ('{"user_id": 7, "amount": "１０"}', ["amount"]),
    ('{"user_id": 7, "amount": ""}', ["amount"]),
    ('{"user_id": 7, "amount": true}', ["amount"]),
    ('{"user_id": "x", "amount": {}}', ["user_id", "amount"]),
]


@pytest.mark.parametrize(("given", "fields"), REFUSED)
def test_other_parameters_are_refused_by_their_names(given: str, fields: list[str]) -> None:
    told = call(given)
    assert (told["error"]["code"], told["error"]["message"]) == (-32602, "Invalid params")
    assert [one["field"] for one in told["error"]["data"]["errors"]] == fields


def test_an_amount_is_what_was_written_and_not_the_number_next_to_it() -> None:
    assert call("[7, 0.1000000000000000055]")["result"]["amount"] == "0.1000000000000000055"


def test_what_a_method_refuses_itself_is_told_in_the_same_way() -> None:
    told = of_invalid_input(InvalidInput("There is no reward 9.", field="reward_id"))
    assert told.data == {"errors": [{"field": "reward_id", "reason": "There is no reward 9."}]}
    assert of_invalid_input(InvalidInput("No.")).data == {"errors": [{"field": "params", "reason": "No."}]}


def test_a_method_has_one_name_whatever_its_case() -> None:
    other = Method("USERS.tell", NoParams, str, lambda *_: "x", Example({}, "x"))
    reserved = Method("rpc.discover", NoParams, str, lambda *_: "x", Example({}, "x"))
    for methods in ([TELL, other], [reserved]):
        with pytest.raises(ValueError, match="another method"):
            Methods(methods)


def test_a_result_that_is_json_already_goes_out_as_it_is() -> None:
    kept = Method("kept", NoParams, dict[str, int], lambda *_: b'{"a": 1}', Example({}, {"a": 1}))
    assert kept.call(NO_CALLER, None) == b'{"a": 1}'
