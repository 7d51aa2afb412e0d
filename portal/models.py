"""Every table of the portal, for migrations: importing this registers them all."""

from portal.access import models as access
from portal.events import AuditEntry, AuditHead, Event
from portal.metrics import models as metrics
from portal.orders import models as orders
from portal.referrals import models as referrals
from portal.referrals.invitations import models as invitation_models
from portal.referrals.progress import models as progress_models
from portal.referrals.rewards import models as reward_models
from portal.referrals.schemes import models as scheme_models
from portal.work import Work

__all__ = [
    "AuditEntry",
    "AuditHead",
    "Event",
    "Work",
    "access",
    "invitation_models",
    "metrics",
    "orders",
    "progress_models",
    "referrals",
    "reward_models",
    "scheme_models",
]
