"""Methods of JSON-RPC called as a client calls them, without HTTP."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import pytest

from portal.errors import InvalidInput
from portal.events import Actor
from portal.jsonrpc import _DECODER, Caller, Methods, RpcError, of_invalid_input
from portal.referrals.rpc import build_methods
from portal.runtime import Runtime


@dataclass
class Calls:
    """A client that may administer."""

    runtime: Runtime
    methods: Methods = field(init=False)

    def __post_init__(self) -> None:
        self.methods = build_methods(self.runtime)

    def call(self, name: str, /, **params: Any) -> Any:
        """Call a method and return its result, which must be true to its model."""
        method = self.methods.find(f"referrals.{name}")
        caller = Caller(self.runtime, Actor("client", "admin"), may_administer=True)
        told = json.loads(method.call(caller, _DECODER.decode(json.dumps(params))))
        assert json.loads(method.result.dump_json(method.result.validate_python(told))) == told
        return told

    def refused(self, name: str, /, **params: Any) -> Any:
        """Call a method that refuses, and return what it says of each field."""
        with pytest.raises((RpcError, InvalidInput)) as refused:
            self.call(name, **params)
        error = refused.value
        data = of_invalid_input(error).data if isinstance(error, InvalidInput) else error.args[2]
        return {one["field"]: one["reason"] for one in data["errors"]}
