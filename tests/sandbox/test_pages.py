"""The mailbox in a browser, and the ledger as test programs read it."""

from __future__ import annotations

from email.message import EmailMessage

import pytest

from tests.sandbox.running import POS, RunningSandbox, call_of
from tests.sandbox.test_mail import HTML, message, send, ses


def identity_of(sandbox: RunningSandbox, order: str) -> int:
    (effect,) = sandbox.client.effects("mail", order=order)
    return int(effect["id"])


def test_a_mail_is_found_by_its_order_and_shown_as_text(
    sandbox: RunningSandbox, aws_account: str, order: str
) -> None:
    send(ses(sandbox, aws_account), message(order, subject="<img src=x onerror=alert(1)>"))
    number = identity_of(sandbox, order)
    found = sandbox.page(f"/sandbox/mail?q={order}")
    assert f'href="/sandbox/mail/{number}"' in found
    one = sandbox.page(f"/sandbox/mail/{number}")
    for page in (found, one):
        assert "&lt;img src=x onerror=alert(1)&gt;" in page
        assert "<img" not in page
        assert "<script" not in page
    assert "Hola, señor &lt;b&gt;." in one
    assert "<iframe sandbox\n" in one


def test_the_html_of_a_mail_runs_no_script_wherever_it_is_opened(
    sandbox: RunningSandbox, aws_account: str, order: str
) -> None:
    send(ses(sandbox, aws_account), message(order))
    assert "¡Tu pedido está en camino!" in sandbox.page(f"/sandbox/mail?q={order}")
    answer = sandbox.send("GET", f"/sandbox/mail/{identity_of(sandbox, order)}/html")
    assert answer.data.decode().strip() == HTML
    policy = [rule.strip() for rule in answer.headers["Content-Security-Policy"].split(";")]
    assert policy[:2] == ["sandbox", "default-src 'none'"]
    assert "unsafe" not in sandbox.send("GET", "/sandbox/mail").headers["Content-Security-Policy"]


def test_older_mails_are_a_page_away(sandbox: RunningSandbox, aws_account: str, order: str) -> None:
    client = ses(sandbox, aws_account)
    for position in range(52):
        mail = EmailMessage()
        mail["To"] = f"{order}@example.com"
        mail["Subject"] = f"Mail {position}."
        send(client, mail.as_bytes(), f"{order}@example.com")
    newest = sandbox.page(f"/sandbox/mail?q={order}@example.com")
    assert newest.index("Mail 51.") < newest.index("Mail 2.")
    assert "Mail 1." not in newest
    link = next(line for line in newest.splitlines() if ">Older<" in line)
    older = sandbox.page(link.split('href="')[1].split('"')[0].replace("&amp;", "&"))
    assert older.index("Mail 1.") < older.index("Mail 0.")
    assert "Mail 2." not in older
    assert ">Older<" not in older


def test_an_empty_search_says_so(sandbox: RunningSandbox) -> None:
    assert "No mail to an address that begins like this" in sandbox.page("/sandbox/mail?q=nobody@nowhere")


@pytest.mark.parametrize(
    "path", ["/sandbox/mail/999999999", f"/sandbox/mail/{10**30}", "/sandbox/mail/0/html"]
)
def test_a_mail_that_is_not_there_is_a_404(sandbox: RunningSandbox, path: str) -> None:
    assert sandbox.send("GET", path).status == 404


@pytest.mark.parametrize("question", ["limit=0", "limit=1001", "after=-1", "after=x", "after=" + "9" * 30])
def test_a_bad_page_of_the_ledger_is_refused_by_name(sandbox: RunningSandbox, question: str) -> None:
    answer = sandbox.send("GET", f"/pos/ledger?{question}")
    assert (answer.status, answer.json()["field"]) == (400, question.split("=", maxsplit=1)[0])


def test_the_ledger_is_read_page_by_page(sandbox: RunningSandbox, order: str) -> None:
    for position in range(3):
        sandbox.post(POS, call_of(POS, order), f"{order}-{position}")
    first = sandbox.client.effects("pos", order=order, limit=2)
    rest = sandbox.client.effects("pos", order=order, after=first[-1]["id"], limit=2)
    assert [effect["key"] for effect in first + rest] == [f"{order}-{n}" for n in range(3)]
