from __future__ import annotations

from contextlib import suppress
from decimal import Decimal
from threading import Thread

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portal.errors import InvalidInput
from portal.orders.process.conditions import compile_condition
from portal.orders.process.facts import Fact

ORDER: dict[str, Fact] = {
    "gift_card_count": 2,
    "gift_card_amount": Decimal("30.00"),
    "total": Decimal("99.90"),
    "currency": "EUR",
    "channel": "kiosk",
    "store": "",
    "country": "ES",
    "has_email": True,
    "has_address": False,
    "line_count": 3,
}
WORDS = [
    *ORDER,
    *("and", "or", "not", "in", "is", "if", "else", "lambda", "for", "True", "None", "(", ")", "[", "]", ","),
    *("+", "-", "*", "**", "/", "%", "<<", "==", "!=", "<", ">=", ":=", "@", "~", "|", "."),
    *("0", "9", "99.9", "1e308", "'kiosk'", "'a'", "f'{total}'", "b'a'", "1j", "...", "__class__", "open"),
]


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("${gift_card_count > 0}", True),
        ("gift_card_count > 0", True),
        ("  ${ gift_card_count == 0 }  ", False),
        ("has_email", True),
        ("not has_address", True),
        ("has_email and not has_address or total > 1000", True),
        ("total == 99.9", True),
        ("total - gift_card_amount == 69.9", True),
        ("0 < total < 100", True),
        ("total * 2 > 199.79 + 0.01", False),
        ("-total < -99", True),
        ("channel == 'kiosk'", True),
        ("channel != 'kiosk'", False),
        ("channel in ('phone', 'kiosk')", True),
        ("channel not in ('phone', 'e-commerce')", True),
        ("line_count in (1, 2.5)", False),
        ("store == ''", True),
        ("(country == 'ES') == True", True),
    ],
)
def test_a_condition_answers_from_the_facts(text: str, answer: bool) -> None:
    assert compile_condition(text).holds(ORDER) is answer


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "cannot be read"),
        ("${}", "cannot be read"),
        ("total >", "cannot be read"),
        ("total > 1 && has_email", "cannot be read"),
        ("total = 1", "cannot be read"),
        ("has_email; has_address", "cannot be read"),
        ("has_email)or(has_address", "cannot be read"),
        ("gift_cards > 0", "“gift_cards”, which is no fact"),
        ("has_email or weather", "“weather”, which is no fact"),
        ("open('/etc/passwd')", "not allowed"),
        ("len(channel) > 1", "not allowed"),
        ("channel.upper() == 'A'", "not allowed"),
        ("total.__class__ == 1", "not allowed"),
        ("channel[0] == 'k'", "not allowed"),
        ("[x for x in (1, 2)] == 1", "not allowed"),
        ("(lambda: True)()", "not allowed"),
        ("(has_email := True)", "not allowed"),
        ("f'{total}' == 'a'", "not allowed"),
        ("has_email if has_address else True", "not allowed"),
        ("9**9**9 > 1", "not allowed"),
        ("total << 9 > 1", "not allowed"),
        ("total / 0 > 1", "not allowed"),
        ("total % 2 == 1", "not allowed"),
        ("~line_count > 1", "not allowed"),
        ("store is None", "not allowed"),
        ("store == None", "not allowed"),
        ("total is total", "not allowed"),
        ("total == 1j", "not allowed"),
        ("channel == b'kiosk'", "not allowed"),
        ("'a' * 10 == channel", "numbers only"),
        ("channel + 'a' == 'b'", "numbers only"),
        ("-has_email == 1", "numbers only"),
        ("'a' * 10**9 == 'b'", "numbers only"),
        ("total > 1000000000000000", "15 digits"),
        ("total > 1e308", "15 digits"),
        ("total > 1e999", "15 digits"),
        ("total > '10'", "compares a number with a text"),
        ("has_email == 1", "compares a yes-no with a number"),
        ("channel > 'a'", "compare numbers only"),
        ("channel in 'kiosk'", "round brackets"),
        ("channel in ('kiosk')", "round brackets"),
        ("channel in ()", "round brackets"),
        ("channel in (1, 2)", "round brackets"),
        ("channel in ('a', 1)", "round brackets"),
        ("channel in (store, country)", "round brackets"),
        ("has_email and total", "yes-or-no questions only"),
        ("not total", "yes-or-no question only"),
        ("gift_card_count", "not a yes-or-no question"),
        ("'yes'", "not a yes-or-no question"),
        ("(1, 2)", "not allowed"),
        (" or ".join(["has_email"] * 60), "longer than 500"),
        ("not " * 30 + "has_email", "deeper than 20"),
        ("-" * 400 + "total > 1", "deeper than 20"),
        ("(" * 240 + "has_email" + ")" * 240, "cannot be read"),
        ("has_email\0", "cannot be read"),
        ("channel == '\ud800'", "cannot be read"),
    ],
)
def test_anything_but_a_plain_question_is_refused_with_its_reason(text: str, reason: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        compile_condition(text)
    assert reason in refused.value.reason


@given(st.lists(st.sampled_from(WORDS), min_size=1, max_size=12))
def test_whatever_compiles_answers_yes_or_no_for_every_order(words: list[str]) -> None:
    try:
        condition = compile_condition(" ".join(words))
    except InvalidInput:
        return
    nothing: dict[str, Fact] = {name: type(fact)() for name, fact in ORDER.items()}
    assert condition.holds(ORDER) in (True, False)
    assert condition.holds(nothing) in (True, False)


@given(st.text(max_size=40))
def test_no_text_makes_the_compiler_fail_otherwise_than_by_refusing(text: str) -> None:
    with suppress(InvalidInput):
        compile_condition(text)


def test_a_missing_fact_is_told_and_no_crash() -> None:
    with pytest.raises(InvalidInput, match="cannot be answered") as refused:
        compile_condition("total > 1").holds({})
    assert refused.value.code == "condition-unanswered"


def test_a_fact_of_another_kind_is_told_and_no_crash() -> None:
    with pytest.raises(InvalidInput, match="cannot be answered"):
        compile_condition("total > 1").holds({"total": "many"})


class Interrupting(dict[str, Fact]):
    """Facts of an order that is interrupted, while it is asked for a fact, by a thread with another order."""

    def __init__(self, facts: dict[str, Fact], other: Thread) -> None:
        super().__init__(facts)
        self._other = other

    def __getitem__(self, name: str) -> Fact:
        if self._other.ident is None:
            self._other.start()
            # The other thread ends only if nothing makes it wait until this order has its answer.
            self._other.join(timeout=0.2)
        return super().__getitem__(name)


def test_threads_that_share_a_condition_get_the_answers_of_their_own_orders() -> None:
    condition = compile_condition("has_email and has_address")
    other = Thread(target=condition.holds, args=({"has_email": False, "has_address": False},))
    assert condition.holds(Interrupting({"has_email": True, "has_address": True}, other)) is True
    other.join(timeout=10)
    assert not other.is_alive()
