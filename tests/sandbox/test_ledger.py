"""The ledger: every effect one row, duplicates seen, pages by key."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sandbox.ledger import Count, Effect, Ledger


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    opened = Ledger(tmp_path / "ledger.sqlite3")
    yield opened
    opened.close()


def effect(ledger: Ledger, system: str = "pos", **changes: Any) -> Effect:
    number = ledger.next_id()
    plain = Effect(
        id=number,
        at="2026-01-01T00:00:00.000Z",
        system=system,
        key=f"key-{number}",
        order_number="O-1",
        kind="sale",
        about="",
        external_id=f"X-{number}",
        request="{}",
        answer="{}",
    )
    return plain._replace(**changes)


def test_a_second_effect_of_an_order_and_kind_is_a_duplicate(ledger: Ledger) -> None:
    for order in ("O-1", "O-1", "O-2", "O-1"):
        ledger.append(effect(ledger, order_number=order))
    assert ledger.summary()["pos"] == Count(effects=4, orders=2, duplicates=2)


def test_another_kind_and_another_thing_are_no_duplicates(ledger: Ledger) -> None:
    ledger.append(effect(ledger, "gift-card", about="card one"))
    ledger.append(effect(ledger, "gift-card", about="card two"))
    ledger.append(effect(ledger, "tax-documents", kind="receipt"))
    ledger.append(effect(ledger, "tax-documents", kind="credit-note"))
    assert {count.duplicates for count in ledger.summary().values()} == {0}


def test_a_mail_sent_twice_is_two_rows_and_a_duplicate_although_the_key_is_the_same(ledger: Ledger) -> None:
    for _ in range(2):
        ledger.append_mail(effect(ledger, "mail", key="one", about="Your order"), ["a@example.com"])
    assert ledger.summary()["mail"] == Count(effects=2, orders=1, duplicates=1)
    first = ledger.find("mail", "one")
    assert first is not None
    assert first.id == 1


def test_a_mail_that_cannot_be_written_whole_leaves_nothing(ledger: Ledger) -> None:
    with pytest.raises(UnicodeEncodeError):
        ledger.append_mail(effect(ledger, "mail"), ["\ud800@example.com"])
    assert ledger.page("mail", order=None, after=0, limit=9) == []


def test_mails_that_belong_to_no_order_are_no_duplicates(ledger: Ledger) -> None:
    for _ in range(3):
        ledger.append_mail(effect(ledger, "mail", key=None, order_number=None), ["a@example.com"])
    assert ledger.summary()["mail"] == Count(effects=3, orders=0, duplicates=0)


def test_a_system_that_did_nothing_is_counted_too(ledger: Ledger) -> None:
    assert ledger.summary()["eom"] == Count(0, 0, 0)


def test_a_key_belongs_to_one_system(ledger: Ledger) -> None:
    assert ledger.append(effect(ledger, "pos", key="one"))
    assert ledger.append(effect(ledger, "eom", key="one"))
    assert not ledger.append(effect(ledger, "eom", key="one"))


def test_pages_go_on_after_the_last_id(ledger: Ledger) -> None:
    for position in range(5):
        ledger.append(effect(ledger, order_number="O-1" if position % 2 else "O-2"))
        ledger.append(effect(ledger, "eom"))
    ids, after = [], 0
    while page := ledger.page("pos", order=None, after=after, limit=2):
        ids += [row.id for row in page]
        after = ids[-1]
    assert ids == [1, 3, 5, 7, 9]
    assert [row.id for row in ledger.page("pos", order="O-1", after=3, limit=9)] == [7]


def test_mails_are_found_by_the_start_of_an_address_and_by_order_newest_first(ledger: Ledger) -> None:
    for address, order in (
        ("jose@example.com", "O-1"),
        ("JOSÉ@example.com", "O-2"),
        ("jose@example.org", "O-3"),
    ):
        ledger.append_mail(effect(ledger, "mail", order_number=order), [address])
    ledger.append(effect(ledger, "pos", order_number="O-1"))

    def found(query: str, before: int | None = None, limit: int = 9) -> list[str | None]:
        return [mail.order_number for mail in ledger.mails(query=query, before=before, limit=limit)]

    assert found("") == ["O-3", "O-2", "O-1"]
    assert found("Jose@EXAMPLE") == ["O-3", "O-1"]
    assert found("josé@example.com") == ["O-2"]
    assert found("O-1") == ["O-1"]
    assert found("%") == []
    assert found("", before=3, limit=1) == ["O-2"]


def test_ids_go_on_after_those_that_are_there(ledger: Ledger, tmp_path: Path) -> None:
    ledger.append(effect(ledger))
    again = Ledger(tmp_path / "ledger.sqlite3")
    assert again.next_id() == 2
    again.close()
