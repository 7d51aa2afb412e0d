"""The methods that other services read referrals by; they are answered from the reader."""

from collections.abc import Iterator
from typing import Annotated

from pydantic import Field

from portal.jsonrpc import Amount, Caller, Example, Method, NoParams, Params, Result
from portal.referrals.progress.queries_users import UserReferral, UserStats, referrals_of, user_stats
from portal.referrals.schemes.cache import SchemeCache
from portal.referrals.schemes.rpc_views import SCHEME, Id, SchemeView, Time

MOST_IDS = 100
Page = Annotated[int, Field(ge=1, le=100)]
Ids = Annotated[list[Id], Field(min_length=1, max_length=MOST_IDS)]
Product = Annotated[str, Field(min_length=1, max_length=20)]


class SchemeIds(Params):
    ids: Ids = Field(description="Ids of versions of schemes.")


class Schemes(Result):
    schemes: list[SchemeView] = Field(description="Those that exist, in the order of the ids.")
    unknown_ids: list[int] = Field(description="The rest.")


class ActiveOf(Params):
    product: Product = Field(description="The product, exactly as its schemes name it.")


class Active(Result):
    scheme: SchemeView | None = Field(description="The active scheme of the product, if it has one.")


class OfUser(Params):
    user_id: Id = Field(description="The user who invited others.")


class RewardsView(Result):
    status: str
    currency: str
    number: int
    amount: Amount


class StatsView(Result):
    user_id: int
    invited: int = Field(description="Invitations whose link nobody has followed yet.")
    clicked: int = Field(description="Invitations whose link was followed, without a sign-up yet.")
    started: int = Field(description="Referrals that have signed up.")
    qualifying: int = Field(description="Referrals that have met more than that.")
    converted: int
    expired: int
    cancelled: int
    rewards: list[RewardsView] = Field(description="The user's own rewards, by status and currency.")

    @classmethod
    def of(cls, user_id: int, stats: UserStats) -> "StatsView":
        rewards = [
            RewardsView(status=one.status, currency=one.currency, number=one.number, amount=one.amount)
            for one in stats.rewards
        ]
        return cls(user_id=user_id, rewards=rewards, **stats.numbers)


class ReferralsOf(Params):
    user_id: Id = Field(description="The user who invited others.")
    below: Id | None = Field(default=None, description="Where the last page ended: its `next_below`.")
    limit: Page = Field(default=50, description="At most so many.")


class ReferralsOfSeveral(Params):
    user_ids: Ids = Field(description="The users who invited others.")
    limit: Page = Field(default=20, description="At most so many of each user.")


class NeedView(Result):
    condition_id: int
    name: str
    met_at: Time | None


class ReferralView(Result):
    id: int
    scheme_id: int = Field(description="The version of the scheme that the referral started under.")
    user_id: int = Field(description="The user who was won.")
    status: str = Field(description="started, qualifying, converted, expired or cancelled.")
    started_at: Time
    expires_at: Time | None
    ended_at: Time | None
    conditions: list[NeedView] = Field(description="All that the scheme asks for, in its order.")

    @classmethod
    def of(cls, referral: UserReferral) -> "ReferralView":
        return cls(
            id=referral.id,
            scheme_id=referral.scheme_id,
            user_id=referral.user_id,
            status=referral.status,
            started_at=referral.started_at,
            expires_at=referral.expires_at,
            ended_at=referral.ended_at,
            conditions=[
                NeedView(condition_id=need.condition_id, name=need.name, met_at=need.met_at)
                for need in referral.conditions
            ],
        )


class Referrals(Result):
    referrals: list[ReferralView] = Field(description="The newest first.")
    next_below: int | None = Field(description="What to send as `below` for the next page; null: the end.")


class ReferralsOfUser(Result):
    user_id: int
    referrals: list[ReferralView] = Field(description="The newest first.")
    next_below: int | None = Field(description="For the next page by referrals.getuserreferrals.")


class ReferralsOfUsers(Result):
    users: list[ReferralsOfUser] = Field(description="In the order of the ids.")


class SchemeReads:
    """The two methods that are asked most, from what the process knows."""

    def __init__(self, cache: SchemeCache) -> None:
        self._cache = cache

    def by_ids(self, caller: Caller, params: SchemeIds) -> bytes:
        """Return versions of schemes by their ids.

        What has changed in the last second may not show yet.
        """
        wanted = dict.fromkeys(params.ids)
        known = self._cache.schemes(wanted)
        schemes = [written for one in wanted if (written := known[one]) is not None]
        unknown = ",".join(str(one) for one in wanted if known[one] is None)
        return b'{"schemes":[%b],"unknown_ids":[%b]}' % (b",".join(schemes), unknown.encode())

    def active(self, caller: Caller, params: ActiveOf) -> bytes:
        """Return the active scheme of a product.

        What has changed in the last second may not show yet.
        """
        return b'{"scheme":%b}' % (self._cache.active(params.product) or b"null")


def get_user_stats(caller: Caller, params: OfUser) -> StatsView:
    """Count those whom a user has invited, each where it stands now, and the user's rewards."""
    return StatsView.of(params.user_id, user_stats(caller.runtime.database, params.user_id))


def get_user_referrals(caller: Caller, params: ReferralsOf) -> Referrals:
    """List the referrals that a user has made, page by page."""
    with caller.runtime.reader() as session:
        found = referrals_of(session, [params.user_id], limit=params.limit, below=params.below)
    referrals = [ReferralView.of(one) for one in found[params.user_id]]
    return Referrals(referrals=referrals, next_below=_next_below(referrals, params.limit))


def get_users_referrals(caller: Caller, params: ReferralsOfSeveral) -> ReferralsOfUsers:
    """List the newest referrals that each of several users has made."""
    with caller.runtime.reader() as session:
        found = referrals_of(session, params.user_ids, limit=params.limit)
    users = []
    for user_id in dict.fromkeys(params.user_ids):
        referrals = [ReferralView.of(one) for one in found[user_id]]
        next_below = _next_below(referrals, params.limit)
        users.append(ReferralsOfUser(user_id=user_id, referrals=referrals, next_below=next_below))
    return ReferralsOfUsers(users=users)


def ping(_caller: Caller, _params: NoParams) -> str:
    """Answer "pong": the service is there and knows this client."""
    return "pong"


def methods(cache: SchemeCache) -> Iterator[Method]:
    """Give the methods of this module."""
    reads = SchemeReads(cache)
    for name, params, result, handle, example in (
        (
            "referrals.getreferralschemesbyids",
            SchemeIds,
            Schemes,
            reads.by_ids,
            Example({"ids": [7, 99]}, {"schemes": [SCHEME], "unknown_ids": [99]}),
        ),
        (
            "referrals.getactivereferralschemebyproduct",
            ActiveOf,
            Active,
            reads.active,
            Example({"product": "card"}, {"scheme": SCHEME}),
        ),
        ("referrals.getuserreferralstats", OfUser, StatsView, get_user_stats, _STATS),
        ("referrals.getuserreferrals", ReferralsOf, Referrals, get_user_referrals, _REFERRALS),
        (
            "referrals.getusersreferrals",
            ReferralsOfSeveral,
            ReferralsOfUsers,
            get_users_referrals,
            _OF_SEVERAL,
        ),
        ("_default.ping", NoParams, str, ping, Example({}, "pong")),
    ):
        yield Method(name, params, result, handle, example)


def _next_below(referrals: list[ReferralView], limit: int) -> int | None:
    return referrals[-1].id if len(referrals) == limit else None


_STATS = Example(
    {"user_id": 41},
    {
        "user_id": 41,
        "invited": 3,
        "clicked": 1,
        "started": 1,
        "qualifying": 0,
        "converted": 1,
        "expired": 0,
        "cancelled": 0,
        "rewards": [{"status": "sent", "currency": "USD", "number": 1, "amount": "10.00"}],
    },
)
_REFERRAL = {
    "id": 12,
    "scheme_id": 7,
    "user_id": 1001,
    "status": "started",
    "started_at": "2026-11-02T09:30:00.000Z",
    "expires_at": "2026-12-02T09:30:00.000Z",
    "ended_at": None,
    "conditions": [{"condition_id": 3, "name": "spend", "met_at": None}],
}
_REFERRALS = Example({"user_id": 41, "limit": 1}, {"referrals": [_REFERRAL], "next_below": 12})
_OF_SEVERAL = Example(
    {"user_ids": [41, 42]},
    {
        "users": [
            {"user_id": 41, "referrals": [_REFERRAL], "next_below": None},
            {"user_id": 42, "referrals": [], "next_below": None},
        ]
    },
)
