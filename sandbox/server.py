"""The server process: one gevent loop, one ledger, one state directory."""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from random import Random

import gevent
import urllib3
from gevent.pywsgi import WSGIHandler, WSGIServer

from sandbox.faults import FaultBoard
from sandbox.front import Front
from sandbox.ledger import Ledger
from sandbox.pages import create_pages
from sandbox.spends import Spends
from sandbox.users import Publish

HOST = "127.0.0.1"
CONNECTIONS_TO_EMULATOR = 64
LONGEST_STOP = 3.0
EMULATOR_TIMEOUT = urllib3.Timeout(connect=2, read=30)


class OneWriteHandler(WSGIHandler):
    """Send the head of an answer together with its body.

    In two writes, the second waits for the first to be acknowledged, which takes the other side 40 ms.
    """

    def _write_with_headers(self, data: bytes) -> None:
        self.headers_sent = True
        self.finalize_headers()
        lines = [b"HTTP/1.1 " + self.status, *(name + b": " + value for name, value in self.response_headers)]
        head = b"\r\n".join(lines) + b"\r\n\r\n"
        if self.response_use_chunked:
            self._sendall(head)
            self._write(data)
        else:
            self._sendall(head + data)


class CannotServe(RuntimeError):
    """Say in one line why the server does not start."""


def url_file(state: Path) -> Path:
    """Return where a running server writes its address: beside its state directory."""
    return state.with_name(f"{state.name}.url")


def serve(port: int, state: Path, emulator_url: str, publish: Publish, clock: Callable[[], datetime]) -> None:
    """Serve on loopback until SIGTERM or SIGINT; raise CannotServe when the port or the state is taken.

    The caller has patched the standard library for gevent.
    """
    state.mkdir(parents=True, exist_ok=True)
    with _alone_in(state):
        ledger = Ledger(state / "ledger.sqlite3")
        board = FaultBoard(Random())
        front = Front(
            ledger=ledger,
            board=board,
            # One try only: a message whose answer was lost must not be sent again behind the caller's back.
            emulator=urllib3.PoolManager(
                maxsize=CONNECTIONS_TO_EMULATOR, timeout=EMULATOR_TIMEOUT, retries=False
            ),
            emulator_url=emulator_url,
            pages=create_pages(ledger, board),
            publish=publish,
            spends=Spends(ledger),
            clock=clock,
            pause=gevent.sleep,
        )
        server = WSGIServer(
            (HOST, port), front, log=None, error_log=sys.stderr, handler_class=OneWriteHandler
        )
        try:
            server.start()
        except OSError as error:
            raise CannotServe(f"Port {port} cannot be had: {os.strerror(error.errno or 0)}.") from error
        server.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        url = f"http://{HOST}:{server.server_port}"
        url_file(state).write_text(url)
        try:
            _run(server, front, url)
        finally:
            url_file(state).unlink(missing_ok=True)
            ledger.close()


def _run(server: WSGIServer, front: Front, url: str) -> None:
    stopping = gevent.event.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        gevent.signal_handler(number, stopping.set)
    print(f"The sandbox listens on {url}", flush=True)
    stopping.wait()
    server.stop()
    # A mail that SES has accepted must still be written down.
    with gevent.Timeout(LONGEST_STOP, False):
        while front.in_flight:
            gevent.sleep(0.01)


@contextmanager
def _alone_in(state: Path) -> Iterator[None]:
    """Hold the state directory: two processes would hand out the same numbers."""
    lock = os.open(state / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(lock)
        raise CannotServe(f"Another sandbox is using {state}.") from error
    try:
        yield
    finally:
        os.close(lock)
