"""One search over all domains: what is found of each piece that was entered, and what is not."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from sqlalchemy.orm import Session

from portal.crypto import DataCipher
from portal.orders.queries import FoundMessage, FoundOrder, search_messages, search_orders
from portal.pasted import read_pasted
from portal.referrals.queries import FoundInvitation, FoundUser, search_invitations, search_users

# So many things of a domain are shown of one piece, such as orders of an address; of many pieces fewer.
MOST_OF_ONE = 20
_LEAST_OF_ONE = 3
_MOST_OF_ALL = 200

Kind = Literal["order", "user", "invitation", "message"]
Thing = FoundOrder | FoundUser | FoundInvitation | FoundMessage


_Domains = tuple[tuple[Kind, Mapping[str, Sequence[Thing]]], ...]


@dataclass(frozen=True, slots=True)
class Result:
    """Something that was found, and by which piece."""

    kind: Kind
    thing: Thing
    piece: str


@dataclass(frozen=True, slots=True)
class Found:
    """What a search found, in the order of the pieces; `cut` tells of which kinds there is more to see."""

    pieces: Sequence[str]
    results: Sequence[Result]
    missing: Sequence[str]
    cut: Mapping[str, Sequence[Kind]]
    most_of_one: int = MOST_OF_ONE

    @property
    def only(self) -> Result | None:
        """Return the one thing that was found, when it is all that there is to show."""
        return self.results[0] if len(self.results) == 1 and not self.missing else None


def search(session: Session, text: str, *, cipher: DataCipher, masked: bool) -> Found:
    """Find by each piece of a text, and by the whole of it; raises ValueError for too many pieces.

    With `masked`, addresses of people are not told.
    """
    pieces = read_pasted(text)
    if not pieces:
        return Found([], [], [], {})
    # A number may hold blanks, so that the whole is looked for too.
    asked = list(dict.fromkeys([text.strip(), *pieces]))
    most = max(_LEAST_OF_ONE, min(MOST_OF_ONE, _MOST_OF_ALL // len(pieces)))
    domains: _Domains = (
        ("order", search_orders(session, asked, cipher=cipher, most=most + 1)),
        ("user", search_users(session, pieces, cipher=cipher, most=most + 1)),
        ("invitation", search_invitations(session, pieces, cipher=cipher, masked=masked, most=most + 1)),
        ("message", search_messages(session, pieces)),
    )
    seen: dict[tuple[str, int], Result] = {}
    for piece in asked:
        for kind, found in domains:
            for thing in found.get(piece, [])[:most]:
                seen.setdefault((kind, _id_of(thing)), Result(kind, thing, piece))
    hit = {piece for _, found in domains for piece in found}
    is_whole = text.strip() in hit
    return Found(
        pieces,
        list(seen.values()),
        [] if is_whole else [piece for piece in pieces if piece not in hit],
        {piece: kinds for piece in pieces if (kinds := _cut(domains, piece, most))},
        most,
    )


def _cut(domains: _Domains, piece: str, most: int) -> list[Kind]:
    return [kind for kind, found in domains if len(found.get(piece, [])) > most]


def _id_of(thing: Thing) -> int:
    return thing.user_id if isinstance(thing, FoundUser) else thing.id
