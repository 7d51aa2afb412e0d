"""Calls of outside systems end in time, and always with a word on what may have happened."""

from __future__ import annotations

import socket
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from portal.clients.http import HttpSystem
from portal.errors import Upstream
from sandbox.emulator import free_port
from tests.clients.raw_server import RawServer, answer
from tests.sandbox.running import RunningSandbox, call_of
from tests.servers.waiting import wait_until


def system_at(url: str, *, deadline: float = 20.0, max_calls: int = 4) -> HttpSystem:
    return HttpSystem("eom", "Enterprise order management", url, deadline=deadline, max_calls=max_calls)


def eom(sandbox: RunningSandbox, *, deadline: float = 20.0) -> HttpSystem:
    return system_at(f"{sandbox.url}/eom", deadline=deadline)


def post(system: HttpSystem, order: str = "X-1") -> Upstream:
    """Post in vain, and return the error."""
    with pytest.raises(Upstream) as failed:
        system.post("/orders", call_of("/eom/orders", order), f"key-{order}")
    return failed.value


def trickling(head: bytes, piece: bytes, sent: list[int]) -> RawServer:
    """Answer with a head, and then for ever with the same piece, until the client hangs up."""

    def trickle(connection: socket.socket) -> None:
        pause = threading.Event()
        try:
            connection.sendall(head)
            for number in range(1_000_000):
                pause.wait(0.02)
                connection.sendall(piece)
                sent[0] = number
        except OSError:
            sent.append(-1)

    return RawServer(trickle)


def test_an_effect_is_caused_once_for_its_key_however_often_it_is_asked_for(
    sandbox: RunningSandbox, order: str
) -> None:
    system = eom(sandbox)
    first = system.post("/orders", call_of("/eom/orders", order), order)
    again = system.post("/orders", call_of("/eom/orders", order), order)
    assert (first.status, again.status) == (201, 200)
    assert first.body == again.body
    assert sandbox.orders_with_effects("eom", order) == 1


def test_what_became_of_a_call_can_be_asked_by_its_key(sandbox: RunningSandbox, order: str) -> None:
    system = eom(sandbox)
    assert system.outcome(order) is None
    answered = system.post("/orders", call_of("/eom/orders", order), order)
    known = system.outcome(order)
    assert known is not None
    assert known.body == answered.body


@pytest.mark.parametrize(
    ("fault", "code", "status", "effects"),
    [
        ("down", "eom-no-answer", None, 0),
        ("500", "eom-error", 500, 0),
        ("garbage", "eom-garbage", 200, 0),
        ("lost-answer", "eom-no-answer", None, 1),
    ],
)
def test_after_a_fault_the_outcome_is_unknown_and_can_be_asked(
    sandbox: RunningSandbox, order: str, fault: str, code: str, status: int | None, effects: int
) -> None:
    system = eom(sandbox)
    sandbox.client.put_fault("eom", fault, times=1)
    error = post(system, order)
    assert (error.code, error.status) == (code, status)
    assert error.retryable
    assert error.outcome_unknown
    assert (system.outcome(f"key-{order}") is not None) == bool(effects)
    assert sandbox.orders_with_effects("eom", order) == effects


def test_an_answer_that_comes_after_the_deadline_is_no_answer(sandbox: RunningSandbox, order: str) -> None:
    sandbox.client.put_fault("eom", "slow", times=1, seconds=30)
    error = post(eom(sandbox, deadline=0.5), order)
    assert (error.code, error.retryable, error.outcome_unknown) == ("eom-no-answer", True, True)


def test_a_refusal_says_why_and_is_not_tried_again(sandbox: RunningSandbox, order: str) -> None:
    system = HttpSystem(
        "gift-card", "The gift card system", f"{sandbox.url}/gift-card", deadline=20, max_calls=1
    )
    call = call_of("/gift-card/redemptions", order) | {"card_number": "6006111122220000"}
    with pytest.raises(Upstream) as refused:
        system.post("/redemptions", call, order)
    error = refused.value
    assert (error.code, error.status) == ("gift-card-insufficient-balance", 422)
    assert not error.retryable
    assert not error.outcome_unknown
    assert error.reason.startswith("The gift card system refused it: ")


@pytest.mark.parametrize(
    ("head", "piece"),
    [
        (b"HTTP/1.1 201 Created\r\nContent-Length: 1000000\r\n\r\n", b" "),
        (b"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
        (b"HTTP/1.1 201 Created\r\n\r\n", b" "),
        (b"HTTP/1.1 201 Created\r\nX-Long: ", b"a"),
        (b"HTTP/1.1 2", b"0"),
    ],
    ids=["body of a known length", "in chunks", "until the end", "head", "status line"],
)
def test_the_deadline_holds_for_the_whole_answer_however_slowly_it_trickles_in(
    head: bytes, piece: bytes
) -> None:
    sent = [0]
    with trickling(head, piece, sent) as server:
        error = post(system_at(server.url, deadline=0.5))
    assert (error.code, error.outcome_unknown) == ("eom-no-answer", True)
    # Each piece came in time for a deadline that begins anew with it.
    assert 1 < sent[0] < 1_000


def test_a_connection_that_is_refused_had_no_effect() -> None:
    error = post(system_at(f"http://127.0.0.1:{free_port()}"))
    assert (error.code, error.retryable, error.outcome_unknown) == ("eom-unreachable", True, False)


def test_a_connection_that_is_closed_after_the_request_may_have_had_its_effect() -> None:
    with RawServer(lambda connection: None) as server:
        error = post(system_at(server.url))
    assert (error.code, error.retryable, error.outcome_unknown) == ("eom-no-answer", True, True)


def test_a_question_that_is_not_answered_has_no_effect_to_wonder_about() -> None:
    with RawServer(lambda connection: None) as server, pytest.raises(Upstream) as failed:
        system_at(server.url).outcome("key")
    assert failed.value.retryable
    assert not failed.value.outcome_unknown


@pytest.mark.parametrize("status", ["400 Bad Request", "401 Unauthorized", "403 Forbidden"])
def test_a_question_that_is_refused_leaves_the_outcome_unknown(status: str) -> None:
    with RawServer(answer(status, b'{"detail": "No."}')) as server, pytest.raises(Upstream) as failed:
        system_at(server.url).outcome("key")
    error = failed.value
    assert (error.code, error.retryable, error.outcome_unknown) == ("eom-untold", True, True)
    assert error.reason.endswith("an earlier attempt. Enterprise order management refused it: No.")
    assert error.status == int(status[:3])


def test_an_answer_that_breaks_off_is_no_answer_and_the_next_call_is_fine() -> None:
    def break_off(connection: socket.socket) -> None:
        connection.sendall(b'HTTP/1.1 201 Created\r\nContent-Length: 100\r\n\r\n{"eom_id": 1}')

    with RawServer(break_off, answer("201 Created")) as server:
        system = system_at(server.url, max_calls=1)
        error = post(system)
        assert (error.code, error.outcome_unknown) == ("eom-no-answer", True)
        assert system.post("/orders", {}, "k").status == 201


def test_an_endless_answer_is_cut_off_and_does_not_keep_its_place() -> None:
    endless = answer("201 Created", b'"' + b"a" * 2_000_000 + b'"')
    with RawServer(endless, endless, answer("201 Created")) as server:
        system = system_at(server.url, max_calls=1)
        for _ in range(2):
            error = post(system)
            assert (error.code, error.retryable, error.outcome_unknown) == ("eom-no-answer", True, True)
        assert system.post("/orders", {}, "k").status == 201


@pytest.mark.parametrize(
    "body",
    [
        b"<!doctype html><h1>Maintenance</h1>",
        b"",
        b"[]",
        b'"accepted"',
        b'{"balance": NaN}',
        b'{"a":' * 100_000,
        b'{"name": "\xff"}',
    ],
)
def test_an_answer_of_200_that_is_no_json_object_is_no_answer(body: bytes) -> None:
    with RawServer(answer("200 OK", body)) as server:
        error = post(system_at(server.url))
    assert (error.code, error.retryable, error.outcome_unknown) == ("eom-garbage", True, True)


def test_a_redirect_is_not_followed() -> None:
    with RawServer(answer("302 Found", b"", "Location: /elsewhere")) as server:
        error = post(system_at(server.url))
        assert len(server.requests) == 1
    assert (error.code, error.status, error.outcome_unknown) == ("eom-garbage", 302, True)


@pytest.mark.parametrize("status", ["408 Request Timeout", "425 Too Early", "429 Too Many Requests"])
def test_what_was_refused_before_it_was_looked_at_is_tried_again(status: str) -> None:
    with RawServer(answer(status)) as server:
        error = post(system_at(server.url))
    assert error.retryable
    assert not error.outcome_unknown


@pytest.mark.parametrize("status", ["400 Bad Request", "401 Unauthorized", "404 Not Found", "409 Conflict"])
def test_what_was_refused_for_what_it_is_is_not_tried_again(status: str) -> None:
    with RawServer(answer(status, b"no JSON")) as server:
        error = post(system_at(server.url))
    assert (error.code, error.retryable, error.outcome_unknown) == ("eom-refused", False, False)


def test_a_reason_of_any_length_is_cut_to_what_a_person_reads() -> None:
    body = b'{"code": "%s", "detail": "%s"}' % (b"c" * 10_000, b"d" * 100_000)
    with RawServer(answer("422 Unprocessable Content", body)) as server:
        error = post(system_at(server.url))
    assert len(error.code) <= 64
    assert len(error.reason) < 1_000
    assert len(error.answer or "") <= 500


def test_a_connection_that_the_system_closed_meanwhile_is_replaced() -> None:
    def once(connection: socket.socket) -> bool:
        answer("201 Created")(connection)
        return False

    with RawServer(once) as server:
        system = system_at(server.url, max_calls=1)
        for number in range(3):
            assert system.post("/orders", {}, f"k-{number}").status == 201
            wait_until(lambda: not server.open, 20, "the server has closed the connection")


def test_no_more_calls_than_allowed_are_under_way_at_the_same_time() -> None:
    pairs, pause, under_way, most = threading.Barrier(2), threading.Event(), [0], [0]
    lock = threading.Lock()

    def in_pairs(connection: socket.socket) -> bool | None:
        with lock:
            under_way[0] += 1
            most[0] = max(most[0], under_way[0])
        pairs.wait(20)
        pause.wait(0.05)
        with lock:
            under_way[0] -= 1
        return answer("201 Created")(connection)

    with RawServer(in_pairs) as server, ThreadPoolExecutor(6) as pool:
        system = system_at(server.url, max_calls=2)
        answers = list(pool.map(lambda number: system.post("/orders", {}, f"k-{number}"), range(6)))
    assert [found.status for found in answers] == [201] * 6
    assert most == [2]
