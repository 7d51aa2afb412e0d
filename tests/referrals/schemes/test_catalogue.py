"""Rewards and conditions change so that no referral's terms change with them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from sqlalchemy.orm import Session

from portal.db import Database
from portal.errors import Conflict, InvalidInput, NotFound
from portal.events import Actor, timeline
from portal.referrals.schemes import catalogue
from portal.referrals.schemes import service as schemes
from portal.referrals.schemes.catalogue import NewCondition, NewReward
from portal.referrals.schemes.proposals import Ask, SchemeTerms
from portal.referrals.schemes.queries import (
    get_condition,
    get_reward,
    get_scheme,
    list_conditions,
    list_rewards,
)

NOW = datetime(2026, 11, 20, 12, 0, 0, tzinfo=UTC)
ADMIN = Actor("client", "admin")
TEN = NewReward("ten", "Ten dollars", Decimal("10.00"))
VERIFIED = NewCondition("verified", None, "verification")


def reward(database: Database, new: NewReward = TEN) -> int:
    with database.writer() as session:
        return catalogue.create_reward(session, new, actor=ADMIN, now=NOW)


def condition(database: Database, new: NewCondition = VERIFIED) -> int:
    with database.writer() as session:
        return catalogue.create_condition(session, new, actor=ADMIN, now=NOW)


def scheme(database: Database, reward_id: int, condition_id: int, *, active: bool) -> int:
    terms = SchemeTerms("A", "card", "USD", "never", 0, 0, reward_id, reward_id, (Ask(condition_id, {}),))
    with database.writer() as session:
        scheme_id = schemes.create_scheme(session, terms, budget=None, actor=ADMIN, now=NOW)
        if active:
            schemes.activate_scheme(session, scheme_id, replaces=None, actor=ADMIN, now=NOW)
        return scheme_id


def test_a_reward_that_no_scheme_offers_changes_in_its_row(database: Database) -> None:
    reward_id, changed = reward(database), NewReward("Zwölf", None, Decimal("12.00"))
    with database.writer() as session:
        assert catalogue.update_reward(session, reward_id, changed, actor=ADMIN, now=NOW) == reward_id
    with database.reader() as session:
        row = get_reward(session, reward_id)
        assert (row.name, row.description, row.amount) == ("Zwölf", None, Decimal("12.00"))
        told = timeline(session, "reward", reward_id)[-1]
        assert (told.kind, told.actor_kind) == ("reward.updated", "client")
        assert told.data == {
            "before": {"name": "ten", "amount": "10.00"},
            "after": {"name": "Zwölf", "amount": "12.00"},
        }


def test_another_amount_for_an_offered_reward_is_a_new_reward(database: Database) -> None:
    reward_id, condition_id = reward(database), condition(database)
    scheme_id = scheme(database, reward_id, condition_id, active=True)
    with database.writer() as session:
        dearer = replace(TEN, amount=Decimal("11.00"))
        new_id = catalogue.update_reward(session, reward_id, dearer, actor=ADMIN, now=NOW)
    with database.reader() as session:
        old, new = get_reward(session, reward_id), get_reward(session, new_id)
        assert (old.name, old.amount, old.retired_at) == ("ten", Decimal("10.00"), NOW)
        assert (new.name, new.amount, new.retired_at) == ("ten v2", Decimal("11.00"), None)
        assert get_scheme(session, scheme_id).recruit_reward.amount == Decimal("10.00")
        assert [one.id for one in list_rewards(session)] == [new_id]
        assert timeline(session, "reward", new_id)[-1].data["replaces"] == reward_id


def test_a_numbered_name_goes_on_and_fits(database: Database) -> None:
    long_name = replace(TEN, name="twenty letters long!")
    reward_id, condition_id = reward(database, long_name), condition(database)
    reward(database, replace(TEN, name="twenty letters lo v2"))
    scheme(database, reward_id, condition_id, active=False)
    with database.writer() as session:
        dearer = replace(long_name, amount=Decimal(11))
        new_id = catalogue.update_reward(session, reward_id, dearer, actor=ADMIN, now=NOW)
        assert get_reward(session, new_id).name == "twenty letters lo v3"


def test_the_name_of_an_offered_reward_may_change(database: Database) -> None:
    reward_id, condition_id = reward(database), condition(database)
    scheme(database, reward_id, condition_id, active=True)
    with database.writer() as session:
        named = replace(TEN, name="tenner", description=None)
        assert catalogue.update_reward(session, reward_id, named, actor=ADMIN, now=NOW) == reward_id


def test_what_is_wrong_with_a_reward_is_said_by_field(database: Database) -> None:
    reward(database)
    for wrong, fields in (
        (NewReward("ten", None, Decimal(1)), ["name"]),
        (NewReward("x" * 21, "y" * 256, Decimal(-1)), ["name", "description", "amount"]),
        (NewReward("a", "b\n", Decimal("0.001")), ["description", "amount"]),
        (NewReward("a", None, Decimal("NaN")), ["amount"]),
        (NewReward("a", None, Decimal("1e400")), ["amount"]),
        (NewReward("a", None, Decimal("1000000000000")), ["amount"]),
    ):
        with pytest.raises(InvalidInput) as refused:
            reward(database, wrong)
        assert [error.field for error in refused.value.errors] == fields


def test_a_reward_or_condition_of_an_active_scheme_is_not_retired(database: Database) -> None:
    reward_id, condition_id = reward(database), condition(database)
    scheme(database, reward_id, condition_id, active=True)
    with database.writer() as session:
        for retire, used in (
            (catalogue.retire_reward, reward_id),
            (catalogue.retire_condition, condition_id),
        ):
            with pytest.raises(Conflict) as refused:
                retire(session, used, actor=ADMIN, now=NOW)
            assert refused.value.code == "in-use"


def test_what_is_retired_is_not_listed_changed_or_retired_again(database: Database) -> None:
    reward_id, condition_id = reward(database), condition(database)
    with database.writer() as session:
        catalogue.retire_reward(session, reward_id, actor=ADMIN, now=NOW)
        catalogue.retire_condition(session, condition_id, actor=ADMIN, now=NOW)
    calls: list[Callable[[Session], object]] = [
        lambda s: catalogue.retire_reward(s, reward_id, actor=ADMIN, now=NOW),
        lambda s: catalogue.update_reward(s, reward_id, TEN, actor=ADMIN, now=NOW),
        lambda s: catalogue.retire_condition(s, condition_id, actor=ADMIN, now=NOW),
        lambda s: catalogue.update_condition(s, condition_id, VERIFIED, actor=ADMIN, now=NOW),
    ]
    for call in calls:
        with pytest.raises(Conflict, match="retired"), database.writer() as session:
            call(session)
    with database.reader() as session:
        assert (list_rewards(session), list_conditions(session)) == ([], [])
        assert [one.retired_at for one in list_rewards(session, with_retired=True)] == [NOW]
        assert [one.retired_at for one in list_conditions(session, with_retired=True)] == [NOW]


def test_a_condition_changes_what_meets_it_only_while_no_scheme_asks_for_it(database: Database) -> None:
    condition_id, other = condition(database), replace(VERIFIED, event_type="kyc")
    with database.writer() as session:
        catalogue.update_condition(session, condition_id, other, actor=ADMIN, now=NOW)
    scheme(database, reward(database), condition_id, active=False)
    with pytest.raises(Conflict) as refused, database.writer() as session:
        catalogue.update_condition(session, condition_id, VERIFIED, actor=ADMIN, now=NOW)
    assert refused.value.code == "condition-in-use"
    with database.writer() as session:
        named = replace(other, name="KYC", description="Who they are")
        catalogue.update_condition(session, condition_id, named, actor=ADMIN, now=NOW)
        assert get_condition(session, condition_id).name == "KYC"
        kinds = [event.kind for event in timeline(session, "condition", condition_id)]
        assert kinds == ["condition.created", "condition.updated", "condition.updated"]


def test_what_is_wrong_with_a_condition_is_said_by_field(database: Database) -> None:
    condition(database)
    for wrong, fields in (
        (VERIFIED, ["name", "event_type"]),
        (NewCondition("", "y" * 256, "Sign Up"), ["name", "description", "event_type"]),
        (NewCondition("a", None, "verification"), ["event_type"]),
    ):
        with pytest.raises(InvalidInput) as refused:
            condition(database, wrong)
        assert [error.field for error in refused.value.errors] == fields


def test_what_is_not_there_is_not_found(database: Database) -> None:
    with database.reader() as session:
        for get in (get_reward, get_condition):
            with pytest.raises(NotFound):
                get(session, 7)
