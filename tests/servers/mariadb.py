"""A MariaDB primary with a replica of its own, on loopback, in a directory that is thrown away."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import pymysql
import pymysql.cursors

from sandbox.emulator import HOST, free_port
from tests.servers import processes

SERVER, INSTALLER = "mariadbd", "mariadb-install-db"
SYSTEM_PATH = "/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin"
APPLICATION, REPLICATION = "waybill", "replication"
START_SECONDS = 60.0
ROOM_BYTES = 2 * 2**30
ONLY_ROOT_BY_SOCKET = (
    "SET sql_log_bin=0",
    "DELETE FROM mysql.global_priv WHERE User='' OR Host<>'localhost'",
    "FLUSH PRIVILEGES",
)


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


class Cluster:
    """A primary and a replica that follows it by GTID, with one application user on both.

    The application may do all in its databases and nothing on the server: a read-only server refuses
    its writes with error 1290, as a reader of Aurora does.
    """

    def __init__(self, home: Path, primary: Server, replica: Server, password: str, *, shared: bool) -> None:
        self.home = home
        self.primary = primary
        self.replica = replica
        self.password = password
        self.shared = shared

    @classmethod
    def start(cls, tuning: Tuning | None = None, parent: Path | None = None) -> Self:
        """Start both servers in a new directory and return when the replica follows.

        The directory is in memory where there is room, unless ``parent`` is given.
        """
        home = Path(tempfile.mkdtemp(prefix="waybill-mariadb-", dir=parent or _quickest_directory()))
        chosen = tuning or Tuning()
        servers = [Server(home / f"server-{number}", number, free_port(), chosen) for number in (1, 2)]
        cluster = cls(home, servers[0], servers[1], secrets.token_hex(16), shared=False)
        try:
            cluster._begin()
        except BaseException:
            cluster.remove()
            raise
        return cluster

    @classmethod
    def attach(cls, description: str) -> Self:
        """Use a running cluster of another process, told by its ``describe``; it must not be disturbed."""
        told = json.loads(description)
        home = Path(told["home"])
        servers = [
            Server(home / f"server-{number}", number, port, Tuning())
            for number, port in enumerate(told["ports"], start=1)
        ]
        return cls(home, servers[0], servers[1], told["password"], shared=True)

    def describe(self) -> str:
        """Give what ``attach`` needs, as JSON."""
        ports = [self.primary.port, self.replica.port]
        return json.dumps({"home": str(self.home), "ports": ports, "password": self.password})

    def pids(self) -> list[int]:
        """Give the process ids of both servers."""
        return [self.primary.pid, self.replica.pid]

    def writer_url(self, database: str) -> str:
        """Give the SQLAlchemy address of a database on the primary, also after ``promote``."""
        return self._url(self.primary, database)

    def reader_url(self, database: str) -> str:
        """Give the SQLAlchemy address of a database on the replica, also after ``promote``."""
        return self._url(self.replica, database)

    def create_database(self, name: str) -> str:
        """Make an empty database that the application may use, and return its name."""
        self.primary.execute(
            f"CREATE DATABASE `{name}`", f"GRANT ALL ON `{name}`.* TO {APPLICATION}@'{HOST}'"
        )
        return name

    def copy_database(self, source: str, name: str) -> str:
        """Make a database with the tables, rows and triggers of another one, and return its name."""
        self.create_database(name)
        tables = [
            row["TABLE_NAME"]
            for row in self.primary.execute(
                "SELECT TABLE_NAME, TABLE_ROWS FROM information_schema.TABLES"
                f" WHERE TABLE_SCHEMA='{source}' AND TABLE_TYPE='BASE TABLE'"
            )
        ]
        triggers = self.primary.execute(f"SHOW TRIGGERS FROM `{source}`")
        self.primary.execute(
            f"USE `{name}`",
            "SET foreign_key_checks=0",
            *(self._told(f"SHOW CREATE TABLE `{source}`.`{table}`", "Create Table") for table in tables),
            *(f"INSERT INTO `{table}` SELECT * FROM `{source}`.`{table}`" for table in tables),
            *(
                self._told(f"SHOW CREATE TRIGGER `{source}`.`{row['Trigger']}`", "SQL Original Statement")
                for row in triggers
            ),
        )
        return name

    def drop_database(self, name: str) -> None:
        """Drop a database, ending whatever still uses it."""
        users = self.primary.execute(f"SELECT ID FROM information_schema.PROCESSLIST WHERE DB='{name}'")
        self.primary.execute(
            *(f"KILL SOFT CONNECTION {row['ID']}" for row in users),
            "SET lock_wait_timeout=10",
            f"DROP DATABASE IF EXISTS `{name}`",
        )

    def wait_until_caught_up(self, deadline: float = 30.0) -> None:
        """Return when the replica has applied all that the primary had committed at the call."""
        position = self.primary.execute("SELECT @@gtid_binlog_pos AS position")[0]["position"]
        waited = self.replica.execute(f"SELECT MASTER_GTID_WAIT('{position}', {deadline}) AS answer")
        if waited[0]["answer"] != 0:
            status = self.replica.execute("SHOW SLAVE STATUS")
            told = {key: status[0][key] for key in ("Last_IO_Error", "Last_SQL_Error")} if status else {}
            raise MariaDBError(f"The replica did not reach {position} in {deadline:g} s: {told}")

    def lag(self, seconds: int) -> None:
        """Make the replica apply each change ``seconds`` after the primary committed it; 0 ends that."""
        self._require_own()
        self.replica.execute("STOP SLAVE", f"CHANGE MASTER TO MASTER_DELAY={int(seconds)}", "START SLAVE")

    def promote(self) -> None:
        """Fail over: the primary refuses writes, the replica takes them, and the old primary follows it.

        Connections to the old primary stay open and meet error 1290, as after a failover of Aurora
        whose clients still hold the old address.
        """
        self._require_own()
        self.primary.execute("SET GLOBAL read_only=1")
        self.wait_until_caught_up()
        self.replica.execute("STOP SLAVE", "RESET SLAVE ALL", "SET GLOBAL read_only=0")
        self.primary, self.replica = self.replica, self.primary
        self._follow()

    def kill_primary(self) -> None:
        """Kill -9 the primary."""
        self._require_own()
        self.primary.kill()

    def restart_primary(self) -> None:
        """Start the primary on its port again, after ``kill_primary`` or in good order."""
        self._require_own()
        if self.primary.alive():
            self.primary.stop()
        self.primary.start()
        self.primary.wait_ready()
        self.replica.execute("STOP SLAVE", "START SLAVE")

    def remove(self) -> None:
        """Kill both servers and delete all that they wrote."""
        started = [server for server in (self.primary, self.replica) if (server.home / "pid").exists()]
        processes.end([server.pid for server in started], signal.SIGKILL)
        shutil.rmtree(self.home, ignore_errors=True)

    def _begin(self) -> None:
        servers = (self.primary, self.replica)
        for server in servers:
            server.home.mkdir()
        _prepare(self.primary)
        # Copied before anything ran: both start at the same, empty, GTID position.
        shutil.copytree(self.primary.home / "data", self.replica.home / "data")
        for server in servers:
            server.start()
        for server in servers:
            server.wait_ready()
        for server in servers:
            server.execute(*ONLY_ROOT_BY_SOCKET)
        self._follow()
        self.primary.execute(f"CREATE USER {APPLICATION}@'{HOST}' IDENTIFIED BY '{self.password}'")
        self.wait_until_caught_up()

    def _follow(self) -> None:
        self.primary.execute(
            f"CREATE OR REPLACE USER {REPLICATION}@'{HOST}' IDENTIFIED BY '{self.password}'",
            f"GRANT REPLICATION SLAVE ON *.* TO {REPLICATION}@'{HOST}'",
        )
        position = self.replica.execute("SELECT @@gtid_binlog_pos AS position")[0]["position"]
        self.replica.execute(
            f"SET GLOBAL gtid_slave_pos='{position}'",
            f"CHANGE MASTER TO MASTER_HOST='{HOST}', MASTER_PORT={self.primary.port},"
            f" MASTER_USER='{REPLICATION}', MASTER_PASSWORD='{self.password}',"
            " MASTER_USE_GTID=slave_pos, MASTER_CONNECT_RETRY=1, MASTER_DELAY=0",
            "START SLAVE",
            "SET GLOBAL read_only=1",
        )

    def _told(self, question: str, column: str) -> str:
        return str(self.primary.execute(question)[0][column])

    def _url(self, server: Server, database: str) -> str:
        return (
            f"mysql+pymysql://{APPLICATION}:{self.password}@{HOST}:{server.port}/{database}?charset=utf8mb4"
        )

    def _require_own(self) -> None:
        if self.shared:
            raise MariaDBError("All tests share this cluster: use the fixture own_mariadb to disturb one.")


def _as_root() -> Sequence[str]:
    # mariadbd refuses to run as root unless it is told so by name.
    return ("--user=root",) if os.geteuid() == 0 else ()


def _quickest_directory() -> str | None:
    # Preparing and every CREATE TABLE wait for the disk: up to 4 s a start where others use it too.
    memory = Path("/dev/shm")
    roomy = memory.is_dir() and shutil.disk_usage(memory).free > ROOM_BYTES
    return str(memory) if roomy and os.access(memory, os.W_OK) else None


def _prepare(server: Server) -> None:
    made = subprocess.run(
        [
            binary(INSTALLER) or INSTALLER,
            "--no-defaults",
            *_as_root(),
            f"--datadir={server.home / 'data'}",
            f"--innodb-log-file-size={server.tuning.log_file_mb}M",
            "--auth-root-authentication-method=normal",
            "--skip-test-db",
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    if made.returncode != 0:
        raise MariaDBError(f"{INSTALLER} failed:\n{made.stdout[-1000:]}\n{made.stderr[-1000:]}")
