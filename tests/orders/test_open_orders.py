"""What a runner has claimed is read as it was stored, and one that cannot be read holds up nobody."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from portal import work
from portal.events import timeline
from portal.orders.canonical import canonical_json, parse_order
from portal.orders.connectors import Passed
from portal.orders.documents.strict_json import parse_json
from portal.orders.models import OrderStep, ProcessVersion, PurchaseOrder
from portal.orders.open_orders import Loaded, load_turns, note_interruptions, set_aside
from portal.orders.service import WORK_KIND
from portal.orders.states import OrderStatus, StepState
from portal.work import Work
from tests.orders.scenes import LEASE, RUNNER, Scene, plain_order

EOM = "Task_RegisterInEom"

# Never to be changed: orders like this one lie in databases, and must be read for as long as they do. A
# stricter rule for what comes in belongs where documents are read, not into the model.
STORED = (
    '{"channel":"kiosk","country":"SE","currency":"SEK","customer":{"email":"josé@exämple",'
    '"name":"José & Söhne","phone":"+46 7","tax_id":"1-X"},'
    '"delivery":{"address":{"city":"Malmö","country":"SE","number":"1 B",'
    '"postal_code":"21119","region":"Skåne","street":"Kungsgatan"},"contact_name":"Åsa","requested_from":'
    '"2026-01-31","requested_until":"2026-02-01"},"gift_cards":[{"amount":"100.00","number":"6006"}],"lines":['
    '{"amount":"10.00","description":"two\\nlines","id":"1","name":"Lamp","quantity":"2.5","sku":"L-1","tax":'
    '"2.50","unit":"EA","unit_price":"4.00"}],"note":"Ring\\ntwice","number":"A/1 é","placed_at":'
    '"2026-01-31T11:30:00.123456Z","store":"North","totals":{"allowances":"1.00","charges":"2.00","lines":'
    '"10.00","payable":"13.50","tax":"2.50"}}'
).encode()


def load(scene: Scene) -> Loaded:
    """Claim all there is, read it, and set aside what has no turn, as the runner does."""
    with scene.database.writer() as session:
        session.execute(update(Work).values(due_at=datetime(2000, 1, 1, tzinfo=UTC)))
    with scene.database.writer() as session:
        claims = work.claim(session, WORK_KIND, limit=9, lease=LEASE, token=str(uuid.uuid4()))
        loaded = load_turns(session, claims, plans=scene.definitions.plans, cipher=scene.cipher)
        set_aside(session, loaded, actor=RUNNER, now=scene.now)
        turns = note_interruptions(session, loaded.turns, actor=RUNNER, now=scene.now)
    return Loaded(turns, loaded.unreadable, loaded.idle)


def references(scene: Scene) -> list[int]:
    with scene.database.writer() as session:
        return sorted(session.scalars(select(Work.reference)))


def test_a_stored_order_is_read_as_it_was_taken_in(scene: Scene) -> None:
    order = parse_order(parse_json(STORED))
    assert canonical_json(order) == STORED
    scene.receive(order)
    (turn,) = load(scene).turns
    assert turn.order.order == order
    assert (turn.order.order.number, turn.order.facts["gift_card_count"]) == ("A/1 é", 1)


def test_an_effect_has_the_same_key_in_every_attempt_and_another_for_each_order(scene: Scene) -> None:
    scene.receive(plain_order("A-1"), plain_order("A-2"))
    first = {turn.order.order.number: turn.order.effect_key("eom-order") for turn in load(scene).turns}
    again = {turn.order.order.number: turn.order.effect_key("eom-order") for turn in load(scene).turns}
    assert first == again
    assert first["A-1"] != first["A-2"]
    assert max(map(len, first.values())) <= 64


def test_an_attempt_whose_worker_was_never_heard_of_again_counts_and_is_told(scene: Scene) -> None:
    (order_id,) = scene.receive(plain_order("A-1"))
    (first,) = load(scene).turns
    (second,) = load(scene).turns
    assert [(turn.attempt, turn.repeated) for turn in (first, second)] == [(1, False), (2, True)]
    with scene.database.writer() as session:
        assert session.get_one(OrderStep, (order_id, EOM)).attempts == 1
        assert timeline(session, "order", order_id)[-1].kind == "step.interrupted"
    scene.finish(second, Passed({"eom_id": "E-1"}))
    with scene.database.writer() as session:
        assert session.get_one(OrderStep, (order_id, EOM)).attempts == 2


def alter_content(scene: Scene, session: Session, order_id: int) -> None:
    session.get_one(PurchaseOrder, order_id).canonical = b"altered"


def make_content_invalid(scene: Scene, session: Session, order_id: int) -> None:
    session.get_one(PurchaseOrder, order_id).canonical = scene.cipher.encrypt(b'{"number":"A-1","lines":[]}')


def break_process(scene: Scene, session: Session, order_id: int) -> None:
    broken = ProcessVersion(key="broken", hash="broken", drawing="<broken", sheet="", created_at=scene.now)
    session.add(broken)
    session.flush()
    session.get_one(PurchaseOrder, order_id).process_version_id = broken.id


def leave_the_drawing(scene: Scene, session: Session, order_id: int) -> None:
    session.get_one(OrderStep, (order_id, EOM)).element_id = "Task_Gone"


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (alter_content, "altered"),
        (make_content_invalid, "at least one line"),
        (break_process, "cannot be read"),
        (leave_the_drawing, "no task “Task_Gone”"),
    ],
)
def test_an_order_that_cannot_be_read_stops_as_an_exception_and_holds_up_no_other(
    scene: Scene, spoil: Callable[[Scene, Session, int], None], reason: str
) -> None:
    poisoned, healthy = scene.receive(plain_order("A-1"), plain_order("A-2"))
    with scene.database.writer() as session:
        spoil(scene, session, poisoned)
    loaded = load(scene)
    assert [turn.order.id for turn in loaded.turns] == [healthy]
    with scene.database.writer() as session:
        (step,) = session.scalars(select(OrderStep).where(OrderStep.order_id == poisoned))
        assert (step.state, step.code) == (StepState.EXCEPTION, "order-unreadable")
        assert reason in (step.reason or "")
        assert session.get_one(PurchaseOrder, poisoned).status == OrderStatus.EXCEPTION
        event = timeline(session, "order", poisoned)[-1]
    assert (event.kind, event.data["reason"]) == ("step.exception", step.reason)
    assert references(scene) == [healthy]


def test_work_that_is_about_nothing_is_ended(scene: Scene) -> None:
    done, healthy = scene.receive(plain_order("A-1"), plain_order("A-2"))
    with scene.database.writer() as session:
        session.execute(update(OrderStep).where(OrderStep.order_id == done).values(state=StepState.PASSED))
        session.add(Work(kind=WORK_KIND, reference=999, lane="eom", due_at=scene.now, attempt=0))
    loaded = load(scene)
    assert sorted(claimed.reference for claimed in loaded.idle) == [done, 999]
    assert references(scene) == [healthy]
