"""One MariaDB server process on loopback, with all that it writes in one directory."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pymysql
import pymysql.cursors

from sandbox.emulator import HOST
from tests.servers import processes

SERVER, INSTALLER = "mariadbd", "mariadb-install-db"
SYSTEM_PATH = "/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin"
START_SECONDS = 60.0


class MariaDBError(RuntimeError):
    """Say what a server refused, and quote the end of its log."""


@dataclass(frozen=True)
class Tuning:
    """What differs between a server for quick tests and one for measuring.

    With ``flush_log_at_commit`` 2, an acknowledged commit survives a kill -9 of the server, though not
    of the machine; with 0 it may not even survive that; with 1 it survives both.
    """

    flush_log_at_commit: int = 2
    buffer_pool_mb: int = 32
    log_file_mb: int = 32
    max_connections: int = 300
    options: tuple[str, ...] = ()


def binary(name: str, path: str | None = None) -> str | None:
    """Find a program of MariaDB, also where only root's PATH would look."""
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:{SYSTEM_PATH}" if path is None else path)


def missing(path: str | None = None) -> str | None:
    """Say why no server can be started here, or None."""
    if binary(SERVER, path) and binary(INSTALLER, path):
        return None
    return "MariaDB is not installed: apt-get install mariadb-server"


class Server:
    """One mariadbd with its data, socket, log and process id in ``home``.

    Administration goes through the socket, which only the owner of the directory reaches; the network
    port knows only the users that the cluster makes.
    """

    def __init__(self, home: Path, number: int, port: int, tuning: Tuning) -> None:
        self.home = home
        self.number = number
        self.port = port
        self.tuning = tuning

    @property
    def pid(self) -> int:
        """Give the process id of the running server."""
        return int((self.home / "pid").read_text())

    def prepare(self) -> None:
        """Make the empty data directory that the server starts from."""
        made = subprocess.run(
            [
                binary(INSTALLER) or INSTALLER,
                "--no-defaults",
                *_as_root(),
                f"--datadir={self.home / 'data'}",
                f"--innodb-log-file-size={self.tuning.log_file_mb}M",
                "--auth-root-authentication-method=normal",
                "--skip-test-db",
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        if made.returncode != 0:
            raise MariaDBError(f"{INSTALLER} failed:\n{made.stdout[-1000:]}\n{made.stderr[-1000:]}")

    def start(self) -> None:
        """Start the process and return at once; ``wait_ready`` waits until it answers."""
        (self.home / "pid").unlink(missing_ok=True)
        with (self.home / "log").open("ab") as log:
            process = subprocess.Popen(
                self._command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        (self.home / "pid").write_text(str(process.pid))
        # From here on it is known by its id, in this process as in those that share the server.
        process.returncode = 0

    def alive(self) -> bool:
        """Tell whether the process runs."""
        return processes.is_alive(self.pid)

    def wait_ready(self) -> None:
        """Return when the server answers; raise MariaDBError when it ends or takes too long."""
        until = time.monotonic() + START_SECONDS
        while not self._answers():
            if not self.alive() or time.monotonic() > until:
                raise MariaDBError(f"MariaDB did not start:\n{self._log_tail()}")
            time.sleep(0.02)

    def stop(self) -> None:
        """Shut the server down in good order and wait for it."""
        processes.end([self.pid], signal.SIGTERM, deadline=60.0)

    def kill(self) -> None:
        """Kill -9 the server and wait until it is gone."""
        processes.end([self.pid], signal.SIGKILL)

    def execute(self, *statements: str) -> list[dict[str, Any]]:
        """Run statements as root, through the socket, and return the rows of the last one."""
        with self._connect() as connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
            return list(cursor.fetchall())

    def _connect(self) -> pymysql.Connection[pymysql.cursors.DictCursor]:
        return pymysql.connect(
            unix_socket=str(self.home / "socket"),
            user="root",
            autocommit=True,
            # Making a TLS context costs more than the rest of the connection.
            ssl_disabled=True,
            cursorclass=pymysql.cursors.DictCursor,
        )

    def _answers(self) -> bool:
        try:
            self._connect().close()
        except pymysql.err.OperationalError:
            return False
        return True

    def _log_tail(self) -> str:
        return (self.home / "log").read_text(errors="replace")[-2000:]

    def _command(self) -> list[str]:
        return [
            binary(SERVER) or SERVER,
            "--no-defaults",
            *_as_root(),
            f"--datadir={self.home / 'data'}",
            f"--socket={self.home / 'socket'}",
            f"--tmpdir={self.home}",
            f"--bind-address={HOST}",
            f"--port={self.port}",
            f"--server-id={self.number}",
            f"--max-connections={self.tuning.max_connections}",
            f"--innodb-buffer-pool-size={self.tuning.buffer_pool_mb}M",
            f"--innodb-log-file-size={self.tuning.log_file_mb}M",
            f"--innodb-flush-log-at-trx-commit={self.tuning.flush_log_at_commit}",
            "--skip-name-resolve",
            "--character-set-server=utf8mb4",
            "--collation-server=utf8mb4_unicode_ci",
            "--log-bin=binlog",
            "--relay-log=relay",
            "--binlog-format=ROW",
            "--sync-binlog=0",
            "--log-slave-updates",
            "--gtid-strict-mode",
            "--skip-slave-start",
            # A trigger may then be made without SUPER, as on Aurora with the same parameter.
            "--log-bin-trust-function-creators",
            "--innodb-buffer-pool-dump-at-shutdown=OFF",
            "--innodb-buffer-pool-load-at-startup=OFF",
            *self.tuning.options,
        ]


def _as_root() -> Sequence[str]:
    # mariadbd refuses to run as root unless it is told so by name.
    return ("--user=root",) if os.geteuid() == 0 else ()
