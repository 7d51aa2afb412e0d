"""The web workers, and the jobs that live and die with them. https://gunicorn.org/reference/settings/"""

import os
import sys
from typing import Any

import gevent

from portal.logs import configure_logs
from portal.settings import BadSettings, load_settings
from portal.sidecar import Sidecar

try:
    settings = load_settings(os.environ)
except BadSettings as error:
    print(f"The settings cannot be used:\n{error}", file=sys.stderr)
    sys.exit(2)

wsgi_app = "wsgi:app"
bind = f"127.0.0.1:{os.environ.get('PORT') or 8000}"
workers = int(os.environ.get("WEB_WORKERS") or 2)
# A worker makes everything cooperative by monkey patching before it loads the application.
worker_class = "gevent"
worker_connections = 1000
timeout = 60
# Two hundred numbers that were pasted into the search box are one address.
limit_request_line = 8190
# Open streams would keep a worker from stopping.
graceful_timeout = 5
# An idle connection holds a worker that is to stop for as long.
keepalive = 2
control_socket_disable = True
# Which proxies are believed is the setting TRUSTED_PROXIES.
forwarded_allow_ips = ""

# The application writes a line for each request; gunicorn's own lines take the way of all others.
accesslog = None
logconfig_dict = {
    "root": {"level": "WARNING", "handlers": []},
    "loggers": {"gunicorn.error": {"level": "INFO", "handlers": [], "propagate": True}},
    "handlers": {},
    "formatters": {},
}


def on_starting(_server: Any) -> None:
    """Write logs as JSON, from the first line on."""
    configure_logs(settings.log_level)


def when_ready(server: Any) -> None:
    """Start the jobs beside the web process."""
    server.sidecar = None
    if settings.jobs != "none":
        server.sidecar = Sidecar(
            [sys.executable, "-m", "jobs"],
            os.environ,
            server.log.error_log,
            close=[listener.fileno() for listener in server.LISTENERS],
        )
        server.sidecar.start()


def post_worker_init(worker: Any) -> None:
    """Send on what a worker measures."""
    from portal.web.flushing import keep_flushing

    worker.stop_flushing = keep_flushing(worker.wsgi.extensions["waybill"])


def post_request(_worker: Any, _request: Any, _environ: Any, _response: Any) -> None:
    """Let other connections take their turns: one whose next request is there already would keep its own."""
    gevent.sleep(0)


def worker_exit(_server: Any, worker: Any) -> None:
    """Send on the last of it."""
    if hasattr(worker, "stop_flushing"):
        worker.stop_flushing()


def on_exit(server: Any) -> None:
    """Stop the jobs with the web process."""
    if getattr(server, "sidecar", None) is not None:
        server.sidecar.stop()
