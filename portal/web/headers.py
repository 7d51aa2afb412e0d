"""The headers of every answer: what a browser may do with it, and how long it may keep it."""

import hashlib
from functools import lru_cache
from pathlib import Path

from flask import Flask, Response, request

from portal.web.context import runtime

POLICY = (
    "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'self';"
    " frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
_FOR_EVER = "public, max-age=31536000, immutable"


def set_headers(app: Flask) -> None:
    """Set the headers of every answer, and give static files addresses that change with their content."""
    version = lru_cache(maxsize=512)(lambda name: _version(Path(str(app.static_folder)), name))

    @app.url_defaults
    def add_version(endpoint: str, values: dict[str, object]) -> None:
        if endpoint == "static" and (found := version(values["filename"])):
            values.setdefault("v", found)

    @app.after_request
    def protect(response: Response) -> Response:
        response.headers.update(HEADERS)
        if runtime().settings.cookie_secure:
            response.headers["Strict-Transport-Security"] = "max-age=31536000; includeSubDomains"
        if request.endpoint == "static" and response.status_code in (200, 304):
            known = request.args.get("v") == version((request.view_args or {})["filename"])
            response.headers["Cache-Control"] = _FOR_EVER if known else "no-cache"
        response.headers.setdefault("Cache-Control", "no-store")
        return response


def _version(folder: Path, name: object) -> str | None:
    path = folder / str(name)
    if not path.resolve().is_relative_to(folder.resolve()) or not path.is_file():
        return None
    return hashlib.sha256(path.read_bytes()).hexdigest()[:12]
