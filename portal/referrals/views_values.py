"""What a view records about referrals and makes invitations with, for whoever is asking."""

from datetime import timedelta

from portal.crypto import new_link_token
from portal.referrals.invitations.service import Post
from portal.referrals.recorder import FraudRules, Recorder
from portal.web.context import actor, runtime


def recorder() -> Recorder:
    """Return what a view records about referrals with."""
    settings = runtime().settings
    rules = FraudRules(
        window=timedelta(seconds=settings.fraud_window_seconds),
        sign_ups_of_network=settings.fraud_sign_ups_of_network,
        sign_ups_of_device=settings.fraud_sign_ups_of_device,
        referrals_a_day=settings.fraud_referrals_a_day,
    )
    return Recorder(actor(), runtime().clock(), runtime().new_id, rules)


def post() -> Post:
    """Return what a view makes invitations with."""
    return Post(runtime().cipher, runtime().settings.invitations_per_day, runtime().new_id, new_link_token)
