"""A running sandbox, for clients that call it as they call the systems themselves."""

from tests.sandbox.conftest import order, sandbox, sandbox_server

__all__ = ["order", "sandbox", "sandbox_server"]
