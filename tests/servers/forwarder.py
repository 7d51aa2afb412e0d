"""A fixed port in front of a server that may move, be cut off, or lose its last answer."""

from __future__ import annotations

import contextlib
import socket
import threading
from types import TracebackType
from typing import Self

from sandbox.emulator import HOST

CHUNK = 65536


class Forwarder:
    """Pass TCP connections on to a loopback port, which can be changed while connections are open.

    New connections go to the port that is set at the time; those that are open stay where they are,
    as the clients of a database stay with the old writer until a failover cuts them off.
    """

    def __init__(self, target: int) -> None:
        self._target = target
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._swallow: bytes | None = None
        self._listener = socket.create_server((HOST, 0))
        self.swallowed = threading.Event()
        threading.Thread(target=self._accept, name="forwarder", daemon=True).start()

    @property
    def port(self) -> int:
        """Give the port that clients connect to."""
        return int(self._listener.getsockname()[1])

    def point_at(self, target: int) -> None:
        """Send new connections to another port."""
        self._target = target

    def cut(self) -> None:
        """Break every open connection."""
        with self._lock:
            for connection in self._open:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def swallow_answer_to(self, request: bytes) -> None:
        """Pass on the next request that contains these bytes, then break its connection for the answer.

        The server has done what it was asked, and the client cannot know; ``swallowed`` is set then.
        """
        self.swallowed.clear()
        self._swallow = request

    def stop(self) -> None:
        """Listen no more, and break every open connection."""
        self._listener.close()
        self.cut()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._join, args=(client,), name="forwarded", daemon=True).start()

    def _join(self, client: socket.socket) -> None:
        try:
            server = socket.create_connection((HOST, self._target))
        except OSError:
            client.close()
            return
        with self._lock:
            self._open |= {client, server}
        muted = threading.Event()
        back = threading.Thread(target=self._pump, args=(server, client, muted, False), daemon=True)
        back.start()
        self._pump(client, server, muted, True)
        back.join()
        with self._lock:
            self._open -= {client, server}
        client.close()
        server.close()

    def _pump(self, source: socket.socket, sink: socket.socket, muted: threading.Event, asks: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(CHUNK):
                if asks and self._swallow is not None and self._swallow in data:
                    self._swallow = None
                    muted.set()
                if muted.is_set() and not asks:
                    # The server has answered, so it has done it.
                    self.swallowed.set()
                    break
                sink.sendall(data)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
