"""The page of a user's progress: why they are rewarded or not, and what support staff do about it."""

from __future__ import annotations

import html
from datetime import timedelta
from decimal import Decimal

import pytest
from sqlalchemy import delete, event, update

from portal.db import database_now
from portal.errors import WaybillError
from portal.events import AuditEntry
from portal.referrals.invitations.models import Invitation
from portal.referrals.models import PollTask, SchemeCondition
from portal.referrals.progress.expiry import expire_referrals
from portal.referrals.progress.models import PollRun, SpendSeen
from portal.referrals.progress.queries import PAGE_SIZE
from portal.referrals.rewards.models import RewardGrant
from portal.referrals.spends.batches import keep_failure
from portal.referrals.spends.service import Batch, OpenReferral
from portal.runtime import Runtime
from portal.work import Work
from tests.referrals.scenes import RECRUIT, REFERRER, Scene, scheme
from tests.web.portal import Visitor

RECRUITS_PAGE, REFERRERS_PAGE = f"/referrals/users/{RECRUIT}", f"/referrals/users/{REFERRER}"


@pytest.fixture
def shown(runtime: Runtime) -> Scene:
    """Give the portal's database, with one scheme of sign-up, verification and a spend of 100 USD."""
    with runtime.writer() as session:
        scheme_id = scheme(session, total="1000.00")
        session.execute(update(SchemeCondition).values(data='{"threshold": "100.00", "currency": "USD"}'))
    return Scene(runtime.database, scheme_id, runtime.cipher, runtime.clock())


def start(scene: Scene, email: str = "ana@example.com") -> int:
    """Let the recruit sign up; return the referral's id."""
    scene.sign_up(RECRUIT, email, token=scene.invite(email))
    return scene.progress().referral_id


def set_grants(scene: Scene, **values: object) -> None:
    """Let both rewards have come to this, with no delivery left to do."""
    with scene.database.writer() as session:
        session.execute(delete(Work))
        session.execute(update(RewardGrant).values(**values))


def test_a_user_of_whom_nothing_is_known_has_a_page_that_says_so(shown: Scene, support: Visitor) -> None:
    page = support.get("/referrals/users/77").text
    assert "Not referred" in page
    assert "has invited nobody" in page


def test_what_is_waited_for_is_named_with_evidence_and_the_end(shown: Scene, support: Visitor) -> None:
    start(shown)
    page = support.get(RECRUITS_PAGE).text
    assert "waits for verification and spend (1 of 3 conditions met)" in page
    assert f"sign-up-{RECRUIT}" in page
    assert "No message has told of it." in page
    assert "No poll has seen a spend." in page
    assert "counts until" in page


def test_a_spend_below_the_threshold_shows_both_amounts_the_poll_and_the_next_one(
    runtime: Runtime, shown: Scene, support: Visitor
) -> None:
    referral_id = start(shown)
    with runtime.writer() as session:
        run = PollRun(owner="p", started_at=shown.now, users=1, batches=1, failed_batches=0, met=0, id=88)
        run.ended_at = shown.now
        session.add(run)
        seen = SpendSeen(referral_id=referral_id, amount=Decimal("40.5"), currency="USD")
        seen.poll_run_id, seen.at = 88, shown.now
        session.add(seen)
    page = support.get(RECRUITS_PAGE).text
    assert "The spend that was seen is below the threshold." in page
    assert ">40.50 <abbr>USD" in page
    assert ">100.00 <abbr>USD" in page
    assert "<code>88</code>" in page
    assert f"{shown.now + timedelta(seconds=120):%Y-%m-%d %H:%M:%S}" in page


def test_the_last_poll_that_saw_nothing_is_named(runtime: Runtime, shown: Scene, support: Visitor) -> None:
    start(shown)
    began = shown.now + timedelta(seconds=1)
    with runtime.writer() as session:
        run = PollRun(owner="p", started_at=began, users=1, batches=1, failed_batches=0, met=0, id=88)
        run.ended_at = began
        session.add(run)
    page = support.get(RECRUITS_PAGE).text
    assert "No poll has seen a spend." in page
    assert "Last asked by poll run" in page
    assert "<code>88</code>" in page


def test_a_batch_that_failed_is_told_with_its_reason_and_its_next_try(
    runtime: Runtime, shown: Scene, support: Visitor
) -> None:
    referral_id = start(shown)
    down = WaybillError("The spend service did not answer.", code="spend-no-answer")
    with runtime.writer() as session:
        batch = Batch([OpenReferral(referral_id, RECRUIT, "{}", None, None)], shown.now, referral_id)
        keep_failure(session, 1, batch, down, shown.recorder)
        session.execute(update(Work).values(due_at=shown.now + timedelta(hours=1)))
    page = support.get(RECRUITS_PAGE).text
    assert "The last poll failed, once so far: The spend service did not answer." in page
    assert "Next check: the next try" in page
    assert f"{shown.now + timedelta(hours=1):%Y-%m-%d %H:%M:%S}" in page
    with runtime.writer() as session:
        session.execute(delete(Work))
    assert "out of retries and waits for a push" in support.get(RECRUITS_PAGE).text


def test_a_poll_whose_owner_has_died_is_not_told_as_under_way(
    runtime: Runtime, shown: Scene, support: Visitor
) -> None:
    start(shown)

    def heard_of(seconds: float) -> str:
        with runtime.writer() as session:
            at = database_now(session) - timedelta(seconds=seconds)
            session.execute(update(PollTask).values(in_progress=True, updated_at=at))
        return support.get(RECRUITS_PAGE).text

    with runtime.writer() as session:
        session.add(
            PollRun(owner="p", started_at=shown.now, users=0, batches=0, failed_batches=0, met=0, id=88)
        )
    assert "a poll is under way" in heard_of(1)
    page = heard_of(runtime.settings.lease_seconds + 10)
    assert "a poll is under way" not in page
    assert "Next check: the next poll" in page
    assert "due since" in page


def test_an_expired_referral_names_what_had_not_come_and_what_came_too_late(
    shown: Scene, support: Visitor
) -> None:
    start(shown)
    end = shown.progress().expires_at
    assert end is not None
    shown.now = end + timedelta(hours=1)
    with shown.database.writer() as session:
        expire_referrals(session, until=shown.now, limit=10, recorder=shown.recorder)
    shown.verify(at=end + timedelta(minutes=5))
    page = support.get(RECRUITS_PAGE).text
    assert "No reward: its time was over before verification and spend." in page
    assert "It came when the time of the referral was over." in page
    assert "It had not come when the referral expired." in page
    assert page.count('data-axis="condition" data-status="failed"') == 2


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"status": "sent", "external_id": "R-1"}, "Rewarded: both rewards are delivered."),
        ({"status": "earned"}, "is earned, and its delivery is under way."),
        (
            {"status": "failed", "code": "account-closed", "reason": "The account is closed."},
            "reward could not be delivered: The account is closed.",
        ),
        (
            {"status": "pending", "code": "budget-exhausted", "reason": "The budget has no room."},
            "reward waits: The budget has no room.",
        ),
        ({"status": "cancelled", "reason": "A mistake."}, "reward was cancelled: A mistake."),
        ({"status": "revoked"}, "reward is revoked."),
    ],
)
def test_a_converted_referral_says_where_its_rewards_are(
    shown: Scene, support: Visitor, values: dict[str, object], said: str
) -> None:
    shown.convert()
    set_grants(shown, **values)
    assert said in support.get(RECRUITS_PAGE).text


def test_the_three_axes_are_shown_apart(shown: Scene, support: Visitor) -> None:
    shown.convert()
    page = support.get(RECRUITS_PAGE).text
    for axis, state in (("referral", "converted"), ("review", "pending"), ("reward", "earned")):
        assert f'data-axis="{axis}" data-status="{state}"' in page


def test_a_flagged_referral_is_approved_with_a_reason_and_its_rewards_are_earned(
    shown: Scene, support: Visitor
) -> None:
    referral_id = shown.convert(referrer=RECRUIT)
    page = support.get(RECRUITS_PAGE).text
    assert "The recruit is the referrer." in page
    path = f"{RECRUITS_PAGE}/referrals/{referral_id}/approve"
    refused = support.send(path, {"reason": "  "})
    assert refused.status_code == 422
    assert "A reason is needed" in refused.text
    assert {grant.status for grant in shown.grants().values()} == {"pending"}
    done = support.send(path, {"reason": "Twins."})
    assert done.headers["Location"] == f"{RECRUITS_PAGE}#review-{referral_id}"
    assert {grant.status for grant in shown.grants().values()} == {"earned"}
    assert "Twins." in support.get(RECRUITS_PAGE).text


def test_of_two_reviewers_the_later_is_told_who_was_first(
    shown: Scene, support: Visitor, admin: Visitor
) -> None:
    referral_id = shown.convert(referrer=RECRUIT)
    path = f"{RECRUITS_PAGE}/referrals/{referral_id}"
    assert admin.send(f"{path}/deny", {"reason": "Same person."}).status_code == 303
    late = support.send(f"{path}/approve", {"reason": "Fine."})
    assert late.status_code == 409
    assert "admin denied this referral" in late.text
    assert 'value="Fine."' in late.text
    assert support.send(f"{path}/reopen", {"reason": "Look again."}).status_code == 303
    assert shown.progress().review == "flagged"


def test_a_failed_reward_is_pushed_once(shown: Scene, support: Visitor, admin: Visitor) -> None:
    shown.convert()
    set_grants(shown, status="failed", code="account-closed", reason="The account is closed.")
    grant = shown.grants()["recruit"]
    path = f"{RECRUITS_PAGE}/grants/{grant.id}/push"
    assert path in support.get(RECRUITS_PAGE).text
    assert admin.send(path).status_code == 303
    late = support.send(path)
    assert late.status_code == 409
    assert "admin already pushed this reward" in late.text
    assert shown.grants()["recruit"].status == "earned"
    (requested,), (refused,) = shown.events("reward.push-requested"), shown.events("reward.push-refused")
    assert [(one.actor, one.data["grant_id"]) for one in (requested, refused)] == [
        ("admin", grant.id),
        ("support", grant.id),
    ]
    assert refused.data["reason"].startswith("admin already pushed this reward at ")
    assert {requested.id, refused.id} <= {entry.event_id for entry in shown.all(AuditEntry)}
    assert "Push of the reward of the recruit refused" in support.get(RECRUITS_PAGE).text


@pytest.mark.parametrize("amount", ["", "abc", "-1", "0", "1.234", "1e3", "1_000", "９", "NaN"])
def test_a_reward_is_not_adjusted_to_what_is_no_amount(shown: Scene, support: Visitor, amount: str) -> None:
    shown.convert()
    set_grants(shown, status="failed", code="account-closed", reason="The account is closed.")
    grant = shown.grants()["recruit"]
    path = f"{RECRUITS_PAGE}/grants/{grant.id}/adjust"
    refused = support.send(path, {"amount": amount, "reason": "Goodwill."})
    assert refused.status_code == 422
    assert shown.grants()["recruit"].amount == grant.amount


def test_a_reward_is_adjusted_and_cancelled_with_a_reason(shown: Scene, support: Visitor) -> None:
    shown.convert()
    set_grants(shown, status="failed", code="account-closed", reason="The account is closed.")
    grant = shown.grants()["recruit"]
    path = f"{RECRUITS_PAGE}/grants/{grant.id}"
    assert support.send(f"{path}/adjust", {"amount": "7.50", "reason": "Goodwill."}).status_code == 303
    assert shown.grants()["recruit"].amount == Decimal("7.50")
    assert support.send(f"{path}/cancel", {"reason": "Closed for good."}).status_code == 303
    page = support.get(RECRUITS_PAGE).text
    assert "Closed for good." in page
    assert "Goodwill." in page


def test_an_address_is_corrected_and_the_mail_sent_again(shown: Scene, support: Visitor) -> None:
    invitation = shown.invitation(shown.invite("wrong@example.com"))
    with shown.database.writer() as session:
        session.execute(delete(Work))
    path = f"{REFERRERS_PAGE}/invitations/{invitation.id}/send-again"
    assert path in support.get(REFERRERS_PAGE).text
    refused = support.send(path, {"address": "nobody"})
    assert refused.status_code == 422
    assert "no address that mail can be sent to" in refused.text
    assert support.send(path, {"address": "right@example.com"}).status_code == 303
    page = support.get(REFERRERS_PAGE).text
    assert "right@example.com" in page
    assert 'data-axis="mail" data-status="queued"' in page


def test_executives_see_no_address_and_no_action(shown: Scene, executive: Visitor) -> None:
    invitation = shown.invitation(shown.invite("ana.maria@example.com"))
    shown.convert()
    page = executive.get(REFERRERS_PAGE).text
    assert "ana.maria" not in page
    assert "a…@example.com" in page
    assert "send-again" not in page
    assert "/approve" not in page
    refused = executive.send(f"{REFERRERS_PAGE}/invitations/{invitation.id}/send-again")
    assert refused.status_code == 403
    for action in ("referrals/1/approve", "referrals/1/deny", "grants/1/push", "grants/1/adjust"):
        assert executive.send(f"{REFERRERS_PAGE}/{action}").status_code == 403, action


def test_an_erased_invitation_still_has_its_row(runtime: Runtime, shown: Scene, support: Visitor) -> None:
    shown.invite("gone@example.com")
    with runtime.writer() as session:
        session.execute(update(Invitation).values(address=None, token=None, token_hash=None))
    page = support.get(REFERRERS_PAGE).text
    assert "erased or unreadable" in page
    assert "send-again" not in page


def test_the_number_of_statements_does_not_grow_with_the_referrals(
    runtime: Runtime, shown: Scene, support: Visitor
) -> None:
    def statements() -> int:
        count = 0

        def tick(*_: object) -> None:
            nonlocal count
            count += 1

        engines = {runtime.database.writer_engine, runtime.database.reader_engine}
        for engine in engines:
            event.listen(engine, "before_cursor_execute", tick)
        assert support.get(REFERRERS_PAGE).status_code == 200
        for engine in engines:
            event.remove(engine, "before_cursor_execute", tick)
        return count

    shown.convert(2000)
    few = statements()
    for user_id in range(2001, 2012):
        shown.convert(user_id)
    assert statements() <= few <= 30


def test_lists_of_a_busy_referrer_go_on_by_key(shown: Scene, support: Visitor) -> None:
    for user_id in range(3000, 3021):
        shown.sign_up(user_id, f"u{user_id}@example.com", token=shown.invite(f"u{user_id}@example.com"))
    first = support.get(REFERRERS_PAGE).text
    assert "recruit: user" in first
    assert "/referrals/users/3000" not in first
    older = next(
        part.split('"')[0] for part in first.split('href="') if f"{REFERRERS_PAGE}?older=" in part[:60]
    )
    assert "/referrals/users/3000" in support.get(html.unescape(older)).text


def many_invitations(scene: Scene) -> Invitation:
    """Let the referrer send more than one page of invitations; return the first."""
    first = scene.invitation(scene.invite("first@example.com"))
    for number in range(PAGE_SIZE):
        scene.invite(f"u{number}@example.com")
    return first


def hrefs(page: str) -> list[str]:
    return [html.unescape(part.split('"')[0]) for part in page.split('href="')[1:]]


def test_a_refused_action_comes_back_on_the_page_of_the_list_where_it_was_asked_for(
    shown: Scene, support: Visitor
) -> None:
    first = many_invitations(shown)
    with shown.database.writer() as session:
        session.execute(delete(Work))
    page = f"{REFERRERS_PAGE}?invited-before={first.id + 1}"
    action = f"{REFERRERS_PAGE}/invitations/{first.id}/send-again?invited-before={first.id + 1}"
    assert f'action="{action}#invitation-{first.id}"' in support.get(page).text
    refused = support.send(action, {"address": "nobody"})
    assert refused.status_code == 422
    assert f'id="invitation-{first.id}"' in refused.text
    assert 'value="nobody"' in refused.text
    done = support.send(action, {"address": "right@example.com"})
    assert done.headers["Location"] == f"{page}#invitation-{first.id}"


def test_a_reward_is_pushed_from_the_page_where_it_stands(shown: Scene, support: Visitor) -> None:
    shown.convert()
    set_grants(shown, status="failed", code="account-closed", reason="The account is closed.")
    older = shown.progress().referral_id + 1
    page = support.get(f"{REFERRERS_PAGE}?older={older}").text
    assert f"/push?older={older}#grant-" in page


def test_each_list_goes_on_and_leaves_the_others_where_they_are(shown: Scene, support: Visitor) -> None:
    last = many_invitations(shown).id + PAGE_SIZE + 1
    links = hrefs(support.get(f"{REFERRERS_PAGE}?older=999&invited-before={last}&before=9999").text)
    (first,) = [link for link in links if link.endswith("#brought")]
    assert first == f"{REFERRERS_PAGE}?invited-before={last}#brought"
    begin, _, earlier = [link for link in links if link.endswith("#invitations") and "?" in link]
    assert begin == f"{REFERRERS_PAGE}?older=999#invitations"
    assert earlier == f"{REFERRERS_PAGE}?older=999&invited-before={last - PAGE_SIZE}#invitations"
    (newest,) = [link for link in links if link.endswith("#timeline-card")]
    assert newest == f"{REFERRERS_PAGE}?older=999&invited-before={last}#timeline-card"


def test_a_reward_that_is_pending_waits_since_the_conversion(shown: Scene, support: Visitor) -> None:
    shown.convert()
    assert "Waiting since" not in support.get(RECRUITS_PAGE).text
    set_grants(shown, status="pending", code="budget-exhausted", reason="The budget has no room.")
    page = support.get(RECRUITS_PAGE).text
    assert page.count("Waiting since") == 2
    assert "<span>Earned" not in page
