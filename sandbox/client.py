"""Speak to a running sandbox: set faults, read ledgers."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import urllib3


class SandboxSaysNo(RuntimeError):
    """Say in one line why the sandbox did not do it."""


class SandboxClient:
    """Call the sandbox at `url`; every method raises SandboxSaysNo when it is away or refuses."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self._http = urllib3.PoolManager(timeout=urllib3.Timeout(connect=2, read=10), retries=False)

    def put_fault(
        self,
        system: str,
        kind: str,
        *,
        times: int | None = None,
        probability: float | None = None,
        seconds: float | None = None,
    ) -> dict[str, Any]:
        """Let a system fail in the named way, and return the fault as it stands."""
        fault = {"kind": kind, "times": times, "probability": probability, "seconds": seconds}
        return self._call("PUT", f"/faults/{quote(system, safe='')}", fault)

    def clear_fault(self, system: str) -> None:
        """End the fault of a system."""
        self._call("DELETE", f"/faults/{quote(system, safe='')}")

    def faults(self) -> dict[str, dict[str, Any]]:
        """Return the standing faults by system."""
        return self._call("GET", "/faults")

    def summary(self) -> dict[str, dict[str, int]]:
        """Return by system how many effects, orders and duplicates there are."""
        return self._call("GET", "/ledger/summary")

    def effects(
        self, system: str, *, order: str | None = None, after: int = 0, limit: int = 1000
    ) -> list[dict[str, Any]]:
        """Return one page of a system's effects, oldest first, from beyond the id `after`."""
        of_order = "" if order is None else f"&order={quote(order, safe='')}"
        path = f"/{quote(system, safe='')}/ledger?after={after}&limit={limit}{of_order}"
        effects: list[dict[str, Any]] = self._call("GET", path)["effects"]
        return effects

    def sign_up(self, email: str, **more: Any) -> int:
        """Sign a user up, with `token`, `user_id`, `ip`, `device` or `at`; return the user's id."""
        return int(self._call("POST", "/users/sign-ups", {"email": email, **more})["user_id"])

    def verify(self, user_id: int, **more: Any) -> None:
        """Verify the identity of a user, now or `at` a time."""
        self._call("POST", "/users/verifications", {"user_id": user_id, **more})

    def spend(self, user_id: int, amount: str, currency: str = "USD") -> None:
        """Set what a user has spent in all."""
        self._call("POST", "/users/spends", {"user_id": user_id, "amount": amount, "currency": currency})

    def _call(self, method: str, path: str, document: dict[str, Any] | None = None) -> dict[str, Any]:
        try:
            answer = self._http.request(method, self.url + path, json=document)
            found: Any = answer.json() if answer.data else {}
        except urllib3.exceptions.HTTPError as error:
            raise SandboxSaysNo(f"No sandbox answers at {self.url}.") from error
        except ValueError as error:
            raise SandboxSaysNo(f"What answers at {self.url} is not a sandbox.") from error
        if not isinstance(found, dict):
            raise SandboxSaysNo(f"What answers at {self.url} is not a sandbox.")
        if answer.status >= 400:
            raise SandboxSaysNo(str(found.get("detail") or f"{method} {path} was answered {answer.status}."))
        return found
