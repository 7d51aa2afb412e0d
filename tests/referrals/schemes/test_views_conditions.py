"""Conditions as they are listed, made, changed where no scheme asks for them, and retired."""

from __future__ import annotations

import pytest

from portal.runtime import Runtime
from tests.referrals.scheme_pages import FORM, add_parts
from tests.web.portal import Visitor

CONDITION = {"name": "First log-in", "event_type": "first-login", "description": ""}


def test_an_administrator_makes_a_condition_and_everybody_sees_it(admin: Visitor, support: Visitor) -> None:
    assert "No condition yet" in support.get("/conditions").text
    assert admin.send("/conditions", CONDITION).headers["Location"] == "/conditions"
    assert "<code>first-login</code>" in support.get("/conditions").text
    assert support.send("/conditions", CONDITION).status_code == 403
    assert support.get("/conditions/new").status_code == 403


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"name": ""}, "Give it a name."),
        ({"event_type": "First Login"}, "Up to 20 letters a to z"),
        ({"event_type": ""}, "Say what meets it."),
    ],
)
def test_what_is_wrong_is_said_at_its_field(admin: Visitor, given: dict[str, str], said: str) -> None:
    refused = admin.send("/conditions", CONDITION | given)
    assert (refused.status_code, said in refused.text) == (422, True)


def test_what_meets_a_condition_stays_once_a_scheme_asks_for_it(runtime: Runtime, admin: Visitor) -> None:
    with runtime.writer() as session:
        add_parts(session)
    admin.send("/schemes", FORM)
    refused = admin.send("/conditions/1/edit", CONDITION)
    assert (refused.status_code, "asks for this condition" in refused.text) == (409, True)
    renamed = admin.send("/conditions/1/edit", {"name": "Joined", "event_type": "sign-up"})
    assert renamed.status_code == 303
    assert "Joined" in admin.get("/conditions").text


def test_a_condition_of_an_active_scheme_is_not_retired(runtime: Runtime, admin: Visitor) -> None:
    with runtime.writer() as session:
        add_parts(session)
    admin.send("/schemes", FORM)
    admin.send("/schemes/1/activate")
    assert admin.send("/conditions/3/retire").status_code == 409
    assert admin.send("/conditions/2/retire").status_code == 303
    assert "verification" not in admin.get("/schemes/new").text
