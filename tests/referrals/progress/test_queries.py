"""What the page of a user's progress reads stays small, however much has failed around it."""

from __future__ import annotations

from portal.referrals.progress.models import FailedBatch
from portal.referrals.progress.queries import _covering, _failed_polls
from tests.referrals.scenes import Scene


def test_of_many_failed_batches_only_those_around_the_shown_referrals_are_read(scene: Scene) -> None:
    with scene.database.writer() as session:
        for first, last in [*((one, one) for one in range(1, 101)), (101, 150)]:
            batch = FailedBatch(poll_run_id=1, first_referral_id=first, last_referral_id=last, attempts=1)
            batch.code, batch.reason, batch.at = "spend-unreadable", f"From {first} on.", scene.now
            session.add(batch)
    shown = [2, 90, 120, 151]
    with scene.database.reader() as session:
        failed = _failed_polls(session, shown)
    assert sorted(first for first, _, _ in failed) == [2, 90, 101]
    told = [_covering(failed, referral_id) for referral_id in shown]
    assert [found and found.reason for found in told] == ["From 2 on.", "From 90 on.", "From 101 on.", None]
