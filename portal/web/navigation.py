"""What the left navigation leads to."""

from dataclasses import dataclass

from flask import Flask


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry: where it leads, and the blueprints of the pages that lie below it."""

    endpoint: str
    label: str
    icon: str
    blueprints: tuple[str, ...] = ()


ENTRIES = (
    Entry("overview.show", "Overview", "layout-dashboard"),
    Entry("orders.show", "Orders", "package", ("order", "documents")),
    Entry("exceptions.show", "Exceptions", "alert-triangle"),
    Entry("waiting.show", "Waiting", "hourglass", ("waiting",)),
)


def offer_navigation(app: Flask) -> None:
    """Hand the entries to every page."""

    @app.context_processor
    def navigation() -> dict[str, object]:
        return {"nav": ENTRIES}
