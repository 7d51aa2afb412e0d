"""The old service's words for what meets a condition get their meaning when its database is taken over."""

from __future__ import annotations

from decimal import Decimal

import pytest
from sqlalchemy import text

from portal.clients.spend import Spend
from portal.db import Database
from portal.referrals.spends.service import judge, meet, read_open, spend_condition
from tests.referrals import established
from tests.referrals.established import CIPHER, REFERRALS, adopt, contents
from tests.referrals.scenes import NOW, RECRUIT, Scene

pytestmark = pytest.mark.mariadb


def test_an_active_scheme_whose_condition_nothing_tells_of_stops_the_adoption(old: Database) -> None:
    told = adopt(old, meanings=("user_signup=sign-up",))
    assert told.returncode == 1
    assert (
        "stops: The condition verified waits for 'kyc', which nothing tells of, and the active scheme 4 asks"
        " for it: say what it means by --event-type kyc=MEANING, one of sign-up, verification, spend."
    ) in told.stdout
    with old.writer_engine.begin() as connection:
        assert set(connection.scalars(text("SHOW TABLES"))) == set(established.TABLES)
        connection.exec_driver_sql("UPDATE referral_scheme SET active = 0 WHERE id IN (3, 4)")
    told = adopt(old, meanings=("user_signup=sign-up",))
    assert told.returncode == 0, told.stdout
    assert "note: The condition verified waits for 'kyc', which nothing tells of; no active" in told.stdout


REFUSED = {
    ("kyc",): "Error: --event-type: kyc is not of the form WORD=MEANING, such as kyc=verification.",
    ("kyc=identity",): "Error: --event-type: kyc=identity: what kyc means must be one of sign-up,",
    ("kyc=spend", "KYC=sign-up"): "Error: --event-type: kyc is given two meanings, spend and sign-up.",
}
IMPOSSIBLE = {
    ("kyx=verification",): "stops: No condition has the event type kyx of --event-type; there are kyc, s",
    ("spend=verification",): "stops: The condition spent is met by spend already, and not by verification.",
    ("kyc=spend",): "stops: The conditions verified and spent cannot both be met by spend.",
}


def test_a_meaning_that_cannot_be_given_is_said_and_nothing_is_done(old: Database) -> None:
    for meanings, said in REFUSED.items():
        told = adopt(old, meanings=meanings)
        assert (told.returncode, said in told.stderr) == (1, True), told.stderr
    for meanings, said in IMPOSSIBLE.items():
        told = adopt(old, meanings=("user_signup=sign-up", *meanings))
        assert (told.returncode, said in told.stdout) == (1, True), told.stdout
    with old.writer_engine.begin() as connection:
        assert set(connection.scalars(text("SHOW TABLES"))) == set(established.TABLES)


def test_new_and_open_referrals_convert_under_conditions_that_the_old_service_named(old: Database) -> None:
    with old.writer_engine.begin() as connection:
        connection.exec_driver_sql("UPDATE condition_table SET event_type = 'SPEND' WHERE id = 3")
        connection.exec_driver_sql(
            """INSERT INTO referral_scheme_condition_table VALUES
            (4, 3, 3, '{"threshold": "100.00", "currency": "usd"}')"""
        )
        before = contents(connection)
    told = adopt(old)
    assert told.returncode == 0, told.stdout + told.stderr
    scene = Scene(old, 4, CIPHER)
    scene.sign_up(RECRUIT, token=scene.invite("ana@example.com"))
    begun = scene.progress(5007)
    assert (begun.scheme_id, begun.status) == (4, "started")
    for user_id in (RECRUIT, begun.user_id):
        assert scene.verify(user_id).result == "met"
    with old.writer() as session:
        condition_id = spend_condition(session)
        assert condition_id is not None
        batch = read_open(session, condition_id, now=NOW, after=0, limit=REFERRALS)
        amounts = dict.fromkeys((RECRUIT, begun.user_id), Spend(Decimal("100.00"), "USD"))
        assert (
            meet(session, judge(batch, amounts, at=NOW, poll_run_id=1).met, scene.recorder)["conversion"] == 2
        )
    for user_id in (RECRUIT, begun.user_id):
        assert scene.progress(user_id).status == "converted"
        assert sorted(scene.grants(user_id)) == ["recruit", "referrer"]
    assert scene.events("condition.meaning-given")[1].data == {"word": "kyc", "event_type": "verification"}
    with old.writer_engine.begin() as connection:
        for table, rows in contents(connection).items():
            assert set(before[table]) <= set(rows)
