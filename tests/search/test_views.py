"""The one search box: straight to the one thing that is found, else a list over all domains."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import event, select, update

from portal.orders.canonical import Customer
from portal.orders.models import WaitingMessage
from portal.orders.states import WaitingState
from portal.pasted import MOST_PASTED
from portal.referrals.invitations.models import Invitation
from portal.runtime import Runtime
from portal.search.queries import MOST_OF_ONE
from portal.search.views import LONGEST_TEXT
from tests.orders.scenes import Scene as Orders
from tests.orders.scenes import plain_order
from tests.referrals.scenes import RECRUIT, REFERRER, Scene, scheme
from tests.web.portal import Visitor


@pytest.fixture
def people(runtime: Runtime) -> Scene:
    """Give the portal's database with one scheme of referrals."""
    with runtime.writer() as session:
        scheme_id = scheme(session)
    return Scene(
        runtime.database,
        scheme_id,
        runtime.cipher,
        runtime.clock() - timedelta(hours=1),
        new_id=runtime.new_id,
    )


@pytest.fixture
def orders(runtime: Runtime) -> Orders:
    return Orders(runtime.database, runtime.cipher, now=runtime.clock())


def look(visitor: Visitor, query: str) -> str:
    """Search, and return the page or where it leads."""
    answer = visitor.get("/search", query_string={"q": query})
    assert answer.status_code in (200, 303), answer.text
    return answer.location or answer.text


def keep_message(orders: Orders) -> WaitingMessage:
    orders.keep_waiting("A-1")
    with orders.database.writer() as session:
        return session.scalars(select(WaitingMessage)).one()


def test_the_box_of_every_page_leads_here(support: Visitor) -> None:
    box = support.get("/schemes").text.partition('role="search"')
    assert 'action="/search"' in box[0][-200:]
    assert f'maxlength="{LONGEST_TEXT}"' in box[2][:600]


def test_an_order_is_found_by_its_number_also_one_with_blanks(orders: Orders, support: Visitor) -> None:
    orders.receive(plain_order("A-1"), plain_order("B 2"))
    assert look(support, " A-1 ") == "/orders/A-1"
    assert look(support, "B 2") == "/orders/B%202"


def test_a_user_is_found_by_id_and_by_the_address_that_signed_up(people: Scene, support: Visitor) -> None:
    people.sign_up(RECRUIT, "ana@example.com", token=people.invite("Ana@Example.com"))
    assert look(support, str(RECRUIT)) == f"/referrals/users/{RECRUIT}"
    assert look(support, str(REFERRER)) == f"/referrals/users/{REFERRER}"
    page = look(support, "ana@EXAMPLE.com")
    assert f'href="/referrals/users/{RECRUIT}"' in page
    assert f'href="/referrals/users/{REFERRER}?older=2#referral-1"' in page
    assert "Was referred" in page


def test_an_invitation_is_found_by_address_link_token_and_id(people: Scene, support: Visitor) -> None:
    token = people.invite("bo@example.com")
    invitation = people.invitation(token)
    place = f"/referrals/users/{REFERRER}?invited-before={invitation.id + 1}#invitation-{invitation.id}"
    for query in (
        "BO@example.com",
        token,
        f"https://waybill.example/r/{token}?utm=1",
        f"https://www.waybill.example/sign-up?from=mail&token={token}",
        invitation.uuid,
        invitation.uuid.upper(),
    ):
        assert look(support, query) == place, query


def test_a_waiting_message_is_found_by_its_id_where_it_is_now(
    runtime: Runtime, orders: Orders, support: Visitor
) -> None:
    message = keep_message(orders)
    place = look(support, message.message_id)
    assert place == f"/waiting?older={message.id + 1}#message-{message.id}"
    assert f'id="message-{message.id}"' in support.get(place).text
    with runtime.writer() as session:
        session.execute(update(WaitingMessage).values(state=WaitingState.PASSED, passed_at=runtime.clock()))
    assert f'id="message-{message.id}"' in support.get(look(support, message.message_id)).text


def test_what_is_two_things_is_listed_as_both(people: Scene, orders: Orders, support: Visitor) -> None:
    people.invite("bo@example.com")
    orders.receive(plain_order(str(REFERRER), customer=Customer(email="Bo@Example.com")))
    page = look(support, str(REFERRER))
    assert f'href="/orders/{REFERRER}"' in page
    assert f'href="/referrals/users/{REFERRER}"' in page
    assert f'value="{REFERRER}"' in page, "the box keeps its text"
    page = look(support, "Bo@Example.com")
    assert f'href="/orders/{REFERRER}"' in page
    assert "#invitation-" in page


def test_of_many_pieces_each_is_found_or_said_to_be_missing(
    people: Scene, orders: Orders, support: Visitor
) -> None:
    people.sign_up(RECRUIT, "ana@example.com", token=people.invite("ana@example.com"))
    numbers = [f"A-{number}" for number in range(MOST_PASTED - 4)]
    orders.receive(plain_order("A-0"), plain_order("A-7"))
    page = look(
        support, "\n".join([*numbers, str(RECRUIT), "ANA@example.com", "ana@example.com", "rosa@example.com"])
    )
    for place in ("/orders/A-0", "/orders/A-7", f"/referrals/users/{RECRUIT}"):
        assert page.count(f'href="{place}"') == 1, place
    assert f"{MOST_PASTED - 6} of {MOST_PASTED} found nothing" in page
    found_nothing = page.partition("found nothing")[2].partition("</div>")[0]
    assert "A-1," in found_nothing
    assert "example.com" not in found_nothing


def test_one_found_among_several_does_not_hide_what_was_not(orders: Orders, support: Visitor) -> None:
    orders.receive(plain_order("A-1"))
    page = look(support, "A-1, A-9")
    assert "1 of 2 found nothing" in page
    assert 'href="/orders/A-1"' in page


def test_more_than_can_be_looked_for_is_refused(support: Visitor) -> None:
    answer = support.get("/search", query_string={"q": " ".join(map(str, range(MOST_PASTED + 1)))})
    assert answer.status_code == 422
    assert f"at most {MOST_PASTED} can be looked for at once" in answer.text
    assert "may have been cut" in look(support, "x" * LONGEST_TEXT)


@pytest.mark.parametrize("query", ["nothing-like-it", "9" * 30, "a@b@c", "\ud7ff\ufffd", "%'\"<i>", "/r/"])
def test_what_is_nothing_is_said_to_be_nothing(support: Visitor, query: str) -> None:
    page = look(support, query)
    assert "Nothing found" in page
    assert "<i>" not in page


def test_an_empty_box_says_what_can_be_looked_for(support: Visitor) -> None:
    assert "What are you looking for?" in support.get("/search").text
    assert "What are you looking for?" in look(support, " ,; ")


def test_of_an_address_with_many_orders_the_newest_are_shown_and_hide_nothing_else(
    orders: Orders, support: Visitor
) -> None:
    orders.receive(*(plain_order(f"A-{number}") for number in range(MOST_OF_ONE + 1)))
    orders.receive(plain_order("B-1", customer=Customer(email="other@example.com")))
    page = look(support, "rosa@example.com other@example.com")
    assert 'href="/orders/A-0"' not in page
    assert f'href="/orders/A-{MOST_OF_ONE}"' in page
    assert 'href="/orders/B-1"' in page
    assert f"Only the newest {MOST_OF_ONE}" in page
    assert 'href="/orders?q=rosa@example.com">list all its orders' in page


def test_of_invitations_that_are_cut_nothing_is_said_of_orders(people: Scene, support: Visitor) -> None:
    for referrer in range(1, MOST_OF_ONE + 2):
        people.invite("carla@example.com", referrer=referrer)
    page = look(support, "carla@example.com")
    assert f"Only the newest {MOST_OF_ONE} are shown of" in page
    assert "carla@example.com: invitations." in page
    assert "/orders?q=" not in page


def test_executives_find_without_seeing_addresses(people: Scene, executive: Visitor) -> None:
    people.invite("carla@example.com", referrer=1)
    people.invite("carla@example.com", referrer=2)
    page = look(executive, "carla@example.com")
    assert page.count("c…@example.com") == 2
    assert page.count("carla@example.com") == 1, "only where it was entered"


def test_who_was_erased_is_not_found_by_link(runtime: Runtime, people: Scene, support: Visitor) -> None:
    token = people.invite("gone@example.com")
    with runtime.writer() as session:
        session.execute(update(Invitation).values(address=None, token=None, token_hash=None))
    assert "Nothing found" in look(support, token)


def test_the_number_of_statements_does_not_grow_with_the_pieces(
    runtime: Runtime, people: Scene, support: Visitor
) -> None:
    def statements(query: str) -> int:
        count = 0

        def tick(*_: object) -> None:
            nonlocal count
            count += 1

        engines = {runtime.database.writer_engine, runtime.database.reader_engine}
        for engine in engines:
            event.listen(engine, "before_cursor_execute", tick)
        look(support, query)
        for engine in engines:
            event.remove(engine, "before_cursor_execute", tick)
        return count

    people.invite("bo@example.com")
    many = [f"u{number}@example.com" for number in range(99)] + [str(number) for number in range(100)]
    assert statements(" ".join(many)) <= statements(f"bo@example.com {REFERRER}") <= 12
