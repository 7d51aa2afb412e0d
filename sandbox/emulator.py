"""The AWS emulator as a child process: S3, SQS, SNS, SES and STS on one loopback port."""

from __future__ import annotations

import http
import http.client
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from sandbox.child import die_with_parent

HOST = "127.0.0.1"
SERVICES = ("s3", "sqs", "sns", "ses", "sts")
NOWHERE = "http://127.0.0.1:9"


class EmulatorError(RuntimeError):
    """Say that the emulator did not start, and quote the end of its log."""


def free_port() -> int:
    """Return a loopback port that nothing listens on at this moment."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def is_free(port: int) -> bool:
    """Tell whether a server could listen on this loopback port."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


class Emulator:
    """Run ministack on loopback and keep all that it writes in one directory.

    With a state directory, S3 writes each object through to disk, and everything else is saved when
    the emulator is stopped: a kill -9 loses the messages that queues took since. Sent mails are never
    kept. Without one, it starts empty and its directory is removed by ``stop``. An account is the
    12-digit access key of the caller; accounts share nothing but, as in AWS, the names of buckets.
    """

    def __init__(self, state_dir: Path | None, port: int = 0) -> None:
        self.state_dir = state_dir
        self.port = port or free_port()
        self._home: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Give the endpoint for every AWS client."""
        return f"http://{HOST}:{self.port}"

    @property
    def pid(self) -> int | None:
        """Give the process id while started."""
        return self._process.pid if self._process else None

    @property
    def log_path(self) -> Path:
        """Give the file that holds what the emulator says."""
        if self._home is None:
            raise EmulatorError("The emulator has not been started.")
        return self._home / "emulator.log"

    def start(self) -> Self:
        """Start the process and return at once; ``wait_ready`` waits until it answers.

        Raises EmulatorError when the port is taken: what listens there would answer in its place.
        """
        if not is_free(self.port):
            raise EmulatorError(f"Port {self.port} on {HOST} is taken: the AWS emulator needs it.")
        if self.state_dir is None:
            self._home = Path(tempfile.mkdtemp(prefix="waybill-aws-"))
        else:
            self._home = self.state_dir.resolve()
        (self._home / "tmp").mkdir(parents=True, exist_ok=True)
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "ministack"],
                env=emulator_environment(os.environ, self._home, self.port, keep=self.state_dir is not None),
                cwd=self._home,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # Ctrl-C must not reach it before its users have stopped: its owner stops it last.
                start_new_session=True,
                # One left behind would write into the state of the next; those without state are shared.
                preexec_fn=die_with_parent() if self.state_dir else None,  # noqa: PLW1509 - as in Child
            )
        return self

    def alive(self) -> bool:
        """Tell whether the process runs."""
        return self._process is not None and self._process.poll() is None

    def wait_ready(self, deadline: float = 30.0) -> Self:
        """Return when it answers; raise EmulatorError when it ends or ``deadline`` seconds pass."""
        until = time.monotonic() + deadline
        while not self._answers():
            if not self.alive():
                raise EmulatorError(f"The AWS emulator ended while starting:\n{self._log_tail()}")
            if time.monotonic() > until:
                raise EmulatorError(f"No answer from the AWS emulator in {deadline:g} s:\n{self._log_tail()}")
            time.sleep(0.05)
        return self

    def stop(self, deadline: float = 30.0) -> None:
        """Stop with SIGTERM and wait, so that the state is saved; kill it after ``deadline`` seconds."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(deadline)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._process = None
        if self.state_dir is None and self._home is not None:
            shutil.rmtree(self._home, ignore_errors=True)

    def __enter__(self) -> Self:
        self.start()
        try:
            return self.wait_ready()
        except EmulatorError:
            self.stop()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _answers(self) -> bool:
        connection = http.client.HTTPConnection(HOST, self.port, timeout=1)
        try:
            connection.request("GET", "/_ministack/health")
            return connection.getresponse().status == http.HTTPStatus.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def _log_tail(self) -> str:
        return self.log_path.read_text(errors="replace")[-2000:]


def emulator_environment(outer: Mapping[str, str], home: Path, port: int, *, keep: bool) -> dict[str, str]:
    """Build the whole environment of the process from little of the outer one.

    What is not named here does not reach it: a developer's AWS profile, an SMTP relay or a Docker
    daemon would let it act outside this machine, and an emulator's setting would move its files.
    """
    passed_on = ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "VIRTUAL_ENV")
    environment = {name: outer[name] for name in passed_on if name in outer}
    environment |= {
        "HOME": str(home),
        "TMPDIR": str(home / "tmp"),
        "PYTHONUNBUFFERED": "1",
        "BIND_HOST": HOST,
        "GATEWAY_PORT": str(port),
        "SERVICES": ",".join(SERVICES),
        "LOG_LEVEL": "WARNING",
        "IOT_MTLS_ENABLED": "0",
        "SFTP_ENABLED": "0",
        "DOCKER_HOST": f"unix://{home}/tmp/no-docker.sock",  # noqa: S108 - below our own directory
        "AWS_EC2_METADATA_DISABLED": "true",
        "http_proxy": NOWHERE,
        "https_proxy": NOWHERE,
        "no_proxy": "127.0.0.1,localhost",
        "PERSIST_STATE": "1" if keep else "0",
        "S3_PERSIST": "1" if keep else "0",
        "STATE_DIR": str(home / "state"),
        "S3_DATA_DIR": str(home / "s3"),
    }
    return environment
