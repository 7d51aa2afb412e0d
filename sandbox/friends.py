"""A gentle stream of referrals: users invite friends, who sign up, are verified and spend, or stay away."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from threading import Event
from typing import Any, Protocol

import urllib3

from sandbox.client import SandboxSaysNo

# Users who were there before, beyond the ids that the user service gives to new ones.
REFERRERS = range(900_001, 900_013)
MOST_UNDER_WAY = 200
LONGEST_WAIT = 5.0
_GOES_ON = 0.85
_TAKES_A_STEP = 0.3


class PortalSaysNo(RuntimeError):
    """Say in one line why nobody was invited."""


class Users(Protocol):
    """What happens to users, and is published: SandboxClient does it."""

    def sign_up(self, email: str) -> int:
        """Sign a user up, and return the user's id."""

    def verify(self, user_id: int) -> None:
        """Verify the identity of a user."""

    def spend(self, user_id: int, amount: str) -> None:
        """Set what a user has spent in all."""


@dataclass
class Friend:
    """Somebody who was invited, and how far they have come: invited, signed up, verified."""

    address: str
    user_id: int | None = None
    is_verified: bool = False


def invite_at(portal: str, api_key: str) -> Callable[[int, str], object]:
    """Return how a user invites an address by JSON-RPC; it raises PortalSaysNo."""
    http = urllib3.PoolManager(timeout=urllib3.Timeout(connect=2, read=10), retries=False)

    def invite(user_id: int, address: str) -> object:
        call: dict[str, Any] = {"jsonrpc": "2.0", "id": 1, "method": "referrals.sendreferralemail"}
        call["params"] = {"user_id": user_id, "emails": [address], "idempotency_key": address}
        try:
            headers = {"Authorization": f"Bearer {api_key}"}
            answer = http.request("POST", f"{portal}/rpc", json=call, headers=headers).json()
        except (urllib3.exceptions.HTTPError, ValueError) as error:
            raise PortalSaysNo(f"The portal at {portal} does not answer.") from error
        if "result" not in answer:
            raise PortalSaysNo(str(answer.get("error", answer)))
        return answer["result"]

    return invite


def run(
    invite: Callable[[int, str], object],
    users: Users,
    *,
    prefix: str,
    every: float,
    random: Random,
    stopping: Event,
    say: Callable[[str], None],
) -> None:
    """Invite somebody every `every` seconds, and let those who were invited go on, until `stopping` is set.

    Addresses begin with `prefix`, which no other run has. While the portal or the sandbox cannot be
    reached, that is said once.
    """
    say(f"Somebody is invited every {every:g} s.")
    friends: list[Friend] = []
    number, away = 0, False
    while not stopping.is_set():
        try:
            if len(friends) < MOST_UNDER_WAY:
                address = f"{prefix}{number + 1:04d}@friends.example"
                invite(random.choice(REFERRERS), address)
                number += 1
                friends.append(Friend(address))
            friends = [friend for friend in friends if not _take_step(friend, users, random)]
        except (PortalSaysNo, SandboxSaysNo) as error:
            if not away:
                say(f"Trying on: {error}")
            away = True
            stopping.wait(min(every, LONGEST_WAIT))
            continue
        if away:
            say("Everything answers again.")
            away = False
        stopping.wait(every)


def _take_step(friend: Friend, users: Users, random: Random) -> bool:
    """Let a friend go on, now and then; return whether nothing more will come of them."""
    if random.random() > _TAKES_A_STEP:
        return False
    if random.random() > _GOES_ON:
        return True
    if friend.user_id is None:
        friend.user_id = users.sign_up(friend.address)
    elif not friend.is_verified:
        users.verify(friend.user_id)
        friend.is_verified = True
    else:
        # Most spend enough for the scheme of the demo, some do not.
        users.spend(friend.user_id, f"{random.randint(40, 400)}.00")
        return True
    return False
