"""The figures of the overview are what is there, each within its bound."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import select, update

from portal.orders.models import PurchaseOrder
from portal.orders.queries import count_up_to
from portal.orders.queries_overview import figures_of, orders_by_hour
from tests.orders.scenes import NOW, Scene, plain_order

MIDNIGHT = NOW.replace(hour=0, minute=0, second=0, microsecond=0)


def test_figures_count_the_day_and_what_is_open(scene: Scene) -> None:
    scene.now = NOW - timedelta(days=7, hours=1)
    scene.receive(plain_order("week-ago"))
    scene.now = MIDNIGHT - timedelta(seconds=1)
    scene.receive(plain_order("yesterday"))
    scene.now = NOW
    open_id, stopped_id, done_id = scene.receive(*[plain_order(number) for number in "ABC"])
    assert open_id < stopped_id
    scene.to_exception(stopped_id)
    scene.complete(done_id)
    with scene.database.writer() as session:
        session.execute(
            update(PurchaseOrder).where(PurchaseOrder.id == done_id).values(completed_at=scene.now)
        )
    scene.keep_waiting("in/a.xml")
    with scene.database.reader() as session:
        figures = figures_of(session, day_start=MIDNIGHT, now=NOW)
    assert (figures.received, figures.received_week_ago) == (3, 1)
    assert (figures.completed, figures.completed_week_ago) == (1, 0)
    assert (figures.processing, figures.exceptions, figures.waiting) == (3, 1, 1)
    assert figures.oldest_exception_at is not None


def test_an_empty_portal_has_figures_too(scene: Scene) -> None:
    with scene.database.reader() as session:
        figures = figures_of(session, day_start=MIDNIGHT, now=NOW)
    assert figures.oldest_exception_at is None
    assert (figures.received, figures.exceptions) == (0, 0)


def test_hours_are_counted_where_they_belong_and_the_present_one_is_last(scene: Scene) -> None:
    for ago, count in ((0, 2), (1, 1), (23, 3), (24, 5)):
        scene.now = NOW - timedelta(hours=ago)
        scene.receive(*[plain_order(f"{ago}-{number}") for number in range(count)])
    with scene.database.reader() as session:
        hours = orders_by_hour(session, now=NOW)
    assert len(hours) == 24
    assert hours[-1].start == NOW.replace(minute=0, second=0, microsecond=0)
    assert [hour.received for hour in hours] == [3, *[0] * 21, 1, 2]


def test_a_count_stops_at_its_bound(scene: Scene) -> None:
    scene.receive(*[plain_order(f"A-{number}") for number in range(5)])
    with scene.database.reader() as session:
        assert count_up_to(session, select(PurchaseOrder.id), 3) == 4
        assert count_up_to(session, select(PurchaseOrder.id), 5) == 5
