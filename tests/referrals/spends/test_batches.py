"""A batch that failed is tried again with growing waits, then it waits for a person."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import select, update

from portal import work
from portal.db import database_now
from portal.errors import Conflict, NotFound, WaybillError
from portal.referrals.progress.models import FailedBatch
from portal.referrals.spends import batches as spend_batches
from portal.referrals.spends.batches import RETRY, WORK_KIND, Walk, failed_ranges
from portal.referrals.spends.service import read_open, spend_condition
from portal.work import Claimed, Work
from tests.referrals.scenes import Scene, kinds
from tests.referrals.spending import open_referrals, spend_scheme

DOWN = WaybillError("The spend service did not answer.", code="spend-no-answer")
LEASE = timedelta(minutes=1)


@pytest.fixture
def referral_ids(scene: Scene) -> list[int]:
    with scene.database.writer() as session:
        return open_referrals(session, spend_scheme(session), range(1, 9))


@pytest.fixture
def failed_id(scene: Scene, referral_ids: list[int]) -> int:
    """Give a batch of the third and the fourth referral that failed."""
    with scene.database.writer() as session:
        batch = read_open(
            session, condition(scene), now=database_now(session), after=referral_ids[1], limit=2
        )
        spend_batches.keep_failure(session, 1, batch, DOWN, scene.recorder)
    return int(scene.one(FailedBatch).id)


def condition(scene: Scene) -> int:
    with scene.database.reader() as session:
        found = spend_condition(session)
    assert found is not None
    return found


def claim(scene: Scene) -> list[Claimed]:
    """Claim the retry as if its time had come."""
    with scene.database.writer() as session:
        session.execute(update(Work).values(due_at=database_now(session) - timedelta(seconds=1)))
        return work.claim(session, WORK_KIND, limit=1, lease=LEASE, token="t")


def fail_again(scene: Scene) -> float:
    """Let the retry fail; return for how many seconds it waits now, below 0 when no more."""
    (claimed,) = claim(scene)
    with scene.database.writer() as session:
        spend_batches.keep_failed_retry(session, claimed, DOWN, scene.recorder)
    with scene.database.writer() as session:
        due_at, failed_at = session.scalar(select(Work.due_at)), session.scalar(select(FailedBatch.at))
    assert failed_at is not None
    return -1.0 if due_at is None else (due_at - failed_at).total_seconds()


def walked(scene: Scene, size: int = 3) -> list[list[int]]:
    """Return the users of each batch that a poll asks for."""
    with scene.database.writer() as session:
        walk = Walk(condition(scene), size, failed_ranges(session))
        batches = []
        while (found := walk.next(session)) is not None:
            if not found.is_nothing:
                batches.append(found.batch.user_ids)
    return batches


def out_of_retries(scene: Scene) -> None:
    for _ in RETRY:
        fail_again(scene)


def test_the_waits_grow_and_then_it_is_an_exception_with_its_reason(scene: Scene, failed_id: int) -> None:
    waits = [fail_again(scene) for _ in RETRY]
    assert [round(wait) for wait in waits] == [*map(round, RETRY[1:]), -1]
    failed = scene.one(FailedBatch)
    assert (failed.id, failed.attempts, failed.reason) == (failed_id, len(RETRY) + 1, DOWN.reason)
    assert len(scene.events("spend-batch.given-up")) == 1


def test_a_failure_that_is_kept_again_after_a_lost_commit_is_kept_once(
    scene: Scene, referral_ids: list[int]
) -> None:
    for _ in range(2):
        with scene.database.writer() as session:
            batch = read_open(session, condition(scene), now=database_now(session), after=0, limit=2)
            spend_batches.keep_failure(session, 1, batch, DOWN, scene.recorder)
    assert len(scene.all(FailedBatch)) == len(scene.all(Work)) == 1


def test_a_poll_passes_over_a_batch_that_is_being_retried(scene: Scene, failed_id: int) -> None:
    assert walked(scene) == [[1, 2], [5, 6, 7], [8]]


def test_a_poll_asks_for_an_exception_by_itself(scene: Scene, failed_id: int) -> None:
    out_of_retries(scene)
    assert walked(scene) == [[1, 2], [3, 4], [5, 6, 7], [8]]


def test_an_exception_that_is_pushed_is_due_at_once(scene: Scene, failed_id: int) -> None:
    out_of_retries(scene)
    with scene.database.writer() as session:
        spend_batches.push_batch(session, failed_id, scene.recorder)
    with scene.database.writer() as session:
        (claimed,) = work.claim(session, WORK_KIND, limit=1, lease=LEASE, token="t")
    assert (claimed.reference, claimed.attempt) == (failed_id, 1)
    assert len(scene.events("spend-batch.push-requested")) == 1


def test_a_second_push_is_refused(scene: Scene, failed_id: int) -> None:
    with pytest.raises(Conflict), scene.database.writer() as session:
        spend_batches.push_batch(session, failed_id, scene.recorder)
    with pytest.raises(NotFound), scene.database.writer() as session:
        spend_batches.push_batch(session, failed_id + 1, scene.recorder)


def test_a_batch_that_passed_is_forgotten_with_a_push_of_the_same_moment(
    scene: Scene, failed_id: int
) -> None:
    out_of_retries(scene)
    with scene.database.writer() as session:
        spend_batches.push_batch(session, failed_id, scene.recorder)
        spend_batches.keep_passed(session, failed_id, scene.recorder)
    assert not scene.all(FailedBatch)
    assert not scene.all(Work)
    assert kinds(scene.events("spend-batch.passed")) == ["spend-batch.passed"]


def test_a_retry_of_what_has_passed_meanwhile_just_ends(scene: Scene, failed_id: int) -> None:
    (claimed,) = claim(scene)
    with scene.database.writer() as session:
        spend_batches.keep_passed(session, failed_id, scene.recorder)
    with scene.database.writer() as session:
        spend_batches.keep_failed_retry(session, claimed, DOWN, scene.recorder)
    assert not scene.all(Work)
