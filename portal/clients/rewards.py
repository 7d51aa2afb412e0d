"""The reward system."""

from decimal import Decimal

from portal.clients.http import Answer, HttpSystem


def grant(
    system: HttpSystem,
    key: str,
    *,
    user_id: int,
    amount: Decimal,
    currency: str,
    referral_id: int,
    side: str,
) -> Answer:
    """Give a user a reward, once for this key; the answer has its `grant_id`."""
    body = {
        "user_id": user_id,
        "amount": str(amount),
        "currency": currency,
        "referral_id": referral_id,
        "side": side,
    }
    return system.post("/grants", body, key)
