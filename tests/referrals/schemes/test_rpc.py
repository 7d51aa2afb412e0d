"""Administrators make and change schemes, rewards and conditions by JSON-RPC."""

from __future__ import annotations

from typing import Any

import pytest

from portal.errors import Conflict
from portal.events import timeline
from portal.runtime import Runtime
from tests.referrals.calling import Calls

SPEND = {"threshold": "100.00", "currency": "USD"}
NEW = {
    "name": "Autumn",
    "product": "card",
    "currency": "USD",
    "expiry_period_type": "day",
    "expiry_period_length": 30,
    "limit_rewards": 3,
    "recruit_reward_id": 1,
    "referrer_reward_id": 2,
}


@pytest.fixture
def calls(runtime: Runtime) -> Calls:
    """Give a client that has made two rewards and two conditions."""
    calls = Calls(runtime)
    calls.call("createreward", name="five", amount="5.00")
    calls.call("createreward", name="ten", amount=10.10, description="For referrers")
    calls.call("createcondition", name="sign-up", event_type="sign-up")
    calls.call("createcondition", name="spend", event_type="spend")
    return calls


def create(calls: Calls, **more: Any) -> Any:
    asks = [{"condition_id": 1}, {"condition_id": 2, "data": SPEND}]
    return calls.call("createreferralscheme", **(NEW | {"conditions": asks} | more))


def test_a_scheme_goes_from_its_draft_to_its_retirement(calls: Calls, runtime: Runtime) -> None:
    draft = create(calls, budget=1000.5)
    assert (draft["state"], draft["version"], draft["budget"], draft["created_by"]) == (
        "draft",
        1,
        "1000.50",
        "admin",
    )
    assert draft["referrer_reward"]["amount"] == "10.10"
    assert calls.call("activatereferralscheme", scheme_id=1)["active"] is True
    changed = calls.call("updatereferralscheme", scheme_id=1, limit_rewards=0)
    assert (changed["id"], changed["version"], changed["limit_rewards"]) == (2, 2, 0)
    assert calls.call("getreferralscheme", scheme_id=1)["state"] == "active"
    told = calls.call("comparereferralschemes", before_id=1, after_id=2)
    assert told["changes"] == [{"field": "limit_rewards", "before": 3, "after": 0}]
    assert calls.call("activatereferralscheme", scheme_id=2, replaces=1)["state"] == "active"
    assert calls.call("setreferralschemebudget", scheme_id=2, budget=None)["budget"] is None
    listed = calls.call("listreferralschemes", product="card")
    assert [(one["id"], one["state"]) for one in listed["schemes"]] == [(2, "active"), (1, "historic")]
    assert calls.call("retirereferralscheme", scheme_id=2)["state"] == "retired"
    assert calls.call("listreferralschemes", state="retired", limit=1)["next_below"] == 2
    with runtime.reader() as session:
        assert {(one.actor_kind, one.actor) for one in timeline(session, "scheme", 2)} == {
            ("client", "admin")
        }


def test_conditions_are_attached_ordered_and_detached(calls: Calls) -> None:
    create(calls, conditions=[])
    first = calls.call("attachcondition", scheme_id=1, condition_id=2, data=SPEND)
    second = calls.call("attachcondition", scheme_id=first["id"], condition_id=1, ordinal=1)
    third = calls.call("orderconditions", scheme_id=second["id"], condition_ids=[2, 1])
    fourth = calls.call("detachcondition", scheme_id=third["id"], condition_id=1)
    assert [[one["name"] for one in version["conditions"]] for version in (first, second, third, fourth)] == [
        ["spend"],
        ["sign-up", "spend"],
        ["spend", "sign-up"],
        ["spend"],
    ]
    assert fourth["conditions"][0]["data"] == SPEND


def test_rewards_and_conditions_are_changed_and_retired(calls: Calls) -> None:
    create(calls)
    dearer = calls.call("updatereward", reward_id=2, name="ten", amount="11")
    assert (dearer["id"], dearer["name"], dearer["amount"]) == (3, "ten v2", "11.00")
    assert calls.call("getreward", reward_id=2)["retired_at"] is not None
    assert [one["id"] for one in calls.call("listrewards")["rewards"]] == [1, 3]
    listed = calls.call("listrewards", with_retired=True, above=1, limit=1)
    assert ([one["id"] for one in listed["rewards"]], listed["next_above"]) == ([2], 2)
    assert calls.call("retirereward", reward_id=3)["retired_at"] is not None
    named = calls.call("updatecondition", condition_id=1, name="Signs up", event_type="sign-up")
    assert named["name"] == "Signs up"
    assert calls.call("getcondition", condition_id=1) == named
    assert calls.call("retirecondition", condition_id=1)["retired_at"] is not None
    assert [one["name"] for one in calls.call("listconditions")["conditions"]] == ["spend"]


def test_what_is_left_out_of_a_change_stays_as_it_is(calls: Calls) -> None:
    before = calls.call("getreward", reward_id=2)
    renamed = calls.call("updatereward", reward_id=2, name="more")
    assert renamed == before | {"name": "more"}
    assert renamed["description"] == "For referrers"
    assert calls.call("updatereward", reward_id=2, amount="9")["name"] == "more"
    assert calls.call("updatereward", reward_id=2, name=None, description=None)["description"] is None
    told = calls.call("updatecondition", condition_id=2, description="Spends enough")
    assert (told["name"], told["event_type"], told["description"]) == ("spend", "spend", "Spends enough")
    assert calls.call("updatecondition", condition_id=2, name="spends")["description"] == "Spends enough"
    assert calls.call("updatecondition", condition_id=2, description=None)["description"] is None
    create(calls)
    moved = calls.call("attachcondition", scheme_id=1, condition_id=2, ordinal=1)["conditions"]
    assert [(one["condition_id"], one["data"]) for one in moved] == [(2, SPEND), (1, {})]


def test_what_is_refused_names_its_fields(calls: Calls) -> None:
    assert list(calls.refused("createreferralscheme", **(NEW | {"recruit_reward_id": 9, "name": ""}))) == [
        "name",
        "recruit_reward_id",
    ]
    wrong = [{"condition_id": 2, "data": {"threshold": 5.5}}]
    assert list(calls.refused("createreferralscheme", **(NEW | {"conditions": wrong}))) == [
        "conditions[0].data.threshold",
        "conditions[0].data.currency",
    ]
    assert list(calls.refused("createreward", name="ten", amount="1.001")) == ["amount", "name"]
    assert list(calls.refused("createreferralscheme", **(NEW | {"limit_rewards": 2**31}))) == [
        "limit_rewards"
    ]


def test_who_activates_knowing_another_scheme_is_told_so(calls: Calls) -> None:
    create(calls)
    create(calls, name="Winter")
    calls.call("activatereferralscheme", scheme_id=1, replaces=None)
    for replaces in (None, 2):
        with pytest.raises(Conflict, match="meanwhile"):
            calls.call("activatereferralscheme", scheme_id=2, replaces=replaces)
    assert calls.call("activatereferralscheme", scheme_id=2)["state"] == "active"
