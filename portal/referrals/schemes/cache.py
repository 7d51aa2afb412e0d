"""What clients are told of schemes, kept for a second in the memory of a process.

Schemes are asked for with most calls and change a few times a year: a second later everybody knows. What was
asked for in a second is read anew for the next one all together, by three queries instead of many.
"""

import threading
from collections.abc import Callable, Collection, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from sqlalchemy.orm import Session

from portal.referrals.schemes.queries import active_scheme_ids, find_schemes
from portal.referrals.schemes.rpc_views import SchemeView

KEPT_SECONDS = 1.0
# Who asks for more is answered too, but not from memory in the next second.
_MOST_ASKED = 1_000
_MOST_KEPT = 10_000

Sessions = Callable[[], AbstractContextManager[Session]]


@dataclass(slots=True)
class _Second:
    """What is known since `at`, None for what does not exist; and what was asked for since."""

    at: float
    schemes: dict[int, bytes | None] = field(default_factory=dict)
    active: dict[str, bytes | None] = field(default_factory=dict)
    asked_ids: set[int] = field(default_factory=set)
    asked_products: set[str] = field(default_factory=set)


class SchemeCache:
    """Gives the JSON of schemes, by their ids or as the active one of a product; None where there is none."""

    def __init__(self, sessions: Sessions, monotonic: Callable[[], float]) -> None:
        self._sessions = sessions
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._second = _Second(float("-inf"))

    def schemes(self, scheme_ids: Iterable[int]) -> dict[int, bytes | None]:
        """Return what is known of each id."""
        ids, second = list(scheme_ids), self._present()
        if len(second.asked_ids) < _MOST_ASKED:
            second.asked_ids.update(ids)
        known = second.schemes
        if missing := [one for one in ids if one not in known]:
            self._load(second, missing, ())
        return {one: known[one] for one in ids}

    def active(self, product: str) -> bytes | None:
        """Return the scheme that is active for a product."""
        second = self._present()
        if len(second.asked_products) < _MOST_ASKED:
            second.asked_products.add(product)
        if product not in second.active:
            self._load(second, (), [product])
        return second.active[product]

    def _present(self) -> _Second:
        if self._is_over(self._second):
            # One reads for all who wait.
            with self._lock:
                if self._is_over(self._second):
                    last, present = self._second, _Second(self._monotonic())
                    if last.asked_ids or last.asked_products:
                        self._load(present, last.asked_ids, last.asked_products)
                    self._second = present
        return self._second

    def _is_over(self, second: _Second) -> bool:
        return second.at <= self._monotonic() - KEPT_SECONDS

    def _load(self, second: _Second, ids: Collection[int], products: Collection[str]) -> None:
        with self._sessions() as session:
            active = active_scheme_ids(session, products) if products else {}
            found = find_schemes(session, {*ids, *active.values()})
        written = {one: SchemeView.of(scheme).model_dump_json().encode() for one, scheme in found.items()}
        if len(second.schemes) + len(second.active) > _MOST_KEPT:
            second.at = float("-inf")
        second.schemes.update((one, written.get(one)) for one in ids)
        second.active.update((product, written.get(active.get(product, 0))) for product in products)
