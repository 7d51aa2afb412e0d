"""The list of orders finds what is asked for, and each order once, whatever the pages."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

from sqlalchemy import event, update

from portal.keyset import Page, read_place
from portal.orders.canonical import Customer, Totals
from portal.orders.models import PurchaseOrder
from portal.orders.queries_orders import (
    ORDER_KEY,
    ListedOrder,
    OrderFilter,
    choices_of,
    count_orders,
    known_numbers,
    list_orders,
)
from portal.orders.states import OrderStatus
from tests.orders.scenes import NOW, Scene, plain_order

EVERYTHING = OrderFilter()


def page_of(
    scene: Scene, wanted: OrderFilter = EVERYTHING, size: int = 50, **place: str
) -> Page[ListedOrder]:
    with scene.database.reader() as session:
        return list_orders(
            session,
            wanted,
            cipher=scene.cipher,
            place=read_place(place.get("older"), place.get("newer"), ORDER_KEY),
            size=size,
        )


def numbers(page: Page[ListedOrder]) -> list[str]:
    return [row.number for row in page.rows]


def test_pages_hold_every_order_once_although_many_came_at_the_same_moment(scene: Scene) -> None:
    scene.receive(*[plain_order(f"A-{n}") for n in range(5)])
    scene.now += timedelta(seconds=1)
    scene.receive(*[plain_order(f"B-{n}") for n in range(2)])
    first = page_of(scene, size=3)
    assert first.older is not None
    second = page_of(scene, size=3, older=first.older)
    assert second.older is not None
    third = page_of(scene, size=3, older=second.older)
    seen = [*numbers(first), *numbers(second), *numbers(third)]
    assert seen == ["B-1", "B-0", "A-4", "A-3", "A-2", "A-1", "A-0"]
    assert first.newer is None
    assert third.older is None


def test_the_way_back_leads_over_the_same_pages(scene: Scene) -> None:
    scene.receive(*[plain_order(f"A-{n}") for n in range(7)])
    first = page_of(scene, size=3)
    second = page_of(scene, size=3, older=first.older or "")
    third = page_of(scene, size=3, older=second.older or "")
    back = page_of(scene, size=3, newer=third.newer or "")
    assert numbers(back) == numbers(second)
    again = page_of(scene, size=3, newer=back.newer or "")
    assert numbers(again) == numbers(first)
    assert again.newer is None


def test_each_filter_lets_through_what_it_says(scene: Scene) -> None:
    scene.receive(
        plain_order(
            "A", channel="kiosk", store="North", country="CL", totals=Totals(payable=Decimal("9.99"))
        ),
        plain_order(
            "B", channel="phone", store="South", country="PE", totals=Totals(payable=Decimal("10.00"))
        ),
    )
    scene.now += timedelta(days=1)
    scene.receive(plain_order("C", channel=None, store=None, country=None, totals=Totals()))
    for wanted, found in (
        (OrderFilter(channel="phone"), ["B"]),
        (OrderFilter(store="North"), ["A"]),
        (OrderFilter(country="PE"), ["B"]),
        (OrderFilter(amount_from=Decimal(10)), ["B"]),
        (OrderFilter(amount_until=Decimal("9.99")), ["A"]),
        (OrderFilter(received_from=NOW + timedelta(hours=1)), ["C"]),
        (OrderFilter(received_until=NOW + timedelta(hours=1)), ["B", "A"]),
        (OrderFilter(numbers=("A", "C", "nowhere")), ["C", "A"]),
        (OrderFilter(status=OrderStatus.COMPLETED), []),
        (OrderFilter(status=OrderStatus.PROCESSING, channel="kiosk"), ["A"]),
    ):
        assert numbers(page_of(scene, wanted)) == found, wanted


def test_an_order_is_found_by_the_mail_address_exactly_as_it_was_given(scene: Scene) -> None:
    scene.receive(
        plain_order("A", customer=Customer(email="josé@example.com")),
        plain_order("B", customer=Customer(email="jose@example.com")),
    )
    wanted = OrderFilter(email_indexes=(scene.cipher.blind_index("josé@example.com"),))
    assert numbers(page_of(scene, wanted)) == ["A"]


def test_numbers_and_mail_addresses_together_find_either(scene: Scene) -> None:
    scene.receive(
        plain_order("A", customer=Customer(email="a@example.com")), plain_order("B"), plain_order("C")
    )
    wanted = OrderFilter(numbers=("C",), email_indexes=(scene.cipher.blind_index("a@example.com"),))
    assert numbers(page_of(scene, wanted)) == ["C", "A"]


def test_an_order_is_found_by_the_step_that_it_is_at_and_not_by_one_it_has_passed(scene: Scene) -> None:
    (stopped,) = scene.receive(plain_order("A"))
    scene.to_exception(stopped)
    scene.receive(plain_order("B"))
    assert numbers(page_of(scene, OrderFilter(step="Task_IssueAfterIncident"))) == ["A"]
    assert numbers(page_of(scene, OrderFilter(step="Task_RegisterInEom"))) == ["B"]
    (row,) = page_of(scene, OrderFilter(status=OrderStatus.EXCEPTION)).rows
    assert row.step == "Issue the tax document after the incident"
    assert row.reason == "The tax document system did not answer."
    assert row.customer == "Rosa Díaz"


def test_a_page_takes_two_statements_however_many_orders_it_shows(scene: Scene) -> None:
    scene.receive(*[plain_order(f"A-{n}") for n in range(30)])
    statements: list[str] = []
    engine = scene.database.reader_engine
    event.listen(engine, "before_cursor_execute", lambda *args: statements.append(args[2]))
    assert len(page_of(scene).rows) == 30
    assert sum(statement.startswith("SELECT") for statement in statements) == 2


def test_orders_are_counted_by_one_index_or_not_at_all(scene: Scene) -> None:
    scene.receive(plain_order("A"), plain_order("B", channel="phone"))
    with scene.database.reader() as session:
        assert count_orders(session, EVERYTHING) == 2
        assert count_orders(session, OrderFilter(channel="phone")) == 1
        assert count_orders(session, OrderFilter(channel="phone", store="North")) is None


def test_choices_are_the_values_that_orders_have(scene: Scene) -> None:
    scene.receive(plain_order("A"), plain_order("B", channel="phone"), plain_order("C", channel=None))
    with scene.database.reader() as session:
        assert choices_of(session, PurchaseOrder.channel) == ["kiosk", "phone"]
        assert known_numbers(session, ["A", "Z"]) == {"A"}


def test_one_order_that_cannot_be_decrypted_does_not_take_the_list_down(scene: Scene) -> None:
    scene.receive(plain_order("A"), plain_order("B"))
    with scene.database.writer() as session:
        session.execute(update(PurchaseOrder).where(PurchaseOrder.number == "A").values(canonical=b"x" * 40))
    rows = page_of(scene).rows
    assert [(row.number, row.customer) for row in rows] == [("B", "Rosa Díaz"), ("A", None)]
