"""Rewards as they are listed, made, changed and retired."""

from __future__ import annotations

import pytest

from portal.runtime import Runtime
from tests.referrals.scheme_pages import FORM, add_parts
from tests.web.portal import Visitor

REWARD = {"name": "Twenty", "amount": "20.00", "description": "For both."}


def test_an_administrator_makes_a_reward_and_everybody_sees_it(admin: Visitor, executive: Visitor) -> None:
    assert "No reward yet" in executive.get("/rewards").text
    assert admin.send("/rewards", REWARD).headers["Location"] == "/rewards"
    page = executive.get("/rewards").text
    assert "Twenty" in page
    assert "/rewards/1/edit" not in page
    for path in ("/rewards", "/rewards/1/edit", "/rewards/1/retire"):
        assert executive.send(path, REWARD).status_code == 403


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"name": ""}, "Give it a name."),
        ({"name": "A name of more than twenty"}, "longer than 20"),
        ({"amount": ""}, "Enter an amount."),
        ({"amount": "12.345"}, "at most two decimals"),
        ({"amount": "-5"}, "Enter an amount such as"),
        ({"description": "x" * 256}, "longer than 255"),
    ],
)
def test_what_is_wrong_is_said_at_its_field(admin: Visitor, given: dict[str, str], said: str) -> None:
    refused = admin.send("/rewards", REWARD | given)
    assert refused.status_code == 422
    assert said in refused.text
    assert 'aria-invalid="true"' in refused.text
    assert "No reward yet" in admin.get("/rewards").text


def test_a_name_is_taken_once(admin: Visitor) -> None:
    admin.send("/rewards", REWARD)
    assert "The name Twenty is taken." in admin.send("/rewards", REWARD).text


def test_another_amount_of_a_reward_in_use_is_a_new_reward(runtime: Runtime, admin: Visitor) -> None:
    with runtime.writer() as session:
        add_parts(session)
    admin.send("/schemes", FORM)
    assert 'value="10.00"' in admin.get("/rewards/1/edit").text
    admin.send("/rewards/1/edit", {"name": "ten", "amount": "12.00"})
    page = admin.get("/rewards").text
    assert "ten v2" in page
    assert "/rewards/1/edit" not in page


def test_a_reward_of_an_active_scheme_is_not_retired(runtime: Runtime, admin: Visitor) -> None:
    with runtime.writer() as session:
        add_parts(session)
    admin.send("/schemes", FORM)
    admin.send("/schemes/1/activate")
    refused = admin.send("/rewards/1/retire")
    assert (refused.status_code, "is used by the active scheme" in refused.text) == (409, True)
    admin.send("/schemes/1/retire")
    assert admin.send("/rewards/1/retire").status_code == 303
    late = admin.send("/rewards/1/edit", REWARD)
    assert (late.status_code, "is retired" in late.text) == (409, True)
