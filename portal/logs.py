"""Structured logs: one JSON object a line, with the ids of the order and the request at hand."""

import logging
import sys
from collections.abc import Mapping, MutableMapping
from typing import Any

import structlog

# Compared without case, hyphens and underscores: `X-Api-Key` is an api_key.
_SECRET_PARTS = (
    "password",
    "secret",
    "token",
    "authorization",
    "cookie",
    "apikey",
    "datakey",
    "cardnumber",
)
_MASK = "[masked]"


def configure_logs(level: str) -> None:
    """Write the logs of this process to stderr; libraries' own records take the same way."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        mask_secrets,
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[*shared, structlog.processors.JSONRenderer()],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)


def mask_secrets(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Mask the values of everything that is named like a secret, however deep it lies."""
    return {name: _masked(name, value) for name, value in event.items()}


def _masked(name: str, value: Any) -> Any:
    plain = name.lower().replace("-", "").replace("_", "")
    if any(part in plain for part in _SECRET_PARTS):
        return _MASK
    if isinstance(value, Mapping):
        return {str(key): _masked(str(key), inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_masked("", inner) for inner in value]
    return value
