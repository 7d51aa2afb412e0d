"""Users are divided by a keyed hash, the same way every time, and come into an experiment once."""

from __future__ import annotations

import base64
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from decimal import Decimal

import pytest
from sqlalchemy import select

from portal.crypto import DataCipher
from portal.errors import Conflict, InvalidInput, NotFound, WaybillError
from portal.events import Actor, AuditEntry, Event
from portal.referrals.experiments.service import (
    SUBJECT,
    Offer,
    Plan,
    find_offer,
    is_chosen,
    record_exposure,
    start_experiment,
    stop_experiment,
)
from portal.referrals.progress.models import KnownUser
from portal.referrals.rewards.models import Exposure
from portal.runtime import Runtime
from tests.referrals.inviting import NOW, PRODUCT, add_active_scheme

ADMIN = Actor("person", "admin")
HORIZON = NOW + timedelta(days=30)


def plan(name: str = "spring", **more: object) -> Plan:
    values = {"product": PRODUCT, "percentage": Decimal(50), "horizon_at": HORIZON} | more
    return Plan(name, **values)  # type: ignore[arg-type]


def start(runtime: Runtime, wanted: Plan | None = None) -> int:
    return runtime.transact(lambda session: start_experiment(session, wanted or plan(), actor=ADMIN, now=NOW))


def stop(runtime: Runtime, experiment_id: int = 1) -> None:
    runtime.transact(
        lambda session: stop_experiment(session, experiment_id, actor=ADMIN, now=NOW + timedelta(days=1))
    )


def offer(runtime: Runtime, user_id: int, *, days: int = 0) -> Offer:
    """Ask for a user, and record the exposure as whoever asks does."""
    now = NOW + timedelta(days=days)
    with runtime.reader() as session:
        found = find_offer(session, runtime.cipher, user_id, PRODUCT, now)
    if found.is_new:
        runtime.transact(lambda session: record_exposure(session, found, user_id, now))
    return found


def exposures(runtime: Runtime) -> list[tuple[int, bool]]:
    with runtime.writer() as session:
        rows = session.execute(select(Exposure.user_id, Exposure.offered).order_by(Exposure.user_id))
        return [(row.user_id, row.offered) for row in rows]


@pytest.fixture
def scheme(runtime: Runtime) -> int:
    with runtime.writer() as session:
        return add_active_scheme(session)


def test_a_user_is_offered_the_same_each_time_and_recorded_once(runtime: Runtime, scheme: int) -> None:
    start(runtime)
    first = [offer(runtime, user_id) for user_id in range(1, 41)]
    again = [offer(runtime, user_id) for user_id in range(1, 41)]
    assert [one.offered for one in first] == [one.offered for one in again]
    assert (all(one.is_new for one in first), any(one.is_new for one in again)) == (True, False)
    assert exposures(runtime) == [(user_id, first[user_id - 1].offered) for user_id in range(1, 41)]
    assert 5 < sum(one.offered for one in first) < 35


def test_two_who_record_the_same_user_at_once_record_it_once(runtime: Runtime, scheme: int) -> None:
    start(runtime)
    both = threading.Barrier(2)
    with runtime.reader() as session:
        found = find_offer(session, runtime.cipher, 7, PRODUCT, NOW)

    def record(_: int) -> None:
        both.wait(10)
        runtime.transact(lambda session: record_exposure(session, found, 7, NOW))

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(record, range(2)))
    assert exposures(runtime) == [(7, found.offered)]


def test_without_an_experiment_everybody_is_offered_and_without_a_scheme_nobody(runtime: Runtime) -> None:
    assert offer(runtime, 7) == Offer(offered=False)
    with runtime.writer() as session:
        add_active_scheme(session)
    assert offer(runtime, 7) == Offer(offered=True)
    start(runtime, plan(percentage=Decimal("0.01")))
    assert not offer(runtime, 7).offered
    stop(runtime)
    assert offer(runtime, 7) == Offer(offered=True)
    assert exposures(runtime) == [(7, False)]


def test_after_the_horizon_the_users_stay_divided_and_no_other_comes_in(
    runtime: Runtime, scheme: int
) -> None:
    start(runtime, plan(percentage=Decimal("0.01")))
    late = offer(runtime, 8, days=30)
    assert (late.offered, late.is_new) == (False, False)
    assert offer(runtime, 9, days=29).is_new


def test_who_signed_up_since_it_began_is_divided_but_comes_not_in(runtime: Runtime, scheme: int) -> None:
    with runtime.writer() as session:
        for user_id, days in ((6, -1), (7, 0), (8, 2)):
            session.add(KnownUser(user_id=user_id, signed_up_at=NOW + timedelta(days=days)))
        session.add(KnownUser(user_id=9))
    before = [offer(runtime, user_id, days=3).offered for user_id in range(6, 40)]
    assert before == [True] * 34
    start(runtime)
    answers = {user_id: offer(runtime, user_id, days=3) for user_id in range(6, 40)}
    assert [user_id for user_id, answer in answers.items() if not answer.is_new] == [7, 8]
    assert {user_id for user_id, _ in exposures(runtime)} == set(answers) - {7, 8}
    for user_id, answer in answers.items():
        assert answer.offered == is_chosen(runtime.cipher, 1, user_id, Decimal(50))


def test_the_division_is_by_the_percentage_the_key_and_the_experiment() -> None:
    def chosen(cipher: DataCipher, experiment_id: int, percentage: str) -> set[int]:
        return {user for user in range(4_000) if is_chosen(cipher, experiment_id, user, Decimal(percentage))}

    cipher, other = (DataCipher(base64.b64encode(bytes([byte]) * 32).decode()) for byte in (1, 2))
    few, many = chosen(cipher, 1, "10"), chosen(cipher, 1, "60")
    assert (300 < len(few) < 500, 2_250 < len(many) < 2_550) == (True, True)
    assert few <= many
    for another in (chosen(cipher, 2, "10"), chosen(other, 1, "10")):
        assert len(few & another) < 100
    assert len(chosen(cipher, 1, "99.99")) > 3_980
    assert len(chosen(cipher, 1, "0.01")) < 20


def test_one_experiment_runs_for_a_product_at_a_time(runtime: Runtime, scheme: int) -> None:
    start(runtime)
    for wanted, code in ((plan("summer"), "experiment-running"), (plan(product="cards"), "no-active-scheme")):
        with pytest.raises(Conflict) as refused:
            start(runtime, wanted)
        assert refused.value.code == code
    stop(runtime)
    with pytest.raises(Conflict) as refused:
        start(runtime)
    assert refused.value.code == "name-taken"
    assert start(runtime, plan("summer")) == 2


def test_a_start_waits_for_one_under_way_and_is_refused_when_that_went_through(
    runtime: Runtime, scheme: int
) -> None:
    with ThreadPoolExecutor(1) as pool:
        with runtime.writer() as session:
            start_experiment(session, plan(), actor=ADMIN, now=NOW)
            second = pool.submit(start, runtime, plan("summer"))
            with pytest.raises(TimeoutError):
                second.result(timeout=1)
        with pytest.raises(Conflict) as refused:
            second.result(timeout=30)
    assert refused.value.code == "experiment-running"


def test_an_experiment_is_stopped_once_by_a_person_on_the_audit_trail(runtime: Runtime, scheme: int) -> None:
    start(runtime)
    stop(runtime)
    with pytest.raises(Conflict):
        stop(runtime)
    with pytest.raises(NotFound):
        stop(runtime, 9)
    with runtime.writer() as session:
        audited = select(Event.kind).join(AuditEntry, AuditEntry.event_id == Event.id)
        audited = audited.where(Event.subject == SUBJECT).order_by(Event.id)
        assert list(session.scalars(audited)) == ["experiment.started", "experiment.stopped"]


@pytest.mark.parametrize(
    ("wanted", "field"),
    [
        (plan(" "), "name"),
        (plan("n" * 65), "name"),
        (plan("a\nb"), "name"),
        *(
            (plan(percentage=Decimal(bad)), "percentage")
            for bad in ("0", "100", "-1", "NaN", "Infinity", "1.001")
        ),
        (plan(horizon_at=NOW), "horizon"),
    ],
)
def test_a_plan_that_makes_no_sense_is_refused(
    runtime: Runtime, scheme: int, wanted: Plan, field: str
) -> None:
    with pytest.raises(WaybillError) as refused:
        start(runtime, wanted)
    assert isinstance(refused.value, InvalidInput)
    assert refused.value.field == field
