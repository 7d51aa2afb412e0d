"""What the left navigation leads to."""

from dataclasses import dataclass

from flask import Flask

from portal.access.models import Role
from portal.web.context import found_person


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry: where it leads, the blueprints of the pages that lie below it, and for whom it is."""

    endpoint: str
    label: str
    icon: str
    blueprints: tuple[str, ...] = ()
    roles: frozenset[Role] = frozenset(Role)


ENTRIES = (
    Entry("overview.show", "Overview", "layout-dashboard"),
    Entry("orders.show", "Orders", "package", ("order", "documents")),
    Entry("exceptions.show", "Exceptions", "alert-triangle"),
    Entry("waiting.show", "Waiting", "hourglass", ("waiting",)),
    Entry("referrals.show", "Referrals", "users", ("attention", "attention_pushes", "user", "user_actions")),
    Entry(
        "schemes.show",
        "Schemes",
        "gift",
        ("schemes", "scheme_changes", "try_on_history", "rewards", "conditions", "rpc-methods"),
    ),
    Entry(
        "experiments.show",
        "Experiments",
        "activity",
        ("experiments",),
        frozenset({Role.EXECUTIVE, Role.ADMIN}),
    ),
)


def offer_navigation(app: Flask) -> None:
    """Hand every page the entries that are for whoever is logged in."""

    @app.context_processor
    def navigation() -> dict[str, object]:
        person = found_person()
        return {"nav": [entry for entry in ENTRIES if person is not None and person.role in entry.roles]}
