"""The zone in which a viewer reads and writes days."""

from datetime import UTC, tzinfo
from zoneinfo import ZoneInfo

from flask import request


def viewer_zone() -> tzinfo:
    """Return the zone that the address names, or else the one that the viewer's browser told; else UTC."""
    name = request.args.get("zone") or request.cookies.get("zone") or ""
    try:
        return ZoneInfo(name) if name else UTC
    except (KeyError, ValueError, OSError):
        # Not a zone, or a machine without the database of zones.
        return UTC
