"""What a web process measures goes to the database at regular times, beside the requests."""

import threading
from collections.abc import Callable

import structlog
from sqlalchemy.exc import SQLAlchemyError

from portal.runtime import Runtime

log = structlog.get_logger()


def keep_flushing(runtime: Runtime) -> Callable[[], None]:
    """Add what is measured to the database every few seconds; return what ends that, with a last time."""
    stopping = threading.Event()

    def flush() -> None:
        try:
            runtime.metrics.flush(runtime.transact, runtime.clock())
        except SQLAlchemyError as error:
            log.warning("measurements kept for later", error=str(error))

    def keep() -> None:
        while not stopping.wait(runtime.settings.heartbeat_seconds):
            flush()

    def stop() -> None:
        stopping.set()
        flush()

    threading.Thread(target=keep, name="metrics", daemon=True).start()
    return stop
