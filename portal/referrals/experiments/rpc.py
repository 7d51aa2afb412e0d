"""JSON-RPC: whether referring is offered to a user."""

from functools import partial

from portal.jsonrpc import Caller, Example, Method, Params, Result
from portal.referrals.experiments.service import find_offer, record_exposure
from portal.referrals.schemes.queries_active import active_scheme_of
from portal.referrals.schemes.rpc_views import Id


class IsUserOffered(Params):
    """Without `product` the only active scheme is meant."""

    user_id: Id
    product: str | None = None


class Offered(Result):
    """Whether referring is offered, and the experiment that decided it, if one did."""

    offered: bool
    experiment_id: int | None


def is_user_offered(caller: Caller, params: IsUserOffered) -> Offered:
    """Say whether referring is to be offered to a user: ask when it would be shown, and not before.

    While an experiment runs, the answer is the same at every time, and the first one is recorded as the
    user's exposure; but that of a user who signed up after it began is not, since it is of existing users.
    Without an active scheme referring is offered to nobody.
    """
    runtime, now = caller.runtime, caller.runtime.clock()
    with runtime.reader() as session:
        scheme = active_scheme_of(session, product=params.product)
        if scheme is None:
            return Offered(offered=False, experiment_id=None)
        offer = find_offer(session, runtime.cipher, params.user_id, scheme.product, now)
    if offer.is_new:
        runtime.transact(partial(record_exposure, offer=offer, user_id=params.user_id, now=now))
    return Offered(offered=offer.offered, experiment_id=offer.experiment_id)


def methods() -> list[Method]:
    """Give the methods of experiments."""
    example = Example(params={"user_id": 41}, result={"offered": True, "experiment_id": 3})
    return [Method("referrals.isuseroffered", IsUserOffered, Offered, is_user_offered, example)]
