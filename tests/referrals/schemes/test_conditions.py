"""What the rows of conditions say, also in the words of another service."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
from sqlalchemy import select, update

from portal.db import Database
from portal.errors import Conflict, InvalidInput
from portal.events import Actor
from portal.referrals.models import Condition
from portal.referrals.progress.models import ReferralProgress
from portal.referrals.progress.queries_funnel import read_funnel
from portal.referrals.schemes import catalogue
from portal.referrals.schemes.catalogue import NewCondition
from portal.referrals.schemes.conditions import condition_met_by, data_of, event_type_of, event_types
from portal.referrals.schemes.models import ConditionMeaning
from portal.referrals.schemes.queries import get_condition, get_scheme
from portal.referrals.schemes.queries_history import read_history, tried_terms
from portal.referrals.schemes.try_on_history import try_on_history
from portal.referrals.states import ReferralStatus
from tests.referrals.scenes import NOW, Scene

ADMIN = Actor("person", "admin")
THEIRS = {"sign-up": "user_signup", "verification": "kyc", "spend": "SPEND"}


@pytest.fixture
def foreign(scene: Scene) -> Scene:
    """Give a scene whose conditions are named by another service, of which two were given their meaning."""
    with scene.database.writer() as session:
        for ours, theirs in THEIRS.items():
            condition_id = session.scalars(select(Condition.id).where(Condition.event_type == ours)).one()
            session.execute(update(Condition).where(Condition.id == condition_id).values(event_type=theirs))
            if theirs.casefold() != ours:
                session.add(ConditionMeaning(condition_id=condition_id, event_type=ours))
    return scene


def ids(database: Database) -> dict[str, int]:
    with database.reader() as session:
        return {event_type: one for one, event_type in event_types(session).items()}


@pytest.mark.parametrize(
    ("stored", "meaning", "met_by"),
    [("kyc", "verification", "verification"), (" Sign-Up ", None, "sign-up"), ("other", None, "other")],
)
def test_a_condition_is_met_by_its_meaning_or_its_word_in_any_case(
    stored: str, meaning: str | None, met_by: str
) -> None:
    assert event_type_of(stored, meaning) == met_by


def test_data_that_are_no_object_are_empty_and_a_currency_is_in_capitals() -> None:
    assert data_of('{"threshold": "10", "currency": " eur"}') == {"threshold": "10", "currency": "EUR"}
    for stored in ("", "no json", "[1]", "[" * 100_000):
        assert data_of(stored) == {}


def test_a_referral_converts_under_conditions_named_by_another_service(foreign: Scene) -> None:
    referral_id = foreign.convert()
    assert foreign.progress().status == "converted"
    assert sorted(foreign.grants()) == ["recruit", "referrer"]
    told = [event.data["event_type"] for event in foreign.events("referral.condition-met")]
    assert told == ["sign-up", "verification", "spend"]
    with foreign.database.writer() as session:
        assert condition_met_by(session, "spend") == ids(foreign.database)["spend"]
        scheme = get_scheme(session, foreign.scheme_id)
        assert [asked.event_type for asked in scheme.conditions] == ["sign-up", "verification", "spend"]
        history = read_history(session, "loans", since=NOW - timedelta(days=1), now=NOW)
        (past,) = history.past
        assert (past.referral_id, set(past.happened)) == (referral_id, set(THEIRS))
        assert (past.spends[0].amount, past.polled_until) == (Decimal(120), NOW)
        tried = try_on_history(history.past, tried_terms(scheme), NOW)
        assert tried.count("unknown") == 1, "its threshold is not known, but its spend is"


def test_a_sign_up_by_another_name_does_not_make_a_referral_qualify(foreign: Scene) -> None:
    foreign.sign_up(token=foreign.invite("ana@example.com"))
    with foreign.database.writer() as session:
        session.execute(update(ReferralProgress).values(status=ReferralStatus.EXPIRED))
        funnel = read_funnel(session, since=NOW, until=NOW + timedelta(days=1), scheme_ids=None)
    assert [stage.count for stage in funnel.stages] == [1, 1, 1, 0, 0]


def test_what_a_given_meaning_takes_is_taken(foreign: Scene) -> None:
    with foreign.database.writer() as session:
        for event_type in ("verification", "kyc", "spend"):
            new = NewCondition("another", None, event_type)
            with pytest.raises(InvalidInput) as refused:
                catalogue.create_condition(session, new, actor=ADMIN, now=NOW)
            assert [error.field for error in refused.value.errors] == ["event_type"]


def test_a_condition_keeps_the_other_services_word_until_something_else_meets_it(foreign: Scene) -> None:
    condition_id = ids(foreign.database)["verification"]
    with foreign.database.writer() as session:
        condition = get_condition(session, condition_id)
        assert condition.event_type == "verification"
        renamed = NewCondition("Identity", None, condition.event_type)
        catalogue.update_condition(session, condition_id, renamed, actor=ADMIN, now=NOW)
    with foreign.database.writer() as session:
        assert session.get_one(Condition, condition_id).event_type == "kyc"
        assert get_condition(session, condition_id).name == "Identity"
        other = NewCondition("Identity", None, "kyc")
        with pytest.raises(Conflict, match="asks for this condition"):
            catalogue.update_condition(session, condition_id, other, actor=ADMIN, now=NOW)


def test_a_meaning_goes_when_something_else_meets_a_condition(database: Database) -> None:
    with database.writer() as session:
        new = NewCondition("Identity", None, "kyc")
        condition_id = catalogue.create_condition(session, new, actor=ADMIN, now=NOW)
        session.add(ConditionMeaning(condition_id=condition_id, event_type="verification"))
    with database.writer() as session:
        catalogue.update_condition(session, condition_id, new, actor=ADMIN, now=NOW)
    with database.writer() as session:
        assert get_condition(session, condition_id).event_type == "kyc"
