"""Synthetic orders: always the same for a seed, varied over seeds, and readable by the portal."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

from portal.orders.canonical import content_hash, parse_order
from portal.orders.documents.reader import load_formats, read_document
from sandbox.samples import as_json, as_ubl, sample_order

MANY = [sample_order(f"N-{seed}", seed) for seed in range(400)]


def test_the_same_number_and_seed_make_the_same_order() -> None:
    assert sample_order("N-1", 1) == sample_order("N-1", 1)
    assert sample_order("N-1", 1)["lines"] != sample_order("N-1", 2)["lines"]


def test_the_portal_reads_the_same_order_from_both_documents() -> None:
    formats = load_formats()
    for order in MANY:
        expected = content_hash(parse_order(order))
        assert content_hash(read_document(as_ubl(order), formats).order) == expected
        assert content_hash(read_document(as_json(order), formats).order) == expected


def test_orders_vary() -> None:
    assert {order["channel"] for order in MANY} == {"e-commerce", "kiosk", "phone"}
    assert {"CL", "PE", "CO", "SE"} <= {order["country"] for order in MANY}
    assert {len(order["lines"]) for order in MANY} == {1, 2, 3, 4, 5, 6}
    assert len({order["store"] for order in MANY}) > 50
    assert 0.07 <= sum(bool(order["gift_cards"]) for order in MANY) / len(MANY) <= 0.18


def test_sums_agree() -> None:
    for order in MANY:
        totals = {name: Decimal(value) for name, value in order["totals"].items()}
        assert totals["lines"] == sum(Decimal(line["amount"]) for line in order["lines"])
        paid = totals["lines"] - totals["allowances"] + totals["charges"] + totals["tax"]
        assert totals["payable"] == paid
        assert sum(Decimal(card["amount"]) for card in order["gift_cards"]) <= paid


def test_no_order_is_one_that_a_stand_in_refuses() -> None:
    assert not [card for order in MANY for card in order["gift_cards"] if card["number"].endswith("0000")]
    assert not [order for order in MANY if str(order["customer"]["tax_id"]).endswith("-X")]


def test_an_address_to_write_or_deliver_to_is_missing_only_when_asked() -> None:
    assert all(order["customer"]["email"] and order["delivery"]["address"] for order in MANY)
    bare = sample_order("N-1", 1, with_email=False, with_address=False)
    assert (bare["customer"]["email"], bare["delivery"]["address"]) == (None, None)
    order = read_document(as_ubl(bare), load_formats()).order
    assert order.customer.email is None
    assert order.delivery.address is None or order.delivery.address.street is None


def test_an_order_can_be_placed_now() -> None:
    now = datetime(2026, 11, 20, 10, 0, 0, 123, tzinfo=UTC)
    assert sample_order("N-1", 1, placed_at=now)["placed_at"] == "2026-11-20T10:00:00Z"
