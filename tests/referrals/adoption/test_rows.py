"""A database of the old service is taken over: our rows beside its own, of which not one column changes.

The server is one of that age: its first timestamp column updates itself with every update of a row.
"""

from __future__ import annotations

import secrets
import signal
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import func, select, text

from portal.db import Base, Database
from portal.events import Actor, Event
from portal.referrals.models import Referral, ReferralScheme
from portal.referrals.progress.models import ConditionEvidence, ReferralProgress
from portal.referrals.progress.queries import Places, read_user
from portal.referrals.rewards.models import RewardGrant
from portal.referrals.schemes import service as schemes
from portal.referrals.schemes.models import ActiveScheme, ReferrerUsage, SchemeBudget, SchemeVersion
from portal.referrals.schemes.proposals import terms_of
from portal.referrals.schemes.queries import get_scheme
from tests.referrals import established
from tests.referrals.established import CIPHER, REFERRALS, adopt, contents
from tests.referrals.scenes import NOW
from tests.servers import mariadb as mariadbs

pytestmark = pytest.mark.mariadb


def statuses(database: Database) -> dict[int, dict[str, int]]:
    counted = select(ReferralProgress.scheme_id, ReferralProgress.status, func.count())
    counted = counted.group_by(ReferralProgress.scheme_id, ReferralProgress.status)
    found: dict[int, dict[str, int]] = {}
    with database.reader() as session:
        for scheme_id, status, count in session.execute(counted):
            found.setdefault(scheme_id, {})[status] = count
    return found


def test_the_first_timestamps_of_this_server_update_themselves(old: Database) -> None:
    with old.writer_engine.begin() as connection:
        assert "ON UPDATE" in established.definition(connection)["referral"]


def test_a_check_says_what_would_be_added_and_adds_nothing(old: Database) -> None:
    with old.writer_engine.begin() as connection:
        connection.exec_driver_sql("DROP TRIGGER accept_only_one_row")
        connection.exec_driver_sql("UPDATE referral_scheme SET expiry_period_length = 0 WHERE id = 1")
        before = contents(connection)
    told = adopt(old, "--check")
    assert told.returncode == 0, told.stderr
    assert "adds: The trigger accept_only_one_row, which refuses a second row" in told.stdout
    assert "note: 2 schemes of the product loan are active" in told.stdout
    assert "note: The scheme 3 has a period of type 'fortnight', which is unknown" in told.stdout
    assert "note: The scheme 1 has a period of 0 days: it never ends." in told.stdout
    assert "note: The scheme 3 names no currency: its rewards are in that which --currency" in told.stdout
    assert "The scheme 2 names no currency" not in told.stdout
    assert "adds: The condition verified waits for 'kyc', which is told to mean verification." in told.stdout
    ours = sorted({*Base.metadata.tables, "alembic_version"} - set(established.TABLES))
    assert {"work", "person", "condition_meaning"} <= set(ours)
    assert (
        f"adds: {len(ours)} tables of Waybill's own, which will be created: {', '.join(ours)}." in told.stdout
    )
    assert f"4 schemes and {REFERRALS} referrals have no rows of Waybill's yet." in told.stdout
    rows = "4 rows each of referral_scheme_version and referral_scheme_budget"
    with old.writer_engine.begin() as connection:
        met = len(contents(connection)["referral_condition"])
    rows += f", 2 of active_referral_scheme, {REFERRALS} of referral_progress, {met} of condition_evidence"
    rows += "; one of referrer_usage for each referrer under a scheme with converted referrals"
    rows += "; one each of event and audit_entry for each scheme and each meaning."
    assert f"adds: {rows}" in told.stdout
    with old.writer_engine.begin() as connection:
        assert contents(connection) == before
        tables = set(connection.scalars(text("SHOW TABLES")))
        assert tables == set(established.TABLES)
        assert connection.exec_driver_sql("SHOW TRIGGERS").all() == []


def test_an_adoption_killed_in_between_goes_on_and_a_second_one_does_nothing(old: Database) -> None:
    with old.writer_engine.begin() as connection:
        before, defined = contents(connection), established.definition(connection)

    assert adopt(old, KILL_AT="adoption.batch-committed").returncode == -signal.SIGKILL
    with old.reader() as session:
        assert 0 < (session.scalar(select(func.count()).select_from(ReferralProgress)) or 0) < REFERRALS
    resumed = adopt(old)
    assert resumed.returncode == 0, resumed.stderr
    first = statuses(old)
    again = adopt(old)
    assert "0 schemes and 0 referrals were adopted." in again.stdout, again.stderr
    assert not [line for line in again.stdout.splitlines() if line.startswith(("adds: The", "note: The s"))]

    assert statuses(old) == first
    assert first == {
        1: {"expired": 834, "converted": 416},
        2: {"expired": 1000, "converted": 250},
        3: {"started": 1250},
        4: {"started": 833, "converted": 417},
    }
    with old.writer_engine.begin() as connection:
        assert contents(connection) == before
        assert established.definition(connection) == defined
    with old.reader() as session:
        assert session.scalar(select(func.count()).select_from(RewardGrant)) == 0
        converted = sum(by_status.get("converted", 0) for by_status in first.values())
        assert session.scalar(select(func.sum(ReferrerUsage.rewards))) == converted
        evidence = select(func.count()).where(ConditionEvidence.source == "adopted")
        assert session.scalar(evidence) == len(before["referral_condition"])


def test_each_old_scheme_becomes_a_family_and_the_last_activated_is_active(old: Database) -> None:
    assert adopt(old, "--currency", "clp").returncode == 0
    with old.reader() as session:
        versions = session.scalars(select(SchemeVersion).order_by(SchemeVersion.scheme_id)).all()
        assert [(one.family_id, one.version, one.state, one.currency) for one in versions] == [
            (1, 1, "historic", "CLP"),
            (2, 1, "active", "EUR"),
            (3, 1, "historic", "CLP"),
            (4, 1, "active", "CLP"),
        ]
        assert versions[1].created_at == datetime(2025, 1, 1, tzinfo=UTC)
        active = session.execute(select(ActiveScheme.product, ActiveScheme.scheme_id)).all()
        assert active == [("card", 2), ("loan", 4)]
        assert session.scalars(select(SchemeBudget.total)).all() == [None] * 4
        told = session.scalars(select(Event.subject_id).where(Event.kind == "scheme.adopted"))
        assert told.all() == [1, 2, 3, 4]


def test_a_referral_keeps_its_times_and_shows_what_it_met(old: Database) -> None:
    assert adopt(old).returncode == 0
    with old.reader() as session:
        converted = session.get_one(ReferralProgress, 12)
        referral = session.get_one(Referral, 12)
        evidence = session.get_one(ConditionEvidence, (12, 2))
        expired = session.get_one(ReferralProgress, 1)
    assert (converted.scheme_id, converted.status, converted.review) == (1, "converted", "approved")
    assert converted.started_at == referral.created_at == datetime(2025, 3, 31, 12, 0, 12, tzinfo=UTC)
    assert converted.ended_at == evidence.at == datetime(2025, 4, 1, 12, 0, 12, tzinfo=UTC)
    assert (evidence.amount, evidence.source_id) == (None, "referral_condition 12/2")
    assert (expired.status, expired.ended_at) == ("expired", datetime(2025, 4, 30, 12, 0, 1, tzinfo=UTC))


def test_the_page_of_a_user_tells_what_the_old_service_did_and_no_more(old: Database) -> None:
    assert adopt(old).returncode == 0
    every = timedelta(minutes=2)
    with old.reader() as session:
        (converted,), (expired,) = (
            read_user(
                session,
                user_id,
                cipher=CIPHER,
                masked=True,
                places=Places(),
                poll_every=every,
                poll_lease=every,
                now=NOW,
            ).as_recruit
            for user_id in (5045, 5001)
        )
    assert (converted.row.scheme_id, converted.row.status, converted.grants) == (2, "converted", [])
    why = "It converted in the old service, which dealt with its rewards; what it paid is not known."
    assert (converted.why.tone, converted.why.text) == ("info", why)
    assert [check.name for check in converted.checks] == ["sign-up", "spent"]
    for check in converted.checks:
        assert check.state == "met"
        assert check.reason == "Met in the old service, which kept no evidence of it."
        assert (check.source_id, check.amount, check.threshold) == (None, None, None)
    assert converted.checks[1].at == datetime(2025, 4, 2, 12, 0, 45, tzinfo=UTC)
    assert expired.why.text == "No reward: its time was over before spent."


def test_an_open_referral_that_met_more_than_its_sign_up_is_qualifying(old: Database) -> None:
    with old.writer_engine.begin() as connection:
        connection.exec_driver_sql(
            """INSERT INTO referral_scheme_condition_table VALUES (4, 3, 0, '{"threshold": "10"}')"""
        )
    told = adopt(old)
    assert told.returncode == 0, told.stdout
    assert "note: The active scheme 4 asks for spent without a threshold and a currency" in told.stdout
    assert "note: The active scheme 2 asks for spent" not in told.stdout
    assert statuses(old)[4] == {"started": 833, "qualifying": 417}


BROKEN = {
    "ALTER TABLE reward MODIFY amount decimal(10,2) NOT NULL": (
        "stops: The column reward.amount is decimal(10,2) instead of decimal(12,2)."
    ),
    "ALTER TABLE reward MODIFY name varchar(20) NULL": (
        "stops: The column reward.name may be empty, unlike the established."
    ),
    "ALTER TABLE referral DROP COLUMN referrer_user_id": (
        "stops: The column referral.referrer_user_id is missing, and what would stand in it is not known."
    ),
    "ALTER TABLE referral ADD COLUMN campaign int NOT NULL": (
        "stops: The column referral.campaign is not one of the established, and has no default"
    ),
    "ALTER TABLE task_manager MODIFY id bigint unsigned NOT NULL": (
        "stops: The column task_manager.id does not count up by itself."
    ),
    "ALTER TABLE referral_condition DROP PRIMARY KEY, ADD INDEX (referral_id)": (
        "stops: The primary key of referral_condition is not (referral_id, condition_id)."
    ),
    "ALTER TABLE task_manager ENGINE=MyISAM": "stops: The table task_manager is of the engine MyISAM",
    "CREATE TABLE event (id int)": "stops: There is a table event already, which Waybill would create.",
}


def test_what_cannot_be_mended_is_said_and_nothing_is_done(old: Database) -> None:
    with old.writer_engine.begin() as connection:
        for statement in BROKEN:
            connection.exec_driver_sql(statement)
        before = set(connection.scalars(text("SHOW TABLES")))
    told = adopt(old)
    assert told.returncode == 1
    assert [said for said in BROKEN.values() if said not in told.stdout] == []
    with old.writer_engine.begin() as connection:
        assert set(connection.scalars(text("SHOW TABLES"))) == before


def test_rows_that_cannot_be_understood_are_said_and_nothing_is_done(old: Database) -> None:
    with old.writer_engine.begin() as connection:
        connection.exec_driver_sql("SET sql_mode=''")
        connection.exec_driver_sql("UPDATE referral SET created_at = 0 WHERE id < 3")
        connection.exec_driver_sql("DROP TRIGGER accept_only_one_row")
        connection.exec_driver_sql("INSERT INTO task_manager VALUES (4, 0, NOW())")
        connection.exec_driver_sql("DELETE FROM referral_scheme_condition_table WHERE referral_scheme_id = 2")
    told = adopt(old)
    assert told.returncode == 1
    assert "stops: The active scheme 2 asks for no condition, so that no referral could" in told.stdout
    assert "The active scheme 3 asks for no condition" not in told.stdout
    assert "stops: 2 rows of referral have no valid created_at." in told.stdout
    assert "stops: There are 2 rows of task_manager instead of one." in told.stdout


def test_what_is_missing_is_said_and_added(old: Database) -> None:
    with old.writer_engine.begin() as connection:
        defined = established.definition(connection)
        for statement in (
            "DROP TRIGGER accept_only_one_row",
            "DELETE FROM task_manager",
            "ALTER TABLE referral DROP INDEX user_id_idx",
            "ALTER TABLE condition_table DROP INDEX event_type",
            "ALTER TABLE referral_condition DROP FOREIGN KEY FK_referralcondition_condition",
            "ALTER TABLE reward ADD COLUMN colour varchar(9) DEFAULT 'red'",
        ):
            connection.exec_driver_sql(statement)
        before = contents(connection)
    told = adopt(old)
    assert told.returncode == 0, told.stdout
    for said in (
        "adds: The index user_id_idx on referral (user_id) is missing; it will be added.",
        "adds: The unique key event_type on condition_table (event_type) is missing; it will be added.",
        "adds: The foreign key FK_referralcondition_condition from referral_condition.condition_id to",
        "adds: The row of task_manager is missing; it will be added.",
        "note: The column reward.colour is not one of the established; it stays as it is.",
    ):
        assert said in told.stdout
    with old.writer_engine.begin() as connection:
        after, now_defined = contents(connection), established.definition(connection)
        (task,) = after.pop("task_manager")
        assert task[1] == 0
        assert before.pop("task_manager") == []
        assert after == before
        for name in ("accept_only_one_row", "condition_table", "referral", "referral_condition"):
            assert sorted(now_defined[name].split("\n")) == sorted(defined[name].split("\n"))


def test_rows_that_a_missing_key_would_refuse_are_said(old: Database) -> None:
    with old.writer_engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE reward DROP INDEX name")
        connection.exec_driver_sql("UPDATE reward SET name = 'same'")
        connection.exec_driver_sql("ALTER TABLE referral DROP FOREIGN KEY FK_referral_referralscheme")
        connection.exec_driver_sql("UPDATE referral SET referral_scheme_id = 99 WHERE id = 1")
    told = adopt(old)
    assert told.returncode == 1
    assert "stops: The unique key name on reward (name) is missing, and there are rows that are the same" in (
        told.stdout
    )
    assert "to referral_scheme is missing, and there are rows that point to nothing." in told.stdout


def test_the_activation_of_another_scheme_leaves_the_time_of_the_old_one(old: Database) -> None:
    assert adopt(old).returncode == 0
    now, actor = datetime(2026, 11, 20, 12, tzinfo=UTC), Actor("person", "admin")
    with old.writer() as session:
        terms = terms_of(get_scheme(session, 1))
        valid = replace(terms, conditions=terms.conditions[:1])
        scheme_id = schemes.update_scheme(session, 1, valid, actor=actor, now=now)
        schemes.activate_scheme(session, scheme_id, replaces=2, actor=actor, now=now)
        schemes.retire_scheme(session, 4, actor=actor, now=now)
    with old.reader() as session:
        known = session.execute(
            select(ReferralScheme.id, ReferralScheme.active, ReferralScheme.activated_at).order_by(
                ReferralScheme.id
            )
        )
        assert known.all() == [
            (1, False, datetime(2024, 1, 1, tzinfo=UTC)),
            (2, False, datetime(2025, 1, 1, tzinfo=UTC)),
            (3, True, datetime(2025, 2, 1, tzinfo=UTC)),
            (4, False, datetime(2025, 3, 1, tzinfo=UTC)),
            (scheme_id, True, now),
        ]


def test_an_empty_database_and_sqlite_have_nothing_to_adopt(
    old_server: mariadbs.Cluster, tmp_path: Path
) -> None:
    name = old_server.create_database(f"empty_{secrets.token_hex(4)}")
    for url, said in (
        (old_server.writer_url(name), "none of the established tables is in this database"),
        (f"sqlite:///{tmp_path / 'waybill.db'}", "The old service used MySQL; this is SQLite."),
    ):
        told = adopt(Database(url, url))
        assert (told.returncode, said in told.stdout) == (1, True), told.stderr


def test_a_limit_counts_what_the_old_service_has_granted(old: Database) -> None:
    assert adopt(old).returncode == 0
    counted = select(ReferralProgress.referrer_user_id, func.count()).where(
        ReferralProgress.family_id == 2, ReferralProgress.status == "converted"
    )
    with old.reader() as session:
        expected = session.execute(counted.group_by(ReferralProgress.referrer_user_id)).all()
        used = select(ReferrerUsage.referrer_user_id, ReferrerUsage.rewards).where(
            ReferrerUsage.family_id == 2
        )
        assert sorted(session.execute(used).all()) == sorted(expected)
