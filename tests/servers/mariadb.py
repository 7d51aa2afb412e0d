"""A MariaDB primary with a replica of its own, on loopback, in a directory that is thrown away."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import tempfile
from pathlib import Path
from typing import Self

import pymysql

from sandbox.emulator import HOST, free_port
from tests.servers import processes
from tests.servers.mariadb_server import MariaDBError, Server, Tuning, missing

__all__ = ["Cluster", "MariaDBError", "Tuning", "missing"]

NO_SUCH_THREAD = 1094
APPLICATION, REPLICATION = "waybill", "replication"
ROOM_BYTES = 2 * 2**30
ONLY_ROOT_BY_SOCKET = (
    "SET sql_log_bin=0",
    "DELETE FROM mysql.global_priv WHERE User='' OR Host<>'localhost'",
    "FLUSH PRIVILEGES",
)


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

    def has_waiting(self, name: str | None) -> bool:
        """Tell whether a transaction in a database waits for a lock that another holds."""
        waiting = (
            "SELECT trx_id FROM information_schema.innodb_trx JOIN information_schema.processlist"
            f" ON id = trx_mysql_thread_id WHERE trx_state = 'LOCK WAIT' AND db = '{name}'"
        )
        return bool(self.primary.execute(waiting))

    def drop_database(self, name: str) -> None:
        """Drop a database, ending whatever still uses it."""
        users = self.primary.execute(f"SELECT ID FROM information_schema.PROCESSLIST WHERE DB='{name}'")
        for row in users:
            self._end_connection(row["ID"])
        self.primary.execute("SET lock_wait_timeout=10", f"DROP DATABASE IF EXISTS `{name}`")

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

    def _end_connection(self, connection_id: int) -> None:
        try:
            self.primary.execute(f"KILL SOFT CONNECTION {connection_id}")
        except pymysql.err.OperationalError as error:
            # It has ended by itself meanwhile.
            if error.args[0] != NO_SUCH_THREAD:
                raise

    def remove(self) -> None:
        """Kill both servers and delete all that they wrote."""
        started = [server for server in (self.primary, self.replica) if (server.home / "pid").exists()]
        processes.end([server.pid for server in started], signal.SIGKILL)
        shutil.rmtree(self.home, ignore_errors=True)

    def _begin(self) -> None:
        servers = (self.primary, self.replica)
        for server in servers:
            server.home.mkdir()
        self.primary.prepare()
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


def _quickest_directory() -> str | None:
    # Preparing and every CREATE TABLE wait for the disk: up to 4 s a start where others use it too.
    memory = Path("/dev/shm")
    roomy = memory.is_dir() and shutil.disk_usage(memory).free > ROOM_BYTES
    return str(memory) if roomy and os.access(memory, os.W_OK) else None
