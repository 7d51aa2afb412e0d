"""What clients are told of schemes, kept for a second in the memory of a process.

Schemes are asked for with most calls and change a few times a year: a second later everybody knows.
"""

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager

from sqlalchemy.orm import Session

from portal.referrals.queries_schemes import active_scheme_id, find_schemes
from portal.referrals.rpc_views import SchemeView

KEPT_SECONDS = 1.0
_MOST = 10_000

Sessions = Callable[[], AbstractContextManager[Session]]


class SchemeCache:
    """Gives the JSON of schemes, by their ids or as the active one of a product; None where there is none."""

    def __init__(self, sessions: Sessions, monotonic: Callable[[], float]) -> None:
        self._sessions = sessions
        self._monotonic = monotonic
        self._by_id: dict[int, tuple[float, bytes | None]] = {}
        self._by_product: dict[str, tuple[float, bytes | None]] = {}

    def schemes(self, scheme_ids: Iterable[int]) -> dict[int, bytes | None]:
        """Return what is known of each id."""
        now = self._monotonic()
        known = {one: self._by_id.get(one, _NEVER) for one in scheme_ids}
        outdated = [one for one, (at, _) in known.items() if at <= now - KEPT_SECONDS]
        if outdated:
            with self._sessions() as session:
                found = find_schemes(session, outdated)
            _make_room(self._by_id)
            for one in outdated:
                scheme = found.get(one)
                written = SchemeView.of(scheme).model_dump_json().encode() if scheme else None
                known[one] = self._by_id[one] = (now, written)
        return {one: written for one, (_, written) in known.items()}

    def active(self, product: str) -> bytes | None:
        """Return the scheme that is active for a product."""
        now = self._monotonic()
        at, written = self._by_product.get(product, _NEVER)
        if at <= now - KEPT_SECONDS:
            with self._sessions() as session:
                scheme_id = active_scheme_id(session, product)
                found = find_schemes(session, [scheme_id] if scheme_id is not None else [])
            scheme = next(iter(found.values()), None)
            written = SchemeView.of(scheme).model_dump_json().encode() if scheme else None
            _make_room(self._by_product)
            self._by_product[product] = (now, written)
        return written


_NEVER: tuple[float, bytes | None] = (float("-inf"), None)


def _make_room(kept: dict[int, tuple[float, bytes | None]] | dict[str, tuple[float, bytes | None]]) -> None:
    # Who asks for what does not exist must not fill the memory.
    if len(kept) >= _MOST:
        kept.clear()
