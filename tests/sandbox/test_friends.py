"""The stream of referrals: friends who come as far as chance has it, on after the portal was away."""

from __future__ import annotations

from collections import Counter
from random import Random
from threading import Event

from sandbox.friends import REFERRERS, PortalSaysNo, run


class Everybody:
    """A portal and its users: keeps what happened in order, is away for the invitations named, then ends."""

    def __init__(self, away: set[int], last: int) -> None:
        self.away = away
        self.last = last
        self.calls = 0
        self.stopping = Event()
        self.happened: list[tuple[str, object]] = []
        self.ids: dict[int, str] = {}

    def invite(self, user_id: int, address: str) -> None:
        self.calls += 1
        if self.calls == self.last:
            self.stopping.set()
        if self.calls in self.away:
            raise PortalSaysNo("The portal does not answer.")
        assert user_id in REFERRERS
        self.happened.append(("invited", address))

    def sign_up(self, email: str) -> int:
        user_id = len(self.ids) + 1
        self.ids[user_id] = email
        self.happened.append(("signed up", email))
        return user_id

    def verify(self, user_id: int) -> None:
        self.happened.append(("verified", self.ids[user_id]))

    def spend(self, user_id: int, amount: str) -> None:
        self.happened.append(("spent", self.ids[user_id]))


def test_friends_come_step_by_step_and_nobody_is_left_out_while_the_portal_is_away() -> None:
    everybody, said = Everybody(away={3, 4, 9}, last=150), list[str]()
    run(
        everybody.invite,
        everybody,
        prefix="a-",
        every=0.0001,
        random=Random(7),
        stopping=everybody.stopping,
        say=said.append,
    )
    assert [line.split()[0] for line in said[1:]] == ["Trying", "Everything", "Trying", "Everything"]
    invited = [address for kind, address in everybody.happened if kind == "invited"]
    assert invited == [f"a-{number:04d}@friends.example" for number in range(1, 148)]
    steps = Counter(kind for kind, _ in everybody.happened)
    assert steps["invited"] > steps["signed up"] > steps["verified"] > steps["spent"] > 0
    for kind, before in (("signed up", "invited"), ("verified", "signed up"), ("spent", "verified")):
        for place, (what, address) in enumerate(everybody.happened):
            if what == kind:
                assert (before, address) in everybody.happened[:place]
