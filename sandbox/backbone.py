"""Everything that the portal needs around it, on loopback: stand-ins, AWS resources, a migrated database."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from portal.db import migrate
from portal.settings import load_settings
from sandbox.child import Child
from sandbox.client import SandboxClient
from sandbox.provision import provision
from sandbox.server import url_file

_SYSTEMS = {
    "GIFT_CARD_URL": "gift-card",
    "EOM_URL": "eom",
    "TAX_DOCUMENTS_URL": "tax-documents",
    "POS_URL": "pos",
    "REWARDS_URL": "rewards",
    "SPEND_URL": "spend",
    "SES_ENDPOINT_URL": "ses",
}


class Backbone:
    """A running sandbox beside a running AWS emulator, and the environment that points the portal at them."""

    def __init__(self, home: Path, aws_url: str, environment: Mapping[str, str], port: int = 0) -> None:
        """Start the sandbox; `environment` has the settings that are not about the outside systems."""
        self.home = home
        self._jobs_started = 0
        state = home / "sandbox"
        arguments = [
            "sandbox",
            "serve",
            "--port",
            str(port),
            "--state",
            str(state),
            "--aws-endpoint",
            aws_url,
        ]
        url_file(state).unlink(missing_ok=True)
        self.sandbox = Child("The sandbox", arguments, environment, home / "log" / "sandbox.log")
        self._url_file = url_file(state)
        self._environment = {"AWS_ENDPOINT_URL": aws_url, **environment}

    def wait_ready(self) -> None:
        """Return when the sandbox answers."""
        self.sandbox.wait_until(lambda: self._url_file.exists() and bool(self._url_file.read_text()))
        self.url = self._url_file.read_text()
        self.client = SandboxClient(self.url)
        self.environment = self._environment | {
            "SANDBOX_URL": self.url,
            **{name: f"{self.url}/{path}" for name, path in _SYSTEMS.items()},
        }

    def prepare(self) -> None:
        """Migrate the database, and make buckets, queues, topics and subscriptions."""
        settings = load_settings(self.environment)
        migrate(settings.database_writer_url)
        provision(settings)

    def start_jobs(self, *names: str, **settings: str) -> Child:
        """Start `python -m jobs NAMES` with more settings; each start has a log of its own."""
        self._jobs_started += 1
        log = self.home / "log" / f"jobs-{self._jobs_started}.log"
        return Child("The jobs", ["jobs", *names], self.environment | settings, log)

    def stop(self) -> None:
        self.sandbox.stop()
