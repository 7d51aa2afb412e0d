"""Mail on its way to SES: passed on as it is, written down when accepted."""

from __future__ import annotations

from email.message import EmailMessage
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

from sandbox.mail import SEND_PATH_V2, Outgoing, outgoing, read_letter
from tests.sandbox.running import RunningSandbox

SENDER = "orders@mail.example.com"
HTML = '<p onclick="alert(1)">Gracias &amp; <b>saludos</b></p><script>alert(2)</script>'


def ses(sandbox: RunningSandbox, account: str, service: Any = "ses") -> Any:
    client = boto3.client(
        service,
        endpoint_url=f"{sandbox.url}/ses",
        region_name="us-east-1",
        aws_access_key_id=account,
        aws_secret_access_key="any",
        config=Config(retries={"total_max_attempts": 1}),
    )
    if service == "ses":
        client.verify_domain_identity(Domain="mail.example.com")
    return client


def message(order: str, to: str = "jose@example.com", subject: str = "¡Tu pedido está en camino!") -> bytes:
    mail = EmailMessage()
    mail["From"] = f"Waybill <{SENDER}>"
    mail["To"] = to
    mail["Subject"] = subject
    mail["Message-ID"] = f"<{order}@mail.example.com>"
    mail["X-Waybill-Effect"] = f"{order}:mail"
    mail["X-Waybill-Order"] = order
    mail.set_content("Hola, señor <b>.\n")
    mail.add_alternative(HTML, subtype="html")
    return mail.as_bytes()


def send(client: Any, raw: bytes, to: str = "jose@example.com") -> str:
    answer = client.send_raw_email(Source=SENDER, Destinations=[to], RawMessage={"Data": raw})
    return str(answer["MessageId"])


def test_a_raw_mail_of_version_1_is_accepted_by_ses_and_written_down(
    sandbox: RunningSandbox, aws_account: str, order: str
) -> None:
    message_id = send(ses(sandbox, aws_account), message(order))
    (effect,) = sandbox.client.effects("mail", order=order)
    assert (effect["key"], effect["external_id"]) == (f"{order}:mail", message_id)
    assert effect["request"] == {
        "to": ["jose@example.com"],
        "from": f"Waybill <{SENDER}>",
        "subject": "¡Tu pedido está en camino!",
        "message_id": f"<{order}@mail.example.com>",
        "text": "Hola, señor <b>.\n",
        "html": HTML + "\n",
    }
    asked = sandbox.send("GET", f"/mail/effects/{order}:mail")
    assert asked.json() == {"message_id": message_id}


def test_a_raw_mail_of_version_2_is_written_down_too(
    sandbox: RunningSandbox, aws_account: str, order: str
) -> None:
    ses(sandbox, aws_account)
    answer = ses(sandbox, aws_account, "sesv2").send_email(
        FromEmailAddress=SENDER,
        Destination={"ToAddresses": ["Ana <ana@example.com>"]},
        Content={"Raw": {"Data": message(order)}},
    )
    (effect,) = sandbox.client.effects("mail", order=order)
    assert (effect["external_id"], effect["request"]["to"]) == (answer["MessageId"], ["ana@example.com"])


def test_a_mail_sent_twice_is_a_duplicate(sandbox: RunningSandbox, aws_account: str, order: str) -> None:
    before = sandbox.client.summary()["mail"]["duplicates"]
    client = ses(sandbox, aws_account)
    assert send(client, message(order)) != send(client, message(order))
    assert sandbox.client.summary()["mail"]["duplicates"] == before + 1


def test_a_mail_that_ses_refuses_is_not_written_down(
    sandbox: RunningSandbox, aws_account: str, order: str
) -> None:
    client = ses(sandbox, aws_account)
    with pytest.raises(client.exceptions.MessageRejected):
        client.send_raw_email(Source="a@elsewhere.example.com", RawMessage={"Data": message(order)})
    assert sandbox.orders_with_effects("mail", order) == 0


def test_a_mail_in_a_form_that_the_ledger_cannot_hold_is_refused(
    sandbox: RunningSandbox, aws_account: str
) -> None:
    content = {"Subject": {"Data": "x"}, "Body": {"Text": {"Data": "x"}}}
    to = {"ToAddresses": ["a@example.com"]}
    with pytest.raises(ClientError, match="message-unreadable"):
        ses(sandbox, aws_account).send_email(Source=SENDER, Destination=to, Message=content)
    with pytest.raises(ClientError, match="message-unreadable"):
        ses(sandbox, aws_account, "sesv2").send_email(
            FromEmailAddress=SENDER, Destination=to, Content={"Simple": content}
        )


@pytest.mark.parametrize(
    ("kind", "error", "sent"),
    [
        ("down", BotoCoreError, 0),
        ("500", ClientError, 0),
        ("garbage", ResponseParserError, 0),
        ("lost-answer", BotoCoreError, 1),
    ],
)
def test_faults_fail_a_mail_before_or_after_it_was_accepted(
    sandbox: RunningSandbox, aws_account: str, order: str, kind: str, error: type[Exception], sent: int
) -> None:
    client = ses(sandbox, aws_account)
    sandbox.client.put_fault("mail", kind, times=1)
    accepted = client.get_send_quota() if kind == "lost-answer" else {}
    with pytest.raises(error) as raised:
        send(client, message(order))
    assert kind != "500" or raised.value.response["ResponseMetadata"]["HTTPStatusCode"] == 500  # type: ignore[attr-defined]
    assert sandbox.orders_with_effects("mail", order) == sent
    assert bool(accepted) == (kind == "lost-answer")
    send(client, message(order))


def test_an_address_that_no_text_can_hold_does_not_keep_a_mail_from_the_ledger() -> None:
    document = b'{"Content": {"Raw": {"Data": ""}}, "Destination": {"ToAddresses": ["a\\ud800@example.com"]}}'
    found = outgoing(SEND_PATH_V2, "application/json", document)
    assert found is not None
    assert found.recipients == ("a?@example.com",)


def test_a_letter_in_a_charset_that_lies_can_be_read() -> None:
    mime = b"Subject: x\r\nContent-Type: text/plain; charset=klingon\r\n\r\nhola\xff\r\n"
    letter = read_letter(Outgoing(mime, ("a@example.com",), None, None, "x").as_request())
    assert letter.text.startswith("hola")
