"""Which requests come from htmx and want a fragment of a page."""

from flask import Flask, Response, request


def wants_fragment() -> bool:
    """Tell whether a fragment is wanted: htmx asks, neither for a whole page nor to restore one."""
    headers = request.headers
    return (
        headers.get("HX-Request") == "true"
        and headers.get("HX-Boosted") != "true"
        and headers.get("HX-History-Restore-Request") != "true"
    )


def mark_variants(app: Flask) -> None:
    """Tell caches that pages differ by whether htmx asks."""

    @app.after_request
    def vary(response: Response) -> Response:
        if response.mimetype == "text/html":
            response.vary.add("HX-Request")
        return response
