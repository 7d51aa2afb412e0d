"""The front of the server: the calls of the application, answered with faults and the ledger.

It is plain WSGI, because these calls decide how fast a load test runs; what people and test programs
look at is behind it, in Flask.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Callable, Iterable
from datetime import datetime
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import urllib3
from botocore.exceptions import BotoCoreError, ClientError

from sandbox import faults, mail, spends, users
from sandbox.answers import (
    MAX_BODY,
    Answer,
    Refused,
    decode_object,
    encode,
    problem,
)
from sandbox.ledger import SYSTEMS, Effect, Ledger
from sandbox.stand_ins import STAND_INS, StandIn

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

MAX_KEY = 255
_STATUS = {status.value: f"{status.value} {status.phrase}" for status in HTTPStatus}
_GARBAGE = Answer(200, b"<!doctype html><title>Welcome</title><h1>It works!</h1>", "text/html; charset=utf-8")
_QUESTION = re.compile(rf"/(?P<system>{'|'.join(SYSTEMS)})/effects/(?P<key>.+)")
# Those that belong to one connection, and those that are written anew for the other.
_OWN_TO_A_CONNECTION = {
    "connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "content-length", "expect",
}  # fmt: skip


class Front:
    """Answer the application's calls; hand everything else to `pages`.

    `in_flight` counts the calls that have no answer yet.
    """

    def __init__(
        self,
        *,
        ledger: Ledger,
        board: faults.FaultBoard,
        emulator: urllib3.PoolManager,
        emulator_url: str,
        pages: WSGIApplication,
        publish: users.Publish,
        spends: spends.Spends,
        clock: Callable[[], datetime],
        pause: Callable[[float], None],
    ) -> None:
        self._ledger = ledger
        self._board = board
        self._emulator = emulator
        self._emulator_url = emulator_url.rstrip("/")
        self._pages = pages
        self._publish = publish
        self._spends = spends
        self._clock = clock
        self._pause = pause
        self.in_flight = 0

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        self.in_flight += 1
        try:
            answer = self._answer(environ)
        except Refused as refusal:
            answer = problem(refusal)
        finally:
            self.in_flight -= 1
        if answer is None:
            return self._pages(environ, start_response)
        start_response(
            _STATUS.get(answer.status, f"{answer.status} Unknown"),
            [
                ("Content-Type", answer.content_type),
                ("Content-Length", str(len(answer.body))),
                *answer.headers,
            ],
        )
        return (answer.body,)

    def _answer(self, environ: WSGIEnvironment) -> Answer | None:
        path: str = environ["PATH_INFO"]
        method: str = environ["REQUEST_METHOD"]
        if method == "POST":
            stand_in = STAND_INS.get(path)
            if stand_in is not None:
                return self._under_faults(
                    stand_in.system, lambda: self._execute(stand_in, environ), effect=True
                )
            if path in users.CALLS:
                return self._under_faults("users", lambda: self._tell_of_user(path, environ), effect=True)
            if path == spends.ASK:
                amounts = partial(self._spends.amounts, _body(environ))
                return self._under_faults("spend", lambda: Answer(200, amounts()), effect=False)
            if path == spends.SET:
                return Answer(201, self._spends.set_amount(_body(environ), self._now()))
        if path == "/ses" or path.startswith("/ses/"):
            return self._relay(environ, path.removeprefix("/ses") or "/")
        if method == "GET" and (question := _QUESTION.fullmatch(path)):
            system, key = question["system"], question["key"]
            return self._under_faults(system, lambda: self._tell(system, key), effect=False)
        return None

    def _under_faults(self, system: str, act: Callable[[], Answer], *, effect: bool) -> Answer:
        fault = self._board.strike(system, effect=effect)
        if fault is None:
            return act()
        if fault.kind == faults.DOWN:
            raise _hang_up()
        if fault.kind == faults.ERROR:
            raise Refused(500, "internal-error", f"The system {system} failed.")
        if fault.kind == faults.GARBAGE:
            return _GARBAGE
        try:
            answer = act()
        except Refused as refusal:
            answer = problem(refusal)
        if fault.kind == faults.LOST_ANSWER:
            raise _hang_up()
        self._pause(fault.seconds or 0.0)
        return answer

    def _execute(self, stand_in: StandIn, environ: WSGIEnvironment) -> Answer:
        """Cause the effect of a call once for its key, and give the same answer each time."""
        key = _idempotency_key(environ)
        body = _body(environ)
        request = decode_object(body)
        number = self._ledger.next_id()
        at = self._now()
        order = stand_in.belongs_to(request)
        outcome = stand_in.act(request, number, at)
        answer = encode(outcome.answer)
        effect = Effect(
            id=number,
            at=at,
            system=stand_in.system,
            key=key,
            order_number=order,
            kind=outcome.kind,
            about=outcome.about,
            external_id=outcome.external_id,
            request=body.decode(),
            answer=answer.decode(),
        )
        if self._ledger.append(effect):
            return Answer(201, answer)
        return self._replay(stand_in.system, key, request)

    def _replay(self, system: str, key: str, request: dict[str, Any]) -> Answer:
        earlier = self._ledger.find(system, key)
        if earlier is None or decode_object(earlier.request.encode()) != request:
            raise Refused(422, "idempotency-key-reused", "This key was used before with another body.")
        return Answer(200, earlier.answer.encode(), headers=(("Idempotent-Replay", "true"),))

    def _tell(self, system: str, key: str) -> Answer:
        effect = self._ledger.find(system, key)
        if effect is None:
            raise Refused(404, "effect-not-found", "This key has had no effect.")
        return Answer(200, effect.answer.encode())

    def _tell_of_user(self, path: str, environ: WSGIEnvironment) -> Answer:
        """Publish what happened to a user, and write it down; asked again, it is published again."""
        topic, make = users.CALLS[path]
        number = self._ledger.next_id()
        at = self._now()
        message = make(decode_object(_body(environ)), number, at)
        try:
            message_id = self._publish(topic, encode(message))
        except (BotoCoreError, ClientError) as error:
            raise Refused(
                502, "emulator-unreachable", f"The AWS emulator did not take it: {error}"
            ) from error
        answer = encode({"user_id": message["user_id"], "message_id": message_id})
        effect = Effect(
            id=number,
            at=at,
            system="users",
            key=None,
            order_number=str(message["user_id"]),
            kind=message["type"],
            about="",
            external_id=message_id,
            request=encode(message).decode(),
            answer=answer.decode(),
        )
        self._ledger.append(effect)
        return Answer(201, answer)

    def _relay(self, environ: WSGIEnvironment, path: str) -> Answer:
        """Pass a request on to the emulator's SES, and write down each message that it accepts."""
        try:
            body = _body(environ)
            message = mail.outgoing(path, environ.get("CONTENT_TYPE", ""), body)
            return self._under_faults(
                "mail", lambda: self._forward(environ, path, body, message), effect=message is not None
            )
        except Refused as refusal:
            return mail.as_ses_error(path, refusal)

    def _forward(
        self, environ: WSGIEnvironment, path: str, body: bytes, message: mail.Outgoing | None
    ) -> Answer:
        query = environ.get("QUERY_STRING", "")
        try:
            reply = self._emulator.request(
                environ["REQUEST_METHOD"],
                f"{self._emulator_url}{path}{'?' if query else ''}{query}",
                body=body,
                headers=_headers_of(environ),
                decode_content=False,
            )
        except urllib3.exceptions.HTTPError as error:
            raise Refused(502, "emulator-unreachable", f"The AWS emulator did not answer: {error}") from error
        if message is not None and reply.status == 200:
            self._write_down(message, mail.accepted_id(reply.data))
        passed_on = tuple(
            (name, value)
            for name, value in reply.headers.items()
            if name.lower() not in _OWN_TO_A_CONNECTION | {"content-type", "date", "server"}
        )
        return Answer(reply.status, reply.data, reply.headers.get("Content-Type", ""), passed_on)

    def _write_down(self, message: mail.Outgoing, message_id: str) -> None:
        effect = Effect(
            id=self._ledger.next_id(),
            at=self._now(),
            system="mail",
            key=message.key,
            order_number=message.order_number,
            kind="mail",
            about=message.subject,
            external_id=message_id,
            request=message.as_request(),
            answer=encode({"message_id": message_id}).decode(),
        )
        self._ledger.append_mail(effect, message.recipients)

    def _now(self) -> str:
        return self._clock().isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _hang_up() -> OSError:
    # The server takes it for a client that went away, and closes the connection without a word.
    return ConnectionResetError(errno.ECONNRESET, "closed by a fault on demand")


def _idempotency_key(environ: WSGIEnvironment) -> str:
    key: str = environ.get("HTTP_IDEMPOTENCY_KEY", "")
    if not 0 < len(key) <= MAX_KEY or not (key.isascii() and key.isprintable()):
        raise Refused(
            400,
            "idempotency-key-missing",
            f"The header Idempotency-Key must hold 1 to {MAX_KEY} printable ASCII characters.",
            field="Idempotency-Key",
        )
    return key


def _body(environ: WSGIEnvironment) -> bytes:
    body: bytes = environ["wsgi.input"].read(MAX_BODY + 1)
    if len(body) > MAX_BODY:
        raise Refused(413, "body-too-large", f"A body may have {MAX_BODY} bytes at most.")
    return body


def _headers_of(environ: WSGIEnvironment) -> dict[str, str]:
    headers = {
        name[5:].replace("_", "-").lower(): value
        for name, value in environ.items()
        if name.startswith("HTTP_") and isinstance(value, str)
    }
    if environ.get("CONTENT_TYPE"):
        headers["content-type"] = environ["CONTENT_TYPE"]
    return {name: value for name, value in headers.items() if name not in _OWN_TO_A_CONNECTION}
