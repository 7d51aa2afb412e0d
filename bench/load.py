"""A load generator for HTTP: one process, many connections, each sends its next request upon an answer."""

from __future__ import annotations

import math
import selectors
import socket
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Call:
    """One request as bytes, of a kind by which it is counted, and what its answer must contain."""

    kind: str
    request: bytes
    expected: bytes


@dataclass
class Measured:
    """What came of a run: its length, the latencies of each kind in seconds, and answers that were wrong.

    A wrong answer is quickly given: it has no latency, and is not among the `number` of calls.
    """

    seconds: float = 0.0
    latencies: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    wrong: Counter[str] = field(default_factory=Counter)

    @property
    def number(self) -> int:
        return sum(len(one) for one in self.latencies.values())

    @property
    def calls_per_second(self) -> float:
        return self.number / self.seconds

    def percentile_ms(self, share: float, kind: str | None = None) -> float:
        """Return a percentile of the latencies, of one kind or of all."""
        chosen = self.latencies.values() if kind is None else [self.latencies[kind]]
        every = sorted(latency for latencies in chosen for latency in latencies) or [math.nan]
        return every[min(len(every) - 1, int(len(every) * share))] * 1000


@dataclass
class _Connection:
    socket: socket.socket
    call: Call
    sent_at: float
    received: bytes = b""


def measure(port: int, calls: Sequence[Call], *, connections: int, seconds: float) -> Measured:
    """Send calls one after another on each connection."""
    measured, source = Measured(), _endlessly(calls)
    with selectors.DefaultSelector() as selector:
        for _ in range(connections):
            opened = socket.create_connection(("127.0.0.1", port), timeout=30)
            opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection = _Connection(opened, next(source), 0.0)
            selector.register(opened, selectors.EVENT_READ, connection)
            _send(connection, connection.call)
        start = time.perf_counter()
        while (now := time.perf_counter()) < start + seconds:
            for key, _ in selector.select(timeout=1.0):
                connection = key.data
                if _is_answered(connection):
                    _count(measured, connection, time.perf_counter())
                    _send(connection, next(source))
        measured.seconds = now - start
        for key in list(selector.get_map().values()):
            key.data.socket.close()
    return measured


def _endlessly(calls: Sequence[Call]) -> Iterator[Call]:
    while True:
        yield from calls


def _send(connection: _Connection, call: Call) -> None:
    connection.call, connection.received, connection.sent_at = call, b"", time.perf_counter()
    connection.socket.sendall(call.request)


def _is_answered(connection: _Connection) -> bool:
    """Read what is there; tell whether the answer is whole."""
    part = connection.socket.recv(65_536)
    if not part:
        raise ConnectionError(f"The server closed a connection: {connection.received[:200]!r}")
    connection.received += part
    head, found, body = connection.received.partition(b"\r\n\r\n")
    if not found:
        return False
    _, _, rest = head.lower().partition(b"content-length:")
    return len(body) >= int(rest.split(b"\r\n", 1)[0])


def _count(measured: Measured, connection: _Connection, now: float) -> None:
    call = connection.call
    if connection.received.startswith(b"HTTP/1.1 200 ") and call.expected in connection.received:
        measured.latencies[call.kind].append(now - connection.sent_at)
    else:
        measured.wrong[f"{call.kind}: {connection.received[-120:]!r}"] += 1
