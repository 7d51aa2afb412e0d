"""Mails carry the key of their effect, and are sent to addresses that can be sent to."""

from __future__ import annotations

import json

import pytest

from portal.clients.aws import Queues
from portal.clients.mail import Mail, effect_key_of
from portal.errors import InvalidInput, Upstream
from portal.settings import Settings
from sandbox.emulator import free_port
from sandbox.provision import provision
from tests.clients.raw_server import RawServer, answer
from tests.clients.settings import settings_for
from tests.sandbox.running import RunningSandbox
from tests.servers.waiting import wait_until

KEY = "0123456789abcdef0123456789abcdef-mail-in-process"
REJECTED = b"""<ErrorResponse xmlns="http://ses.amazonaws.com/doc/2010-12-01/"><Error><Type>Sender</Type>
<Code>MessageRejected</Code><Message>Email address is on the suppression list.</Message></Error>
<RequestId>1</RequestId></ErrorResponse>"""
THROTTLED = REJECTED.replace(b"MessageRejected", b"Throttling")


@pytest.fixture
def settings(aws_endpoint: str, aws_account: str, sandbox: RunningSandbox) -> Settings:
    given = settings_for(aws_endpoint, aws_account, SES_ENDPOINT_URL=f"{sandbox.url}/ses")
    provision(given)
    return given


def send(settings: Settings, order: str, to: str = "ana@example.com", key: str | None = None) -> str:
    return Mail(settings).send(
        key or f"{order}-mail",
        to=to,
        subject=f"Your order {order} – ñandú",
        text="Thank you",
        html="<p>Thank you</p>",
        order_number=order,
    )


def send_to(url: str, aws_account: str, deadline: str = "10") -> Upstream:
    """Send in vain to an SES at this address, and return the error."""
    away = settings_for(url, aws_account, CALL_DEADLINE_SECONDS=deadline)
    with pytest.raises(Upstream) as failed:
        send(away, "X-1")
    return failed.value


def test_a_mail_arrives_with_its_key_and_its_order(
    settings: Settings, sandbox: RunningSandbox, order: str
) -> None:
    message_id = send(settings, order)
    (mail,) = sandbox.client.effects("mail", order=order)
    assert (mail["key"], mail["external_id"]) == (f"{order}-mail", message_id)
    request = mail["request"] if isinstance(mail["request"], dict) else json.loads(mail["request"])
    assert request["to"] == ["ana@example.com"]
    assert request["subject"] == f"Your order {order} – ñandú"


def test_the_delivery_notice_of_a_mail_gives_its_key_back(settings: Settings, order: str) -> None:
    message_id = send(settings, order, key=KEY)
    queues = Queues(settings)
    (notice,) = wait_until(lambda: queues.receive(settings.mail_events_queue), 20, "the notice comes")
    mail = json.loads(json.loads(notice.body)["Message"])["mail"]
    assert effect_key_of(mail["source"]) == KEY
    assert mail["messageId"] == message_id


@pytest.mark.parametrize(
    "sender",
    ["orders@mail.waybill.example", "bounce@mail.waybill.example", "", f"bounce+{'k' * 65}@mail.example"],
)
def test_an_envelope_that_is_not_ours_has_no_key(sender: str) -> None:
    assert effect_key_of(sender) is None


@pytest.mark.parametrize(
    "address",
    [
        "josé@example.com",
        "ana@exámple.com",
        "ana@example.com\r\nBcc: eve@example.com",
        "ana@example.com\n",
        "ana @example.com",
        "ana@example.com,eve@example.com",
        "eve,ana@example.com",
        "<ana@example.com>",
        '"ana"@example.com',
        ".ana@example.com",
        "ana..b@example.com",
        "ana@localhost",
        "ana@@example.com",
        "ana@example..com",
        f"{'a' * 65}@example.com",
        "",
    ],
)
def test_an_address_that_ses_cannot_send_to_is_refused_before_anything_is_sent(
    settings: Settings, sandbox: RunningSandbox, order: str, address: str
) -> None:
    with pytest.raises(InvalidInput) as refused:
        send(settings, order, address)
    assert refused.value.field == "customer.email"
    assert sandbox.client.effects("mail", order=order) == []


def test_an_address_with_unusual_signs_that_are_allowed_is_sent_to(
    settings: Settings, sandbox: RunningSandbox, order: str
) -> None:
    send(settings, order, "o'neil+a_b!#$%&*/=?^`{|}~-.c@ex-ample.co.uk")
    assert sandbox.orders_with_effects("mail", order) == 1


@pytest.mark.parametrize(
    ("fault", "code", "effects"),
    [
        ("down", "mail-no-answer", 0),
        ("500", "mail-error", 0),
        ("garbage", "mail-no-answer", 0),
        ("lost-answer", "mail-no-answer", 1),
    ],
)
def test_after_a_fault_nobody_knows_whether_the_mail_went_out_and_it_is_not_sent_again_here(
    settings: Settings, sandbox: RunningSandbox, order: str, fault: str, code: str, effects: int
) -> None:
    sandbox.client.put_fault("mail", fault, times=1)
    with pytest.raises(Upstream) as failed:
        send(settings, order)
    assert (failed.value.code, failed.value.retryable, failed.value.outcome_unknown) == (code, True, True)
    assert sandbox.orders_with_effects("mail", order) == effects


def test_a_provider_that_answers_after_the_deadline_did_not_answer(
    aws_endpoint: str, aws_account: str, sandbox: RunningSandbox, order: str
) -> None:
    sandbox.client.put_fault("mail", "slow", times=1, seconds=30)
    error = send_to(f"{sandbox.url}/ses", aws_account, deadline="0.5")
    assert (error.code, error.retryable, error.outcome_unknown) == ("mail-no-answer", True, True)


def test_a_provider_that_cannot_be_reached_sent_nothing(aws_account: str) -> None:
    error = send_to(f"http://127.0.0.1:{free_port()}", aws_account)
    assert (error.code, error.retryable, error.outcome_unknown) == ("mail-no-answer", True, False)


def test_a_message_that_the_provider_rejects_is_not_sent_again(aws_account: str) -> None:
    with RawServer(answer("400 Bad Request", REJECTED)) as server:
        error = send_to(server.url, aws_account)
        assert len(server.requests) == 1
    assert (error.code, error.retryable, error.outcome_unknown) == ("mail-refused", False, False)
    assert error.reason == "The mail provider refused it: Email address is on the suppression list."


def test_a_message_beyond_the_providers_rate_is_sent_later(aws_account: str) -> None:
    with RawServer(answer("400 Bad Request", THROTTLED)) as server:
        error = send_to(server.url, aws_account)
        assert len(server.requests) == 1
    assert (error.code, error.retryable, error.outcome_unknown) == ("mail-error", True, False)
