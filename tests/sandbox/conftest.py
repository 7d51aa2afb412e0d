"""One sandbox for all tests of the sandbox, without faults at the start of each."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest

from sandbox.ledger import SYSTEMS
from tests.sandbox.running import RunningSandbox


@pytest.fixture(scope="session")
def sandbox_server(tmp_path_factory: pytest.TempPathFactory, aws_endpoint: str) -> Iterator[RunningSandbox]:
    with RunningSandbox(tmp_path_factory.mktemp("sandbox"), aws_endpoint) as running:
        yield running


@pytest.fixture
def sandbox(sandbox_server: RunningSandbox) -> RunningSandbox:
    for system in SYSTEMS:
        sandbox_server.client.clear_fault(system)
    return sandbox_server


@pytest.fixture
def order() -> str:
    """Give an order number of this test's own."""
    return f"T-{secrets.token_hex(5)}"
