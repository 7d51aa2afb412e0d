"""Each connector brings its effect about once, on stand-ins that keep a ledger of their own."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

import pytest

from portal.errors import InvalidInput, Upstream
from portal.orders.canonical import Order, canonical_json, parse_order
from portal.orders.connectors import CONNECTORS, Outside, Passed, Skipped, Task
from portal.orders.documents.strict_json import parse_json
from portal.orders.process.definitions import load_definitions
from portal.orders.process.plan import TaskNode
from portal.runtime import Runtime, build_runtime
from sandbox.provision import provision
from tests.clients.settings import settings_for
from tests.sandbox.running import RunningSandbox

CALLS = {
    "gift_card.redeem": "gift-card",
    "eom.register": "eom",
    "tax_documents.issue": "tax-documents",
    "pos.record_sale": "pos",
}


@pytest.fixture(scope="module")
def calling(sandbox_server: RunningSandbox, aws_endpoint: str) -> Runtime:
    url = sandbox_server.url
    systems = {name: f"{url}/{name.lower().replace('_', '-')}" for name in ("GIFT_CARD", "EOM", "POS")}
    settings = settings_for(
        aws_endpoint,
        f"{secrets.randbelow(9 * 10**11) + 10**11}",
        SES_ENDPOINT_URL=f"{url}/ses",
        TAX_DOCUMENTS_URL=f"{url}/tax-documents",
        CALL_DEADLINE_SECONDS="5",
        **{f"{name}_URL": address for name, address in systems.items()},
    )
    provision(settings)
    return build_runtime(settings)


@pytest.fixture
def outside(calling: Runtime) -> Outside:
    return Outside(calling.systems, calling.mail, calling.order_mails, lambda key: None)


def order_of(**fields: Any) -> Order:
    number = f"C-{secrets.token_hex(5)}"
    return parse_order(
        {
            "number": number,
            "store": "North",
            "currency": "CLP",
            "customer": {"name": "Rosa Díaz", "email": "rosa@example.com"},
            "lines": [{"id": "1", "name": "Lamp", "amount": "12990"}],
            "gift_cards": [{"number": "6006111122223333", "amount": "1000"}],
            **fields,
        }
    )


def task_of(
    order: Order, results: Mapping[str, dict[str, Any]] | None = None, *, repeated: bool = False
) -> Task:
    return Task(order, f"{order.number.replace('-', '')}-effect", repeated, results or {})


@pytest.fixture
def effects(sandbox: RunningSandbox) -> Callable[[str, Order], list[dict[str, Any]]]:
    return lambda system, order: sandbox.client.effects(system, order=order.number)


Effects = Callable[[str, Order], list[dict[str, Any]]]


def test_every_task_of_the_shipped_processes_has_its_connector() -> None:
    for definition in load_definitions():
        nodes = definition.plan.nodes.values()
        assert {node.connector for node in nodes if isinstance(node, TaskNode)} <= CONNECTORS.keys()


@pytest.mark.parametrize(("connector", "system"), CALLS.items())
def test_a_call_has_its_effect_once_however_often_it_is_made(
    outside: Outside, effects: Effects, connector: str, system: str
) -> None:
    order = order_of()
    first = CONNECTORS[connector](outside, task_of(order))
    assert isinstance(first, Passed)
    assert (first.status, first.asked) == (201, False)
    assert str(first.call).startswith(f"POST {system}/")
    again = CONNECTORS[connector](outside, task_of(order))
    asked = CONNECTORS[connector](outside, task_of(order, repeated=True))
    assert isinstance(again, Passed)
    assert isinstance(asked, Passed)
    assert first.result == again.result == asked.result
    assert asked.asked
    (effect,) = effects(system, order)
    assert (effect["key"], effect["order_number"]) == (task_of(order).key, order.number)
    assert effect["external_id"] in {str(value) for value in first.result.values()}


@pytest.mark.parametrize(("connector", "system"), CALLS.items())
def test_a_repeated_attempt_whose_first_never_arrived_makes_the_call(
    outside: Outside, effects: Effects, connector: str, system: str
) -> None:
    order = order_of()
    passed = CONNECTORS[connector](outside, task_of(order, repeated=True))
    assert isinstance(passed, Passed)
    assert not passed.asked
    assert len(effects(system, order)) == 1


@pytest.mark.parametrize(("connector", "system"), CALLS.items())
def test_an_effect_whose_answer_was_lost_is_found_when_it_is_asked_for(
    outside: Outside, sandbox: RunningSandbox, effects: Effects, connector: str, system: str
) -> None:
    order = order_of()
    sandbox.client.put_fault(system, "lost-answer", times=1)
    with pytest.raises(Upstream) as lost:
        CONNECTORS[connector](outside, task_of(order))
    assert lost.value.retryable
    assert lost.value.outcome_unknown
    found = CONNECTORS[connector](outside, task_of(order, repeated=True))
    assert isinstance(found, Passed)
    assert found.asked
    assert len(effects(system, order)) == 1


def test_every_gift_card_of_an_order_is_redeemed_by_itself(outside: Outside, effects: Effects) -> None:
    cards = [{"number": f"600611112222333{n}", "amount": f"{n}00"} for n in (1, 2, 3)]
    order = order_of(gift_cards=cards)
    passed = CONNECTORS["gift_card.redeem"](outside, task_of(order))
    assert isinstance(passed, Passed)
    assert len({one["redemption_id"] for one in passed.result["redemptions"]}) == 3
    told = [
        (effect["request"]["card_number"], effect["request"]["amount"])
        for effect in effects("gift-card", order)
    ]
    assert told == [(card["number"], f"{Decimal(card['amount']):.2f}") for card in cards]
    again = CONNECTORS["gift_card.redeem"](outside, task_of(order, repeated=True))
    assert isinstance(again, Passed)
    assert (again.result, again.asked) == (passed.result, True)
    assert len(effects("gift-card", order)) == 3


def test_a_card_that_is_refused_stops_after_those_before_it_and_goes_on_from_there(
    outside: Outside, sandbox: RunningSandbox, effects: Effects
) -> None:
    order = order_of(gift_cards=[{"number": f"60061111222233{n}", "amount": "1"} for n in (11, 22)])
    sandbox.client.put_fault("gift-card", "500", times=None)
    with pytest.raises(Upstream):
        CONNECTORS["gift_card.redeem"](outside, task_of(order))
    sandbox.client.clear_fault("gift-card")
    refused = order_of(
        gift_cards=[
            {"number": "6006111122223311", "amount": "1"},
            {"number": "6006111122220000", "amount": "1"},
        ]
    )
    for repeated in (False, True):
        with pytest.raises(Upstream) as answer:
            CONNECTORS["gift_card.redeem"](outside, task_of(refused, repeated=repeated))
        assert (answer.value.code, answer.value.retryable) == ("gift-card-insufficient-balance", False)
    assert len(effects("gift-card", refused)) == 1
    assert effects("gift-card", order) == []


def test_eom_is_handed_the_whole_order(outside: Outside, effects: Effects) -> None:
    order = order_of(note="Ring twice")
    CONNECTORS["eom.register"](outside, task_of(order))
    (effect,) = effects("eom", order)
    assert parse_order(effect["request"]["order"]) == order
    assert parse_json(canonical_json(order)) == effect["request"]["order"]


@pytest.mark.parametrize(("tax_id", "kind"), [("7654321-K", "invoice"), (None, "receipt")])
def test_who_has_a_tax_id_gets_an_invoice_and_everybody_else_a_receipt(
    outside: Outside, effects: Effects, tax_id: str | None, kind: str
) -> None:
    order = order_of(customer={"name": "Rosa Díaz", "tax_id": tax_id})
    passed = CONNECTORS["tax_documents.issue"](outside, task_of(order))
    assert isinstance(passed, Passed)
    assert passed.result["type"] == kind
    (effect,) = effects("tax-documents", order)
    assert effect["request"]["total"] == "12990.00"
    assert effect["request"]["customer"] == {"name": "Rosa Díaz", "tax_id": tax_id}


def test_a_tax_id_that_is_refused_is_not_to_be_tried_again(outside: Outside, effects: Effects) -> None:
    order = order_of(customer={"tax_id": "7654321-X"})
    with pytest.raises(Upstream) as refused:
        CONNECTORS["tax_documents.issue"](outside, task_of(order))
    assert (refused.value.code, refused.value.retryable) == ("tax-documents-tax-id-invalid", False)
    assert effects("tax-documents", order) == []


def test_a_sale_names_the_tax_document_that_was_issued_for_it(outside: Outside, effects: Effects) -> None:
    order = order_of()
    CONNECTORS["pos.record_sale"](outside, task_of(order, {"tax-document": {"folio": "77"}}))
    (effect,) = effects("pos", order)
    request = effect["request"]
    assert (request["folio"], request["total"], request["store"]) == ("77", "12990.00", "North")


def test_calls_need_nothing_that_an_order_may_lack(outside: Outside, effects: Effects) -> None:
    order = parse_order({"number": f"C-{secrets.token_hex(5)}", "lines": [{"id": "1"}]})
    for connector, system in CALLS.items():
        if system != "gift-card":
            CONNECTORS[connector](outside, task_of(order))
            assert len(effects(system, order)) == 1


@pytest.mark.parametrize("name", ["order_completed", "incident", "order_in_process"])
def test_a_mail_goes_to_the_customer_with_the_key_of_its_effect(
    outside: Outside, effects: Effects, name: str
) -> None:
    order = order_of()
    sent = CONNECTORS[f"mail.{name}"](outside, task_of(order, {"tax-document": {"folio": "77"}}))
    assert isinstance(sent, Passed)
    assert sent.result["message_id"]
    (effect,) = effects("mail", order)
    assert effect["key"] == task_of(order).key
    assert effect["request"]["to"] == ["rosa@example.com"]
    assert order.number in effect["request"]["subject"]


def test_a_mail_that_is_known_to_have_gone_out_is_not_sent_again(calling: Runtime, effects: Effects) -> None:
    order = order_of()
    known = {task_of(order).key: "m-1"}
    outside = Outside(calling.systems, calling.mail, calling.order_mails, known.get)
    found = CONNECTORS["mail.order_completed"](outside, task_of(order, repeated=True))
    assert found == Passed({"message_id": "m-1"}, "delivery notices of SES", asked=True)
    assert effects("mail", order) == []


@pytest.mark.parametrize(
    ("email", "code"),
    [
        (None, "no-mail-address"),
        ("rosa@exámple.com", "mail-address-invalid"),
        ("nobody", "mail-address-invalid"),
    ],
)
def test_an_order_that_no_mail_can_be_sent_to_goes_on_and_does_not_tell_the_address(
    outside: Outside, effects: Effects, email: str | None, code: str
) -> None:
    order = order_of(customer={"email": email})
    skipped = CONNECTORS["mail.incident"](outside, task_of(order))
    assert isinstance(skipped, Skipped)
    assert skipped.code == code
    assert email is None or email not in skipped.reason
    assert effects("mail", order) == []


def test_a_line_end_in_an_order_cannot_enter_a_header(outside: Outside, effects: Effects) -> None:
    with pytest.raises(InvalidInput):
        order_of(customer={"email": "rosa@example.com\r\nBcc: all@example.com"})
    order = order_of()
    evil = order.model_copy(update={"number": f"{order.number}\r\nBcc: all@example.com"})
    CONNECTORS["mail.incident"](outside, task_of(evil))
    sent = [*effects("mail", order), *effects("mail", evil)]
    assert all("all@example.com" not in effect["request"]["to"] for effect in sent)


def test_an_incident_is_recorded_with_the_error_that_led_to_it(outside: Outside) -> None:
    error = {"code": "tax-documents-refused", "reason": "The tax id is not known."}
    assert CONNECTORS["record.incident"](outside, task_of(order_of(), {"error": error})) == Passed(error)
    assert CONNECTORS["record.incident"](outside, task_of(order_of())) == Passed({})
