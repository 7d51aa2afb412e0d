"""What needs a person is listed with its reason, and leads to where it is decided."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import delete, insert, update

from portal.db import database_now
from portal.referrals.progress.models import FailedBatch, PollRun
from portal.referrals.queries_attention import MOST_GROUPED, PAGE_SIZE, causes_of_failed
from portal.referrals.rewards.models import RewardGrant
from portal.referrals.spends.batches import LANE, RETRY, WORK_KIND
from portal.runtime import Runtime
from portal.work import New, Work, enqueue
from tests.referrals.crowds import add_crowd
from tests.referrals.scenes import RECRUIT, REFERRER, Scene, scheme
from tests.web.portal import Visitor

FAILED = {"status": "failed", "code": "account-closed", "reason": "The account is closed."}


@pytest.fixture
def shown(runtime: Runtime) -> Scene:
    """Give the portal's database with one scheme."""
    with runtime.writer() as session:
        scheme_id = scheme(session, total="1000.00")
    return Scene(runtime.database, scheme_id, runtime.cipher, runtime.clock())


def set_grants(scene: Scene, *conditions: Any, **values: object) -> None:
    """Let rewards have come to this, with no delivery left to do."""
    with scene.database.writer() as session:
        session.execute(delete(Work))
        session.execute(update(RewardGrant).where(*conditions).values(**values))


def failed_batch(scene: Scene, *, retried: bool) -> int:
    """Make a batch that failed, in the hands of its retries or out of them; return its id."""
    with scene.database.writer() as session:
        batch = FailedBatch(poll_run_id=17, first_referral_id=3, last_referral_id=9, attempts=2)
        batch.code, batch.reason, batch.at = "spend-no-answer", "The spend service did not answer.", scene.now
        session.add(batch)
        session.flush()
        if retried:
            due_at = database_now(session) + timedelta(seconds=RETRY[1])
            enqueue(session, WORK_KIND, [New(batch.id, LANE)], due_at)
        return batch.id


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("attention", "No reward has failed"),
        ("attention?code=x", "None of this cause is left"),
        ("attention/pending", "No reward waits for this"),
        ("attention/flagged", "Nothing is flagged"),
        ("attention/spends", "No batch has failed"),
        ("polls", "No poll yet"),
    ],
)
def test_where_nothing_needs_a_person_the_page_says_so(executive: Visitor, path: str, said: str) -> None:
    assert said in executive.get(f"/referrals/{path}").text


def test_failed_rewards_are_grouped_by_cause_and_lead_to_their_user(shown: Scene, support: Visitor) -> None:
    shown.convert(1)
    shown.convert(2)
    set_grants(shown, RewardGrant.side == "recruit", **FAILED)
    set_grants(shown, RewardGrant.side == "referrer", **(FAILED | {"code": "refused", "reason": "Refused."}))
    set_grants(shown, RewardGrant.id == 1, status="sent", code=None, reason=None)
    page = support.get("/referrals/attention").text
    first = page.index("<strong>2</strong>")
    assert first < page.index("<strong>1</strong>"), "the most frequent cause comes first"
    of_cause = support.get("/referrals/attention?code=account-closed").text
    grant = shown.grants(1)["recruit"]
    assert f'href="/referrals/users/1#grant-{grant.id}"' in of_cause
    assert of_cause.count('<tr id="grant-') == 2
    assert 'id="grant-1"' in support.get("/referrals/users/1").text


def test_figures_of_causes_are_least_ones_as_soon_as_older_rewards_may_be_left_out(
    shown: Scene, support: Visitor
) -> None:
    shown.convert(1)
    shown.convert(2)
    set_grants(shown, **FAILED)
    set_grants(shown, RewardGrant.id > 2, code="refused", reason="Refused.")
    with shown.database.writer() as session:
        assert causes_of_failed(session, most=5).complete
        cut = causes_of_failed(session, most=3)
        assert not cut.complete
        assert sorted(cause.count for cause in cut.rows) == [1, 2]
        add_crowd(session, MOST_GROUPED, scheme_id=shown.scheme_id, at=shown.now)
    assert "at least" not in support.get("/referrals/attention").text
    set_grants(shown, **FAILED)
    set_grants(shown, RewardGrant.id % 2 == 0, code="refused", reason="Refused.")
    page = support.get("/referrals/attention").text
    assert page.count(f"at least {MOST_GROUPED // 2:,}") == 2
    assert "may be missing" in page
    assert page.count("Push the oldest 50") == 2


def test_failed_rewards_page_by_key(shown: Scene, support: Visitor) -> None:
    shown.convert(1)
    set_grants(shown, **FAILED)
    with shown.database.writer() as session:
        columns = [column.name for column in RewardGrant.__table__.columns]
        first = session.get_one(RewardGrant, 1)
        values = {name: getattr(first, name) for name in columns}
        copies = [values | {"id": n, "uuid": str(n), "side": f"x{n}"} for n in range(3, PAGE_SIZE + 2)]
        session.execute(insert(RewardGrant), copies)
    page = support.get("/referrals/attention").text
    assert page.count('<tr id="grant-') == PAGE_SIZE
    assert 'href="/referrals/attention?older=2"' in page
    assert '<tr id="grant-1">' in support.get("/referrals/attention?older=2").text


def test_pending_rewards_are_listed_by_reason_and_those_that_were_denied_are_not(
    shown: Scene, support: Visitor
) -> None:
    shown.convert(1)
    shown.convert(2)
    set_grants(shown, status="pending", code="budget-exhausted", reason="No room.")
    set_grants(shown, RewardGrant.user_id == 1, code="denied", reason="Denied.")
    set_grants(shown, RewardGrant.user_id == 2, code="in-review", reason="Flagged.")
    page = support.get("/referrals/attention/pending").text
    assert page.count('<tr id="grant-') == 1
    assert 'href="/referrals/users/2#review-2"' in page
    assert "Waiting since" in page
    page = support.get("/referrals/attention/pending?reason=budget-exhausted").text
    assert page.count('<tr id="grant-') == 2
    assert page.count("Push to retry: reward") == 2
    assert "Denied." not in page
    assert support.get("/referrals/attention/pending?reason=denied").status_code == 422


def test_flagged_referrals_tell_why_and_lead_to_the_decision(shown: Scene, support: Visitor) -> None:
    referral_id = shown.convert(RECRUIT, referrer=RECRUIT)
    shown.convert(RECRUIT + 1)
    page = support.get("/referrals/attention/flagged").text
    assert "The recruit is the referrer." in page
    place = f"/referrals/users/{RECRUIT}#review-{referral_id}"
    assert f'href="{place}"' in page
    assert f'id="review-{referral_id}"' in support.get(place).text
    assert f"/referrals/users/{REFERRER}" not in page
    support.send(f"/referrals/users/{RECRUIT}/referrals/{referral_id}/deny", {"reason": "Same person."})
    assert "Nothing is flagged" in support.get("/referrals/attention/flagged").text


def test_failed_batches_tell_when_they_are_tried_again(shown: Scene, support: Visitor) -> None:
    out, retried = failed_batch(shown, retried=False), failed_batch(shown, retried=True)
    page = support.get("/referrals/attention/spends").text
    assert "3 to 9" in page
    assert "The spend service did not answer." in page
    assert f"spends/{out}/push" in page
    assert f"spends/{retried}/push" not in page
    assert "It is tried by itself" in page
    assert 'href="/referrals/polls?older=18#poll-17"' in page


def test_a_batch_is_tried_now_only_while_its_lease_runs(shown: Scene, support: Visitor) -> None:
    failed_batch(shown, retried=True)
    for seconds, said in ((60, True), (-1, False)):
        with shown.database.writer() as session:
            until = database_now(session) + timedelta(seconds=seconds)
            session.execute(update(Work).values(lease_token="t", due_at=until))
        assert ("being tried now" in support.get("/referrals/attention/spends").text) is said


def test_the_evidence_of_a_poll_leads_to_the_poll(shown: Scene, support: Visitor) -> None:
    shown.convert()
    with shown.database.writer() as session:
        for number in (1, 2):
            run = PollRun(id=number, owner="p", started_at=shown.now, users=7, batches=1)
            run.failed_batches, run.met = number - 1, 3
            session.add(run)
    page = support.get(f"/referrals/users/{RECRUIT}").text
    assert 'href="/referrals/polls?older=2#poll-1"' in page
    polls = support.get("/referrals/polls?older=2").text
    assert 'id="poll-1"' in polls
    assert 'id="poll-2"' not in polls
    assert "under way, or broken off" in polls


def test_the_page_of_referrals_counts_and_leads_to_what_needs_a_person(
    shown: Scene, executive: Visitor
) -> None:
    shown.convert(1)
    set_grants(shown, **FAILED)
    failed_batch(shown, retried=True)
    page = executive.get("/referrals").text
    figures = page.partition('aria-label="What needs a person"')[2].partition("</section>")[0]
    numbers = [part.partition("<")[0] for part in figures.split('wb-tile-value">')[1:]]
    assert numbers == ["2", "0", "0", "1"]
    assert 'href="/referrals/attention"' in figures
    assert 'href="/referrals/attention"' in executive.get("/exceptions").text


def test_executives_read_but_push_nothing(shown: Scene, executive: Visitor) -> None:
    shown.convert(1)
    set_grants(shown, **FAILED)
    batch = failed_batch(shown, retried=False)
    for path in ("attention", "attention/spends", "attention/pending"):
        page = executive.get(f"/referrals/{path}").text
        assert "/push" not in page.partition('id="main"')[2], path
    for path in ("rewards/1/push", "rewards/push", f"spends/{batch}/push"):
        assert executive.send(f"/referrals/attention/{path}").status_code == 403, path
