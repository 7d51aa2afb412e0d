"""What needs a person is pushed where it is listed, each with its verdict; both of a race are kept."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import update

from portal.db import database_now
from portal.events import AuditEntry, Event
from portal.referrals.progress.models import FailedBatch
from portal.referrals.rewards.models import RewardGrant
from portal.referrals.schemes.models import SchemeBudget
from portal.referrals.views_attention import MOST_PUSHED
from portal.work import Work
from tests.referrals.scenes import RECRUIT, Scene
from tests.referrals.test_views_attention import FAILED, failed_batch, set_grants, shown
from tests.web.portal import Visitor

__all__ = ["shown"]
LIST = "/referrals/attention"


def audited(scene: Scene, kind: str) -> list[Event]:
    """Return the events of a kind, each of which is a link of the audit chain."""
    links = {entry.event_id for entry in scene.all(AuditEntry)}
    found = scene.events(kind)
    assert all(event.id in links for event in found)
    return found


def test_a_pushed_reward_is_followed_to_its_verdict(shown: Scene, support: Visitor) -> None:
    shown.convert()
    set_grants(shown, **FAILED)
    done = support.send(f"{LIST}/rewards/2/push?code=account-closed")
    assert done.headers["Location"] == f"{LIST}?code=account-closed&pushed=2#pushed"
    page = support.get(f"{LIST}?code=account-closed&pushed=2").text
    assert 'data-status="requested"' in page
    assert f'hx-get="{LIST}/pushed?pushed=2"' in page
    with shown.database.writer() as session:
        held = database_now(session) + timedelta(minutes=1)
        session.execute(update(Work).values(attempt=1, lease_token="t", due_at=held))
    assert 'data-status="running"' in support.get(f"{LIST}/pushed?pushed=2").text
    with shown.database.writer() as session:
        session.execute(update(Work).values(lease_token=None))
    assert "Failed, tried again by itself" in support.get(f"{LIST}/pushed?pushed=2").text
    set_grants(shown, RewardGrant.id == 2, status="sent")
    fragment = support.get(f"{LIST}/pushed?pushed=2", headers={"HX-Request": "true"}).text
    assert "Delivered" in fragment
    assert "hx-get" not in fragment, "there is nothing more to ask for"
    set_grants(shown, RewardGrant.id == 2, **FAILED)
    assert "Failed again" in support.get(f"{LIST}/pushed?pushed=2").text
    both = support.send(f"{LIST}/rewards/1/push?pushed=2").headers["Location"]
    assert both == f"{LIST}?pushed=2_1#pushed"


def test_of_two_who_push_a_reward_the_later_is_told_where_the_button_was_and_kept(
    shown: Scene, support: Visitor, admin: Visitor
) -> None:
    shown.convert()
    set_grants(shown, **FAILED)
    assert admin.send(f"{LIST}/rewards/1/push").status_code == 303
    late = support.send(f"{LIST}/rewards/1/push")
    assert late.status_code == 409
    assert "admin already pushed this reward" in late.text
    (event,) = audited(shown, "reward.push-refused")
    assert (event.actor, event.data["grant_id"]) == ("support", 1)
    assert support.send(f"/referrals/users/{RECRUIT}/grants/1/push").status_code == 409
    assert len(audited(shown, "reward.push-refused")) == 2
    assert "Push of the reward of the referrer refused" in support.get(f"/referrals/users/{RECRUIT}").text


def test_a_pending_reward_is_pushed_once_there_is_room_and_says_so_when_there_is_none(
    shown: Scene, support: Visitor
) -> None:
    with shown.database.writer() as session:
        session.execute(update(SchemeBudget).values(total=1))
    shown.convert()
    path = f"{LIST}/rewards/1/push?reason=budget-exhausted"
    assert f'action="{path}#grant-1"' in support.get(f"{LIST}/pending?reason=budget-exhausted").text
    refused = support.send(path)
    assert refused.status_code == 409
    row = refused.text.partition('<tr id="grant-1">')[2].partition("</tr>")[0]
    assert "has no room for this referral" in row.partition("Push to retry")[2]
    with shown.database.writer() as session:
        session.execute(update(SchemeBudget).values(total=100))
    assert support.send(path).status_code == 303
    assert shown.grants()["referrer"].status == "earned"


def test_all_of_a_cause_are_pushed_also_those_that_a_review_denied(shown: Scene, support: Visitor) -> None:
    held = shown.convert(1)
    shown.convert(2)
    set_grants(shown, **FAILED)
    set_grants(shown, RewardGrant.id == 4, code="refused")
    support.send(f"/referrals/users/1/referrals/{held}/deny", {"reason": "No."})
    done = support.send(f"{LIST}/rewards/push", {"code": "account-closed"})
    assert done.headers["Location"] == f"{LIST}?pushed=1_2_3#pushed"
    assert [one.reference for one in shown.all(Work)] == [1, 2, 3]
    assert len(audited(shown, "reward.push-requested")) == 3


def test_no_more_are_pushed_at_once_than_are_followed(shown: Scene, support: Visitor) -> None:
    for user_id in range(1, MOST_PUSHED // 2 + 2):
        shown.convert(user_id, referrer=1000 + user_id)
    set_grants(shown, **FAILED)
    assert f"Push the oldest {MOST_PUSHED}" in support.get(LIST).text
    done = support.send(f"{LIST}/rewards/push", {"code": "account-closed"})
    assert done.headers["Location"] == f"{LIST}?pushed={'_'.join(map(str, range(1, MOST_PUSHED + 1)))}#pushed"
    assert len(shown.all(Work)) == MOST_PUSHED
    # Also when they fail again, they hold up none of the others.
    set_grants(shown, **FAILED)
    done = support.send(f"{LIST}/rewards/push", {"code": "account-closed"})
    others = shown.all(RewardGrant, RewardGrant.id > MOST_PUSHED)
    assert {grant.pushed_by for grant in others} == {"support"}


def test_nothing_left_of_a_cause_is_said(shown: Scene, support: Visitor) -> None:
    done = support.send(f"{LIST}/rewards/push", {"code": "account-closed"})
    assert "Nothing was pushed." in support.get(done.headers["Location"]).text
    assert support.send(f"{LIST}/rewards/77/push").status_code == 404


def test_a_batch_is_pushed_once_and_the_second_push_is_told_and_kept(shown: Scene, support: Visitor) -> None:
    batch = failed_batch(shown, retried=False)
    assert support.send(f"{LIST}/spends/{batch}/push").status_code == 303
    assert [one.reference for one in shown.all(Work)] == [batch]
    late = support.send(f"{LIST}/spends/{batch}/push")
    assert late.status_code == 409
    row = late.text.partition(f'<tr id="batch-{batch}">')[2].partition("</tr>")[0]
    assert "The batch is being retried already." in row
    (refused,) = audited(shown, "spend-batch.push-refused")
    assert (refused.actor, refused.subject_id) == ("support", batch)


def test_a_batch_that_has_passed_meanwhile_is_said_to_have_passed(shown: Scene, support: Visitor) -> None:
    batch = failed_batch(shown, retried=False)
    with shown.database.writer() as session:
        session.delete(session.get_one(FailedBatch, batch))
    done = support.send(f"{LIST}/spends/{batch}/push")
    assert "passed meanwhile" in support.get(done.headers["Location"]).text


@pytest.mark.parametrize("pushed", ["x", "1_x", "9" * 20])
def test_what_is_no_list_of_rewards_is_refused(support: Visitor, pushed: str) -> None:
    assert support.get(f"{LIST}?pushed={pushed}").status_code == 422
