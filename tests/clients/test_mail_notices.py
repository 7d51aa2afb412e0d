"""Notices of SES are read for what they say of mails that are ours."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from portal.clients.mail_notices import MailNotice, read_notice
from portal.errors import InvalidInput

AT = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
STAMP = "2026-11-20T12:00:00.000Z"


def notice(kind: str, about: dict[str, Any], source: str = "bounce+key-1@mail.waybill.example") -> str:
    mail = {"source": source, "messageId": "m-1"}
    return json.dumps({"notificationType": kind, "mail": mail, kind.lower(): {"timestamp": STAMP} | about})


def test_a_delivery_tells_nothing_but_itself() -> None:
    assert read_notice(notice("Delivery", {})) == MailNotice("delivery", "key-1", "m-1", AT)


@pytest.mark.parametrize(
    ("about", "reason", "permanent", "full_reason"),
    [
        (
            {
                "bounceType": "Permanent",
                "bounceSubType": "General",
                "bouncedRecipients": [{"diagnosticCode": "550 5.1.1"}],
            },
            "Permanent bounce, General.",
            True,
            "Permanent bounce, General: 550 5.1.1",
        ),
        (
            {"bounceType": "Transient", "bounceSubType": "MailboxFull"},
            "Transient bounce, MailboxFull.",
            False,
            "Transient bounce, MailboxFull.",
        ),
        ({}, "Undetermined bounce, Undetermined.", False, "Undetermined bounce, Undetermined."),
    ],
)
def test_a_bounce_tells_its_reason_and_whether_it_is_final(
    about: dict[str, Any], reason: str, permanent: bool, full_reason: str
) -> None:
    found = read_notice(notice("Bounce", about))
    assert found is not None
    assert (found.kind, found.effect_key, found.message_id, found.at) == ("bounce", "key-1", "m-1", AT)
    assert (found.reason, found.permanent, found.full_reason) == (reason, permanent, full_reason)


def test_a_reason_without_end_is_cut() -> None:
    endless = {"bounceType": "x" * 10_000, "bouncedRecipients": [{"diagnosticCode": "x" * 10_000}]}
    found = read_notice(notice("Bounce", endless))
    assert found is not None
    assert len(found.full_reason or "") == 602


def test_a_complaint_tells_its_kind() -> None:
    found = read_notice(notice("Complaint", {"complaintFeedbackType": "abuse"}))
    assert found is not None
    assert (found.kind, found.reason) == ("complaint", "The recipient complained: abuse.")


def test_an_envelope_and_the_name_of_event_publishing_are_understood() -> None:
    plain = json.loads(notice("Delivery", {}))
    plain["eventType"] = plain.pop("notificationType")
    wrapped = {"Type": "Notification", "Message": json.dumps(plain)}
    assert read_notice(json.dumps(wrapped)) == MailNotice("delivery", "key-1", "m-1", AT)


@pytest.mark.parametrize(
    "body", [notice("Send", {}), notice("Delivery", {}, source="orders@mail.waybill.example"), "{}"]
)
def test_what_is_not_of_our_mails_is_none(body: str) -> None:
    assert read_notice(body) is None


def test_what_is_lacking_in_a_notice_is_named() -> None:
    with pytest.raises(InvalidInput, match=r"it has no 'source'"):
        read_notice('{"notificationType": "Delivery", "mail": {}, "delivery": {}}')
