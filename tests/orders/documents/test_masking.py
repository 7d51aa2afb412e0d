"""Card numbers and secrets are masked wherever a document is shown; the rest stays to the letter."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portal.orders.canonical import Order, canonical_json
from portal.orders.documents.masking import TOO_DEEP, masked_card_number, masked_document, masked_text
from tests.orders.documents.ubl import ubl_order
from tests.orders.orders import orders

CARD = "4111111111111111"


@pytest.mark.parametrize(
    ("number", "masked"),
    [("6033000000001234", "•••• 1234"), ("6033-0000 1234", "•••• 1234"), ("1234567", "••••"), ("", "••••")],
)
def test_the_last_four_of_a_long_number_are_shown(number: str, masked: str) -> None:
    assert masked_card_number(number) == masked


MASKED = {
    "a card number": (f"<a>{CARD}</a>", "<a>•••• 1111</a>"),
    "one in groups": ("<a>no 4111 1111 1111 1111, 4111-1111-1111-1111</a>", "<a>no •••• 1111, •••• 1111</a>"),
    "one behind a date": (f"<a>2010-02-10 {CARD}</a>", "<a>2010-02-10 •••• 1111</a>"),
    "one in an attribute": (f"<a b='{CARD}' c=\"x\"/>", "<a b='•••• 1111' c=\"x\"/>"),
    "one in a comment": (f"<a><!-- {CARD} --></a>", "<a><!-- •••• 1111 --></a>"),
    "one in character data": (f"<a><![CDATA[{CARD}]]></a>", "<a><![CDATA[•••• 1111]]></a>"),
    "one in character references": ("<a>&#52;&#x31;11111111111111</a>", "<a>•••• 1111</a>"),
    "a shared secret": (
        "<a><SharedSecret> x </SharedSecret>y</a>",
        "<a><SharedSecret>••••</SharedSecret>y</a>",
    ),
    "a secret of any prefix": ("<n:sharedSecret>x</n:sharedSecret>", "<n:sharedSecret>••••</n:sharedSecret>"),
    "a secret in parts": (
        "<Secret>a<b>c</b><!--d--></Secret>",
        "<Secret>••••<b>••••</b><!--••••--></Secret>",
    ),
    "a secret attribute": ("<a password=\"x\" api-key = 'y'/>", "<a password=\"••••\" api-key = '••••'/>"),
    "a gift card of any form": (
        "<x:PaymentID>AB-12345-67</x:PaymentID>",
        "<x:PaymentID>•••• 4567</x:PaymentID>",
    ),
    "a secret of a broken document": ("<a><Password>x</a><b>y", "<a><Password>••••</a><b>y"),
    "a secret without an end": ("<a><Password>x", "<a><Password>••••"),
    "a key": ('{"token": "x", "b": "y"}', '{"token": "••••", "b": "y"}'),
    "a key in disguise": ('{"t\\u006fken": "x"}', '{"t\\u006fken": "••••"}'),
    "all below a key": ('{"secret": {"a": [1, "x"]}, "b": 1}', '{"secret": {"a": ["••••", "••••"]}, "b": 1}'),
    "a card of JSON as a number": (f'{{"n": {CARD}}}', '{"n": "•••• 1111"}'),
    "a card of JSON in disguise": ('["\\u0034111111111111111"]', '["•••• 1111"]'),
    "a gift card of a call": ('{"card_number": "ABCD12345"}', '{"card_number": "•••• 2345"}'),
    "a gift card of an order": (
        '{"gift_cards": [{"number": "AB1234567", "amount": "1.00"}], "number": "AB1234567"}',
        '{"gift_cards": [{"number": "•••• 4567", "amount": "1.00"}], "number": "AB1234567"}',
    ),
    "a secret of broken JSON": ('{"password": "x', '{"password": "••••"'),
    "a network and a device": ('{"ip": "192.0.2.7", "device": "x"}', '{"ip": "••••", "device": "••••"}'),
    "a key in JSON within JSON": (
        json.dumps({"Message": json.dumps({"token": "x", "b": "y"}), "c": 1}),
        json.dumps({"Message": '{"token": "••••", "b": "y"}', "c": 1}, ensure_ascii=False),
    ),
    "a card in JSON within JSON": ('{"a": "{4111 1111 1111 1111}"}', '{"a": "{•••• 1111}"}'),
    "a key in an envelope that was cut off": (
        '{"Message": "{\\"token\\": \\"x',
        '{"Message": "{\\"token\\": \\"••••\\""',
    ),
    "a card in plain text": (f"Card {CARD}.", "Card •••• 1111."),
}


@pytest.mark.parametrize(("text", "masked"), MASKED.values(), ids=MASKED.keys())
def test_what_must_not_be_seen_is_masked(text: str, masked: str) -> None:
    assert masked_text(text) == masked


@pytest.mark.parametrize(
    "text",
    [
        "<a>4111111111111112</a>",
        "<a>411111111111</a>",
        "<a>20100210 123001</a>",
        f"<a>{CARD}{CARD}</a>",
        "<a b = 'x'  c=\"&quot;\"><!-- d --><![CDATA[<e>]]>&amp; \n</a>",
        '{"a" : [1, 2.50, "x\\u00e5"],\n "tokens": "x", "number": "12345678"}',
        ubl_order(),
    ],
)
def test_what_is_no_secret_stays_to_the_letter(text: str) -> None:
    assert masked_text(text) == text


@settings(deadline=None)
@given(st.text(st.characters(exclude_categories=["Nd"]), max_size=60))
def test_any_text_without_digits_and_telling_names_stays_to_the_letter(text: str) -> None:
    for whole in (text, f"<a {text}</a>", f"[{text}]"):
        assert masked_text(whole) == whole


@settings(deadline=None)
@given(orders())
def test_a_canonical_order_is_shown_without_the_numbers_of_its_gift_cards(order: Order) -> None:
    shown = json.loads(masked_document(canonical_json(order)))
    for card, masked in zip(order.gift_cards, shown.get("gift_cards", []), strict=True):
        assert masked["number"] == masked_card_number(card.number)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-8-sig"])
def test_a_document_is_shown_whatever_its_encoding(encoding: str) -> None:
    assert masked_document(f"<a>å{CARD}</a>".encode(encoding)) == "<a>å•••• 1111</a>"


def test_bytes_that_are_no_text_are_shown_as_far_as_they_are() -> None:
    assert masked_document(b"<a>\xff" + CARD.encode() + b"</a>") == "<a>\ufffd•••• 1111</a>"


@pytest.mark.parametrize("text", ["<a>" * 100_000, "[" * 100_000, '{"a":' * 100_000])
def test_what_is_nested_too_deeply_is_not_shown(text: str) -> None:
    assert masked_text(text) == TOO_DEEP
