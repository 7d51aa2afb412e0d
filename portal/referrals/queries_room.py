"""What waits for room in the budgets of schemes."""

from collections.abc import Collection
from dataclasses import dataclass
from decimal import Decimal

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from portal.referrals.earnings import Hold
from portal.referrals.reward_models import RewardGrant
from portal.referrals.states import RewardStatus


@dataclass(frozen=True, slots=True)
class WaitingForRoom:
    """So many rewards of a scheme wait until its budget has room for their amount."""

    rewards: int = 0
    amount: Decimal = Decimal(0)


def read_waiting_for_room(session: Session, family_ids: Collection[int]) -> dict[int, WaitingForRoom]:
    """Return what waits for room in the budget of each scheme."""
    grant = RewardGrant
    amount = func.sum(grant.amount, type_=grant.amount.type)
    waiting = select(grant.family_id, func.count(), amount).where(
        grant.family_id.in_(family_ids),
        grant.status == RewardStatus.PENDING,
        grant.code == Hold.BUDGET_EXHAUSTED,
    )
    found = {
        family_id: WaitingForRoom(rewards, total)
        for family_id, rewards, total in session.execute(waiting.group_by(grant.family_id))
    }
    return {family_id: found.get(family_id, WaitingForRoom()) for family_id in family_ids}
