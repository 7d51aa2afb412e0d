"""A sandbox as tests see it: a process of its own, spoken to over HTTP."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, Self

import urllib3

from sandbox.client import SandboxClient

GIFT_CARD = "/gift-card/redemptions"
EOM = "/eom/orders"
TAX_DOCUMENTS = "/tax-documents/documents"
POS = "/pos/sales"


def call_of(path: str, order: str) -> dict[str, Any]:
    """Return a complete request for one of the stand-ins."""
    own: dict[str, dict[str, Any]] = {
        GIFT_CARD: {"card_number": "6006111122223333", "amount": "12990"},
        EOM: {"order": {"number": order, "lines": [{"id": "1"}]}},
        TAX_DOCUMENTS: {"type": "receipt", "total": "12990", "customer": {"name": "Ana", "tax_id": None}},
        POS: {"total": "12990", "store": "CL-001", "folio": "7"},
    }
    return {"order_number": order, "currency": "CLP", **own[path]}


class RunningSandbox:
    """A started `python -m sandbox serve`."""

    def __init__(self, state: Path, aws_endpoint: str, port: int = 0) -> None:
        self.state = state
        options = {"--port": str(port), "--state": str(state), "--aws-endpoint": aws_endpoint}
        options["--account"] = "test"
        self.process = subprocess.Popen(
            [sys.executable, "-m", "sandbox", "serve", *(word for pair in options.items() for word in pair)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert self.process.stdout is not None
        self.said = self.process.stdout.readline()
        self.url = self.said.rpartition(" ")[2].strip()
        self.client = SandboxClient(self.url)
        self._http = urllib3.PoolManager(retries=False, maxsize=32, timeout=urllib3.Timeout(10))

    def post(self, path: str, document: dict[str, Any] | bytes, key: str | None) -> urllib3.BaseHTTPResponse:
        """Call a stand-in."""
        body = document if isinstance(document, bytes) else json.dumps(document).encode()
        headers = {} if key is None else {"Idempotency-Key": key}
        return self._http.request("POST", self.url + path, body=body, headers=headers)

    def send(self, method: str, path: str, body: bytes | None = None) -> urllib3.BaseHTTPResponse:
        """Ask for anything else."""
        return self._http.request(method, self.url + path, body=body)

    def page(self, path: str) -> str:
        """Get a page that must be there."""
        answer = self.send("GET", path)
        assert answer.status == 200, answer.data
        return answer.data.decode()

    def orders_with_effects(self, system: str, order: str) -> int:
        """Count the effects that a system had for an order."""
        return len(self.client.effects(system, order=order))

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """End the process and return its exit status."""
        self.process.send_signal(number)
        status = self.process.wait(20)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return status

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.stop(signal.SIGKILL)
