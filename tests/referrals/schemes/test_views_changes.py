"""Schemes as administrators change them: versions, errors at their fields, two who activate at once."""

from __future__ import annotations

from decimal import Decimal
from threading import Barrier, Thread

import pytest
from flask import Flask

from portal.access.models import Role
from portal.referrals.schemes.queries import Scheme, get_scheme
from portal.referrals.states import SchemeState
from portal.runtime import Runtime
from tests.referrals.scheme_pages import FORM, add_parts
from tests.web.portal import Visitor, logged_in


@pytest.fixture(autouse=True)
def _parts(runtime: Runtime) -> None:
    with runtime.writer() as session:
        add_parts(session)


def scheme(runtime: Runtime, scheme_id: int) -> Scheme:
    with runtime.writer() as session:
        return get_scheme(session, scheme_id)


def test_a_scheme_is_made_as_a_draft_with_what_was_entered(runtime: Runtime, admin: Visitor) -> None:
    assert "Save as a draft" in admin.get("/schemes/new").text
    made = admin.send("/schemes", FORM)
    assert (made.status_code, made.headers["Location"]) == (303, "/schemes/1")
    row = scheme(runtime, 1)
    assert (row.state, row.product, row.limit_rewards, row.budget) == (
        SchemeState.DRAFT,
        "loans",
        5,
        Decimal("1000.00"),
    )
    asked = [(one.name, dict(one.data)) for one in row.conditions]
    assert asked == [("sign-up", {}), ("spend", {"threshold": "100.00", "currency": "USD"})]


def test_the_places_order_the_conditions(runtime: Runtime, admin: Visitor) -> None:
    admin.send("/schemes", FORM | {"conditions-0-place": "3", "conditions-1-asked": "y"})
    assert [one.name for one in scheme(runtime, 1).conditions] == ["spend", "sign-up", "verification"]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"name": " "}, "Give it a name."),
        ({"currency": "usd"}, "three capital letters"),
        ({"budget": "-1"}, "Enter an amount such as 12.50"),
        ({"budget": "1.234"}, "Enter an amount such as 12.50"),
        ({"budget": "1e6"}, "Enter an amount such as 12.50"),
        ({"expiry_period_length": "0"}, "The length is from 1"),
        ({"expiry_period_length": "20000"}, "The length is from 1"),
        ({"expiry_period_length": "-3"}, "Enter a whole number, zero or more."),
        ({"expiry_period_type": "fortnight"}, "Not a valid choice"),
        ({"limit_rewards": "5000000"}, "The limit is from 0"),
        ({"referrer_reward_id": "99"}, "Not a valid choice"),
        ({"conditions-2-threshold": "much"}, "The threshold of a spend is a text"),
        ({"conditions-2-threshold": ""}, "The threshold of a spend is a text"),
        ({"conditions-2-currency": "dollars"}, "Field cannot be longer than 3 characters."),
        ({"conditions-2-currency": "us"}, "Say the currency of the threshold"),
        ({"conditions-1-condition_id": "88", "conditions-1-asked": "y"}, "There is no condition 88."),
    ],
)
def test_what_is_wrong_is_said_at_its_field_and_nothing_is_made(
    admin: Visitor, given: dict[str, str], said: str
) -> None:
    refused = admin.send("/schemes", FORM | given)
    assert refused.status_code == 422
    assert said in refused.text
    assert 'class="wb-field-error"' in refused.text
    assert admin.get("/schemes/1").status_code == 404


def test_a_change_is_a_new_version_and_the_form_shows_the_present_terms(
    runtime: Runtime, admin: Visitor
) -> None:
    admin.send("/schemes", FORM)
    assert 'value="100.00"' in admin.get("/schemes/1/edit").text
    assert admin.send("/schemes/1/edit", FORM | {"name": "Summer"}).headers["Location"] == "/schemes/2"
    assert (scheme(runtime, 2).version, scheme(runtime, 2).name) == (2, "Summer")
    assert scheme(runtime, 1).name == "Spring"


def test_a_change_from_an_old_version_or_without_a_difference_is_refused(admin: Visitor) -> None:
    admin.send("/schemes", FORM)
    same = admin.send("/schemes/1/edit", FORM)
    assert (same.status_code, "Nothing differs" in same.text) == (409, True)
    admin.send("/schemes/1/edit", FORM | {"name": "Summer"})
    late = admin.send("/schemes/1/edit", FORM | {"name": "Autumn"})
    assert (late.status_code, "There is a newer version" in late.text) == (409, True)


def test_the_product_of_a_scheme_stays(admin: Visitor) -> None:
    admin.send("/schemes", FORM)
    refused = admin.send("/schemes/1/edit", FORM | {"product": "cards"})
    assert (refused.status_code, "The product of a scheme stays" in refused.text) == (422, True)


def test_without_conditions_a_scheme_is_not_activated(runtime: Runtime, admin: Visitor) -> None:
    bare = {name: value for name, value in FORM.items() if not name.endswith("-asked")}
    assert admin.send("/schemes", bare).status_code == 303
    refused = admin.send("/schemes/1/activate")
    assert (refused.status_code, "without conditions" in refused.text) == (422, True)
    assert scheme(runtime, 1).state is SchemeState.DRAFT


def test_who_activates_over_another_is_told_who_was_first(
    runtime: Runtime, app: Flask, admin: Visitor
) -> None:
    admin.send("/schemes", FORM)
    admin.send("/schemes", FORM | {"name": "Rival"})
    # Both saw that none was active.
    assert admin.send("/schemes/1/activate").status_code == 303
    late = logged_in(app, Role.ADMIN).send("/schemes/2/activate")
    assert late.status_code == 409
    assert "admin activated “Spring”, version 1" in late.text
    assert scheme(runtime, 2).state is SchemeState.DRAFT
    assert admin.send("/schemes/2/activate", {"replaces": "1"}).status_code == 303
    assert scheme(runtime, 1).state is SchemeState.HISTORIC


def test_of_two_who_activate_at_once_one_wins(runtime: Runtime, app: Flask, admin: Visitor) -> None:
    admin.send("/schemes", FORM)
    admin.send("/schemes", FORM | {"name": "Rival"})
    both = [logged_in(app, Role.ADMIN) for _ in range(2)]
    tokens, ready, answers = [one.token() for one in both], Barrier(2), dict[int, int]()

    def activate(place: int) -> None:
        ready.wait()
        path = f"/schemes/{place + 1}/activate"
        answers[place] = both[place].post(path, data={"csrf_token": tokens[place]}).status_code

    threads = [Thread(target=activate, args=(place,)) for place in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers.values()) == [303, 409]
    states = sorted(scheme(runtime, number).state for number in (1, 2))
    assert states == [SchemeState.ACTIVE, SchemeState.DRAFT]


def test_a_retired_scheme_is_not_brought_back(runtime: Runtime, admin: Visitor) -> None:
    admin.send("/schemes", FORM)
    assert admin.send("/schemes/1/retire").status_code == 303
    assert scheme(runtime, 1).state is SchemeState.RETIRED
    assert admin.send("/schemes/1/retire").status_code == 409
    assert admin.send("/schemes/1/activate").status_code == 409


def test_a_budget_is_changed_where_it_covers_what_is_used(runtime: Runtime, admin: Visitor) -> None:
    admin.send("/schemes", FORM)
    refused = admin.send("/schemes/1/budget", {"budget": "ten"})
    assert (refused.status_code, "Enter an amount" in refused.text) == (422, True)
    assert admin.send("/schemes/1/budget", {"budget": ""}).status_code == 303
    assert scheme(runtime, 1).budget is None
