"""Schemes change by new versions, and of a product one version is active."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from portal.db import Database
from portal.errors import Conflict, InvalidInput, NotFound, WaybillError
from portal.events import Event, timeline
from portal.referrals.models import ReferralScheme, SchemeCondition
from portal.referrals.schemes import catalogue
from portal.referrals.schemes import service as schemes
from portal.referrals.schemes.models import ActiveScheme, SchemeBudget, SchemeVersion
from portal.referrals.schemes.proposals import Ask, SchemeTerms, terms_of
from portal.referrals.schemes.queries import (
    AskedCondition,
    active_scheme_id,
    differences,
    find_schemes,
    get_scheme,
    list_schemes,
)
from portal.referrals.states import SchemeState
from tests.referrals.scheme_scene import ADMIN, NOW, SPEND_DATA, activate, create, usable_terms


@pytest.fixture
def terms(database: Database) -> SchemeTerms:
    return usable_terms(database)


def kinds(session: Session, scheme_id: int) -> list[str]:
    return [event.kind for event in timeline(session, "scheme", scheme_id)]


def test_a_scheme_begins_as_a_draft_with_its_terms_in_order(database: Database, terms: SchemeTerms) -> None:
    scheme_id = create(database, terms, Decimal("1000.00"))
    with database.reader() as session:
        scheme = get_scheme(session, scheme_id)
        assert terms_of(scheme) == terms
        assert (scheme.family_id, scheme.version, scheme.state) == (scheme_id, 1, SchemeState.DRAFT)
        assert (scheme.budget, scheme.activated_at, scheme.created_by) == (Decimal("1000.00"), None, "admin")
        assert [(one.name, one.ordinal) for one in scheme.conditions] == [
            ("sign-up", 1),
            ("verification", 2),
            ("spend", 3),
        ]
        assert (scheme.recruit_reward.amount, scheme.referrer_reward.amount) == (Decimal(5), Decimal(10))
        assert kinds(session, scheme_id) == ["scheme.created"]
        assert session.scalar(select(ReferralScheme.active)) is False


def test_a_change_is_a_new_version_and_the_earlier_row_stays(database: Database, terms: SchemeTerms) -> None:
    first = create(database, terms)
    activate(database, first, None)
    with database.writer() as session:
        before = find_schemes(session, [first])[first]
        later = replace(terms, limit_rewards=7, conditions=terms.conditions[:2])
        second = schemes.update_scheme(session, first, later, actor=ADMIN, now=NOW)
    with database.reader() as session:
        assert get_scheme(session, first) == before
        changed = get_scheme(session, second)
        assert (changed.family_id, changed.version, changed.state) == (first, 2, SchemeState.DRAFT)
        assert [(one.field, one.before, one.after) for one in differences(before, changed)] == [
            ("limit_rewards", 5, 7),
            ("conditions[spend].ordinal", 3, None),
            ("conditions[spend].data.currency", "USD", None),
            ("conditions[spend].data.threshold", "100.00", None),
        ]
        created = session.scalars(select(Event).where(Event.kind == "scheme.version-created")).one()
        assert created.data["changes"][0] == {"field": "limit_rewards", "before": 5, "after": 7}
        assert kinds(session, first) == ["scheme.created", "scheme.activated", "scheme.changed"]


def test_a_draft_that_is_changed_becomes_historic(database: Database, terms: SchemeTerms) -> None:
    first = create(database, terms)
    with database.writer() as session:
        second = schemes.update_scheme(session, first, replace(terms, name="B"), actor=ADMIN, now=NOW)
        states = {one.id: one.state for one in list_schemes(session)}
    assert states == {first: SchemeState.HISTORIC, second: SchemeState.DRAFT}


def test_only_the_newest_version_is_changed(database: Database, terms: SchemeTerms) -> None:
    first = create(database, terms)
    with database.writer() as session:
        schemes.update_scheme(session, first, replace(terms, name="B"), actor=ADMIN, now=NOW)
    with pytest.raises(Conflict, match="newer version"), database.writer() as session:
        schemes.update_scheme(session, first, replace(terms, name="C"), actor=ADMIN, now=NOW)


def test_a_change_that_changes_nothing_is_refused(database: Database, terms: SchemeTerms) -> None:
    first = create(database, terms)
    with pytest.raises(Conflict, match="Nothing differs"), database.writer() as session:
        schemes.update_scheme(session, first, terms, actor=ADMIN, now=NOW)


@pytest.mark.parametrize(("field", "value"), [("product", "loan"), ("currency", "EUR")])
def test_product_and_currency_stay_over_all_versions(
    database: Database, terms: SchemeTerms, field: str, value: str
) -> None:
    first = create(database, terms)
    other = replace(terms, product=value) if field == "product" else replace(terms, currency=value)
    with pytest.raises(InvalidInput) as refused, database.writer() as session:
        schemes.update_scheme(session, first, other, actor=ADMIN, now=NOW)
    assert refused.value.field == field


def test_conditions_are_attached_ordered_and_detached_by_new_versions(
    database: Database, terms: SchemeTerms
) -> None:
    first = create(database, replace(terms, conditions=terms.conditions[:1]))
    sign_up, verification, spend = terms.conditions
    with database.writer() as session:
        second = schemes.attach_condition(session, first, spend, actor=ADMIN, now=NOW)
        third = schemes.attach_condition(session, second, verification, ordinal=1, actor=ADMIN, now=NOW)
        order = [one.condition_id for one in (sign_up, verification, spend)]
        fourth = schemes.order_conditions(session, third, order, actor=ADMIN, now=NOW)
        more = Ask(spend.condition_id, SPEND_DATA | {"threshold": "200.00"})
        fifth = schemes.attach_condition(session, fourth, more, actor=ADMIN, now=NOW)
        sixth = schemes.detach_condition(session, fifth, sign_up.condition_id, actor=ADMIN, now=NOW)
        names = {
            scheme.version: [one.name for one in scheme.conditions]
            for scheme in list_schemes(session, family_id=first)
        }
        asked = get_scheme(session, fifth).conditions[2]
    assert names == {
        1: ["sign-up"],
        2: ["sign-up", "spend"],
        3: ["verification", "sign-up", "spend"],
        4: ["sign-up", "verification", "spend"],
        5: ["sign-up", "verification", "spend"],
        6: ["verification", "spend"],
    }
    assert asked == AskedCondition(
        spend.condition_id, "spend", "spend", 3, {"threshold": "200.00", "currency": "USD"}
    )
    assert sixth > fifth


def test_a_place_or_an_order_that_cannot_be_is_refused(database: Database, terms: SchemeTerms) -> None:
    first = create(database, replace(terms, conditions=terms.conditions[:1]))
    ask = terms.conditions[1]
    calls: list[tuple[Callable[[Session], object], str | None]] = [
        (lambda s: schemes.attach_condition(s, first, ask, ordinal=3, actor=ADMIN, now=NOW), "ordinal"),
        (lambda s: schemes.attach_condition(s, first, ask, ordinal=0, actor=ADMIN, now=NOW), "ordinal"),
        (lambda s: schemes.order_conditions(s, first, [1, 2], actor=ADMIN, now=NOW), "condition_ids"),
        (lambda s: schemes.order_conditions(s, first, [1, 1], actor=ADMIN, now=NOW), "condition_ids"),
        (lambda s: schemes.detach_condition(s, first, 2, actor=ADMIN, now=NOW), None),
    ]
    for call, field in calls:
        with pytest.raises(WaybillError) as refused, database.writer() as session:
            call(session)
        assert getattr(refused.value, "field", None) == field


def test_activating_makes_the_earlier_historic_in_the_same_moment(
    database: Database, terms: SchemeTerms
) -> None:
    first, second = create(database, terms), create(database, replace(terms, name="Winter"))
    activate(database, first, None)
    later = NOW + timedelta(days=1)
    activate(database, second, first, later)
    with database.reader() as session:
        assert active_scheme_id(session, "card") == second
        rows = session.execute(
            select(ReferralScheme.id, ReferralScheme.active, ReferralScheme.activated_at, SchemeVersion.state)
            .join(SchemeVersion, SchemeVersion.scheme_id == ReferralScheme.id)
            .order_by(ReferralScheme.id)
        ).all()
        assert rows == [(first, False, NOW, "historic"), (second, True, later, "active")]
        assert kinds(session, first) == ["scheme.created", "scheme.activated", "scheme.became-historic"]


def test_each_product_has_its_own_active_scheme(database: Database, terms: SchemeTerms) -> None:
    card, loan = create(database, terms), create(database, replace(terms, product="loan"))
    activate(database, card, None)
    activate(database, loan, None)
    with database.reader() as session:
        assert [active_scheme_id(session, product) for product in ("card", "loan", "Card")] == [
            card,
            loan,
            None,
        ]


def test_who_knows_another_active_scheme_is_told_so(database: Database, terms: SchemeTerms) -> None:
    first, second = create(database, terms), create(database, replace(terms, name="Winter"))
    for known in (second, 99):
        with pytest.raises(Conflict, match="meanwhile"):
            activate(database, first, known)
    activate(database, first, None)
    with pytest.raises(Conflict, match="meanwhile"):
        activate(database, second, None)
    with pytest.raises(Conflict, match="The scheme is active"):
        activate(database, first, first)


@pytest.mark.parametrize("one_is_active", [True, False])
def test_of_two_who_activate_at_once_one_wins(
    database: Database, terms: SchemeTerms, one_is_active: bool
) -> None:
    replaces = create(database, terms) if one_is_active else None
    if replaces is not None:
        activate(database, replaces, None)
    rivals = [create(database, replace(terms, name=name)) for name in ("Left", "Right")]
    barrier, told = threading.Barrier(2), dict[int, str]()

    def rush(scheme_id: int) -> None:
        barrier.wait(10)
        try:
            activate_again(scheme_id)
            told[scheme_id] = "won"
        except Conflict as refused:
            told[scheme_id] = refused.code

    def activate_again(scheme_id: int) -> None:
        # As Runtime.transact does: a duplicate key says that the world has changed.
        try:
            activate(database, scheme_id, replaces)
        except Exception as error:
            if isinstance(error, Conflict):
                raise
            activate(database, scheme_id, replaces)

    threads = [threading.Thread(target=rush, args=(rival,)) for rival in rivals]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(told.values()) == ["another-active", "won"]
    winner = next(scheme_id for scheme_id, outcome in told.items() if outcome == "won")
    with database.reader() as session:
        assert session.scalars(select(ActiveScheme.scheme_id)).all() == [winner]
        assert session.scalars(select(ReferralScheme.id).where(ReferralScheme.active)).all() == [winner]


def test_a_scheme_without_conditions_or_with_what_is_retired_cannot_be_active(
    database: Database, terms: SchemeTerms
) -> None:
    bare, full = create(database, replace(terms, conditions=())), create(database, terms)
    with database.writer() as session:
        catalogue.retire_reward(session, terms.referrer_reward_id, actor=ADMIN, now=NOW)
        catalogue.retire_condition(session, terms.conditions[1].condition_id, actor=ADMIN, now=NOW)
    for scheme_id, fields in (
        (bare, ["referrer_reward", "conditions"]),
        (full, ["referrer_reward", "conditions[1]"]),
    ):
        with pytest.raises(InvalidInput) as refused:
            activate(database, scheme_id, None)
        assert [error.field for error in refused.value.errors] == fields


def test_a_retired_scheme_is_neither_active_nor_changed_any_more(
    database: Database, terms: SchemeTerms
) -> None:
    first = create(database, terms)
    activate(database, first, None)
    with database.writer() as session:
        second = schemes.update_scheme(session, first, replace(terms, name="B"), actor=ADMIN, now=NOW)
        schemes.retire_scheme(session, first, actor=ADMIN, now=NOW)
    with database.reader() as session:
        retired = list_schemes(session, state=SchemeState.RETIRED)
        assert [(one.id, one.retired_at) for one in retired] == [(second, NOW), (first, NOW)]
        assert active_scheme_id(session, "card") is None
        assert session.scalars(select(ReferralScheme.active)).all() == [False, False]
        assert get_scheme(session, first).activated_at == NOW
    for call in (
        lambda s: schemes.retire_scheme(s, first, actor=ADMIN, now=NOW),
        lambda s: schemes.activate_scheme(s, second, replaces=None, actor=ADMIN, now=NOW),
        lambda s: schemes.update_scheme(s, second, replace(terms, name="C"), actor=ADMIN, now=NOW),
    ):
        with pytest.raises(Conflict) as refused, database.writer() as session:
            call(session)
        assert refused.value.code == "scheme-retired"


def test_what_was_retired_since_may_stay_in_the_next_version(database: Database, terms: SchemeTerms) -> None:
    first = create(database, terms)
    with database.writer() as session:
        catalogue.retire_reward(session, terms.referrer_reward_id, actor=ADMIN, now=NOW)
        schemes.update_scheme(session, first, replace(terms, name="B"), actor=ADMIN, now=NOW)
    with pytest.raises(InvalidInput) as refused:
        create(database, terms)
    assert refused.value.field == "referrer_reward_id"


def test_a_budget_is_not_set_below_what_is_used(database: Database, terms: SchemeTerms) -> None:
    first = create(database, terms, Decimal(100))
    with database.writer() as session:
        budget = session.get_one(SchemeBudget, first)
        budget.reserved, budget.committed, budget.spent = Decimal("10.10"), Decimal("20.20"), Decimal("0.03")
    with pytest.raises(InvalidInput) as refused, database.writer() as session:
        schemes.set_budget(session, first, Decimal("30.32"), actor=ADMIN, now=NOW)
    assert refused.value.field == "budget"
    for total in (Decimal("30.33"), None):
        with database.writer() as session:
            schemes.set_budget(session, first, total, actor=ADMIN, now=NOW)
            assert get_scheme(session, first).budget == total


def test_a_scheme_that_is_not_there_is_not_found(database: Database, terms: SchemeTerms) -> None:
    with database.writer() as session:
        for call in (
            lambda: get_scheme(session, 7),
            lambda: schemes.update_scheme(session, 7, terms, actor=ADMIN, now=NOW),
            lambda: schemes.activate_scheme(session, 7, replaces=None, actor=ADMIN, now=NOW),
            lambda: schemes.retire_scheme(session, 7, actor=ADMIN, now=NOW),
            lambda: schemes.set_budget(session, 7, None, actor=ADMIN, now=NOW),
        ):
            with pytest.raises(NotFound):
                call()


def test_schemes_are_listed_newest_first_page_by_page(database: Database, terms: SchemeTerms) -> None:
    ids = [create(database, replace(terms, name=f"S{n}")) for n in range(5)]
    create(database, replace(terms, product="loan"))
    with database.reader() as session:
        first = list_schemes(session, product="card", limit=2)
        rest = list_schemes(session, product="card", below=first[-1].id)
        assert [one.id for one in (*first, *rest)] == ids[::-1]


def test_what_the_old_service_left_as_data_is_shown_as_none(database: Database, terms: SchemeTerms) -> None:
    first = create(database, terms)
    with database.writer() as session:
        for link, data in zip(session.scalars(select(SchemeCondition)), ("", "[1]", "not json"), strict=True):
            link.data = data
    with database.reader() as session:
        assert [one.data for one in get_scheme(session, first).conditions] == [{}, {}, {}]
