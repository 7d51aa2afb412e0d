"""What waits for room in a budget is told by scheme."""

from __future__ import annotations

from decimal import Decimal

from portal.referrals.queries_room import WaitingForRoom, read_waiting_for_room
from portal.referrals.scheme_models import SchemeBudget
from tests.referrals.scenes import Scene


def test_rewards_without_room_are_told_with_their_amount_and_others_are_not(scene: Scene) -> None:
    with scene.database.writer() as session:
        session.get_one(SchemeBudget, scene.scheme_id).total = Decimal("15.30")
    for user in (1, 2, 3):
        scene.convert(user)
    with scene.database.writer() as session:
        told = read_waiting_for_room(session, [scene.scheme_id, 77])
    assert told == {scene.scheme_id: WaitingForRoom(4, Decimal("30.60")), 77: WaitingForRoom()}
