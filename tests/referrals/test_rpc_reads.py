"""What other services are told of schemes, users and their referrals."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
from sqlalchemy.orm import Session

from portal.db import Database
from portal.referrals.invitations.models import Invitation
from portal.referrals.models import Referral, ReferralCondition
from portal.referrals.progress.models import ReferralProgress
from portal.referrals.rewards.models import RewardGrant
from portal.referrals.schemes.proposals import terms_of
from portal.referrals.schemes.queries import get_scheme
from portal.runtime import Runtime
from tests.referrals.calling import Calls
from tests.referrals.scheme_scene import NOW, activate, create, usable_terms

REFERRER, OTHER = 41, 42


@pytest.fixture
def calls(runtime: Runtime) -> Calls:
    return Calls(runtime)


@pytest.fixture
def scheme_id(runtime: Runtime) -> int:
    """Give an active scheme with three conditions."""
    scheme_id = create(runtime.database, usable_terms(runtime.database))
    activate(runtime.database, scheme_id, None)
    return scheme_id


def refer(
    database: Database, scheme_id: int, user_id: int, status: str = "started", *, referrer: int = REFERRER
) -> int:
    with database.writer() as session:
        referral = Referral(
            referrer_user_id=referrer, user_id=user_id, created_at=NOW, referral_scheme_id=scheme_id
        )
        session.add(referral)
        session.flush()
        session.add(
            ReferralProgress(
                referral_id=referral.id,
                family_id=scheme_id,
                scheme_id=scheme_id,
                user_id=user_id,
                referrer_user_id=referrer,
                status=status,
                review="pending",
                started_at=NOW,
                expires_at=NOW + timedelta(days=30),
            )
        )
        session.add(ReferralCondition(referral_id=referral.id, condition_id=1, created_at=NOW))
        return referral.id


def invite(session: Session, number: int, status: str, referral_id: int | None = None) -> None:
    session.add(
        Invitation(
            uuid=f"{number:036d}",
            scheme_id=1,
            referrer_user_id=REFERRER,
            address_index=f"{number}",
            folded_index=f"{number}",
            status=status,
            mail_status="sent",
            sends=1,
            clicks=0,
            created_at=NOW,
            referral_id=referral_id,
        )
    )


def grant(session: Session, referral_id: int, side: str, user_id: int, status: str, amount: str) -> None:
    session.add(
        RewardGrant(
            uuid=f"{referral_id:030d}-{side[:4]}",
            referral_id=referral_id,
            family_id=1,
            side=side,
            user_id=user_id,
            reward_id=1,
            amount=Decimal(amount),
            currency="USD",
            status=status,
            attempts=0,
            earned_at=NOW,
        )
    )


def test_schemes_come_in_the_order_of_their_ids_and_the_unknown_are_named(
    calls: Calls, runtime: Runtime, scheme_id: int
) -> None:
    with runtime.reader() as session:
        terms = replace(terms_of(get_scheme(session, scheme_id)), product="loan")
    other = create(runtime.database, terms)
    told = calls.call("GETreferralschemesbyids", ids=[other, 99, scheme_id, other])
    assert [one["id"] for one in told["schemes"]] == [other, scheme_id]
    assert told["unknown_ids"] == [99]
    shown = told["schemes"][1]
    assert (shown["active"], shown["activated_at"]) == (True, "2026-11-20T12:00:00.000Z")
    assert (shown["recruit_reward"]["amount"], shown["referrer_reward"]["amount"]) == ("5.00", "10.00")
    assert shown["conditions"][2] == {
        "condition_id": 3,
        "name": "spend",
        "event_type": "spend",
        "ordinal": 3,
        "data": {"threshold": "100.00", "currency": "USD"},
    }
    assert (told["schemes"][0]["state"], told["schemes"][0]["activated_at"]) == ("draft", None)


def test_the_active_scheme_of_a_product_is_found_by_its_exact_name(calls: Calls, scheme_id: int) -> None:
    assert calls.call("getactivereferralschemebyproduct", product="card")["scheme"]["id"] == scheme_id
    for product in ("Card", "loan"):
        assert calls.call("getactivereferralschemebyproduct", product=product) == {"scheme": None}


def test_what_changes_shows_after_a_second_at_most(calls: Calls, runtime: Runtime, scheme_id: int) -> None:
    times = [100.0]
    runtime.monotonic = lambda: times[0]
    known = Calls(runtime)
    assert known.call("getreferralschemesbyids", ids=[2])["unknown_ids"] == [2]
    assert known.call("getactivereferralschemebyproduct", product="card")["scheme"]["id"] == scheme_id
    with runtime.reader() as session:
        terms = replace(terms_of(get_scheme(session, scheme_id)), name="Winter")
    later = create(runtime.database, terms)
    activate(runtime.database, later, scheme_id)
    times[0] += 1.0
    assert known.call("getactivereferralschemebyproduct", product="card")["scheme"]["id"] == later
    assert known.call("getreferralschemesbyids", ids=[later])["schemes"][0]["state"] == "active"


def test_a_user_is_told_where_those_stand_whom_they_invited_and_what_they_earned(
    calls: Calls, runtime: Runtime, scheme_id: int
) -> None:
    ids = [
        refer(runtime.database, scheme_id, 1000 + number, status)
        for number, status in enumerate(("started", "started", "qualifying", "converted", "expired"))
    ]
    refer(runtime.database, scheme_id, 2000, referrer=OTHER)
    with runtime.writer() as session:
        for number, status in enumerate(("invited", "invited", "clicked")):
            invite(session, number, status)
        invite(session, 9, "started", ids[0])
        grant(session, ids[3], "referrer", REFERRER, "sent", "10.10")
        grant(session, ids[4], "referrer", REFERRER, "sent", "0.20")
        grant(session, ids[3], "recruit", 1003, "sent", "5.00")
    assert calls.call("getuserreferralstats", user_id=REFERRER) == {
        "user_id": REFERRER,
        "invited": 2,
        "clicked": 1,
        "started": 2,
        "qualifying": 1,
        "converted": 1,
        "expired": 1,
        "cancelled": 0,
        "rewards": [{"status": "sent", "currency": "USD", "number": 2, "amount": "10.30"}],
    }
    nothing = calls.call("getuserreferralstats", user_id=7)
    assert {name: value for name, value in nothing.items() if value} == {"user_id": 7}


def test_referrals_of_a_user_come_newest_first_page_by_page_with_what_is_met(
    calls: Calls, runtime: Runtime, scheme_id: int
) -> None:
    ids = [refer(runtime.database, scheme_id, 1000 + number) for number in range(3)]
    refer(runtime.database, scheme_id, 2000, referrer=OTHER)
    first = calls.call("getuserreferrals", user_id=REFERRER, limit=2)
    assert [one["id"] for one in first["referrals"]] == [ids[2], ids[1]]
    assert first["referrals"][0] == {
        "id": ids[2],
        "scheme_id": scheme_id,
        "user_id": 1002,
        "status": "started",
        "started_at": "2026-11-20T12:00:00.000Z",
        "expires_at": "2026-12-20T12:00:00.000Z",
        "ended_at": None,
        "conditions": [
            {"condition_id": 1, "name": "sign-up", "met_at": "2026-11-20T12:00:00.000Z"},
            {"condition_id": 2, "name": "verification", "met_at": None},
            {"condition_id": 3, "name": "spend", "met_at": None},
        ],
    }
    rest = calls.call("getuserreferrals", user_id=REFERRER, limit=2, below=first["next_below"])
    assert ([one["id"] for one in rest["referrals"]], rest["next_below"]) == ([ids[0]], None)


def test_referrals_of_several_users_come_in_the_order_asked(
    calls: Calls, runtime: Runtime, scheme_id: int
) -> None:
    ids = [refer(runtime.database, scheme_id, 1000 + number) for number in range(3)]
    other = refer(runtime.database, scheme_id, 2000, referrer=OTHER)
    told = calls.call("getusersreferrals", user_ids=[OTHER, 7, REFERRER, OTHER], limit=2)
    assert [(one["user_id"], [row["id"] for row in one["referrals"]]) for one in told["users"]] == [
        (OTHER, [other]),
        (7, []),
        (REFERRER, [ids[2], ids[1]]),
    ]
    assert [one["next_below"] for one in told["users"]] == [None, None, ids[1]]


def test_as_many_users_as_may_be_asked_for_are_answered(calls: Calls, scheme_id: int) -> None:
    told = calls.call("getusersreferrals", user_ids=list(range(1, 101)))
    assert [one["user_id"] for one in told["users"]] == list(range(1, 101))


@pytest.mark.parametrize(
    ("name", "params", "field"),
    [
        ("getreferralschemesbyids", {"ids": []}, "ids"),
        ("getreferralschemesbyids", {"ids": list(range(1, 102))}, "ids"),
        ("getreferralschemesbyids", {"ids": [0]}, "ids[0]"),
        ("getreferralschemesbyids", {"ids": [2**63]}, "ids[0]"),
        ("getactivereferralschemebyproduct", {"product": ""}, "product"),
        ("getuserreferralstats", {"user_id": "41"}, "user_id"),
        ("getuserreferrals", {"user_id": 41, "limit": 101}, "limit"),
        ("getusersreferrals", {"user_ids": list(range(1, 102))}, "user_ids"),
    ],
)
def test_what_cannot_be_asked_is_refused(
    calls: Calls, name: str, params: dict[str, object], field: str
) -> None:
    assert list(calls.refused(name, **params)) == [field]
