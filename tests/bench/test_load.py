"""What the load generator counts are right answers only."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from bench.load import Call, Measured, measure

REQUEST = b"POST /%s HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 0\r\n\r\n"


class Answering(BaseHTTPRequestHandler):
    """Answers by the path: /busy with 503, all else with what the path says."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.send_response(503 if self.path == "/busy" else 200)
        body = f'{{"invited":{self.path[1:]}}}'.encode()
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    def handle_error(self, *_: object) -> None:
        """Say nothing: at the end of a run the generator closes its connections wherever they are."""


@pytest.fixture
def port() -> Iterator[int]:
    server = Server(("127.0.0.1", 0), Answering)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_port
    server.shutdown()
    thread.join()
    server.server_close()


def run(port: int, *paths: bytes, expected: bytes = b'"invited":true') -> Measured:
    calls = [Call(path.decode(), REQUEST % path, expected) for path in paths]
    return measure(port, calls, connections=2, seconds=0.2)


def test_right_answers_are_counted_by_their_kind(port: int) -> None:
    measured = run(port, b"true")
    assert measured.number == len(measured.latencies["true"]) > 0
    assert measured.percentile_ms(0.99) > 0
    assert not measured.wrong


@pytest.mark.parametrize("path", [b"false", b"busy"])
def test_wrong_answers_enter_no_figure(port: int, path: bytes) -> None:
    expected = b'"invited":' if path == b"busy" else b'"invited":true'
    measured = run(port, path, expected=expected)
    assert (measured.number, measured.calls_per_second) == (0, 0)
    assert math.isnan(measured.percentile_ms(0.99))
    assert sum(measured.wrong.values()) > 0
