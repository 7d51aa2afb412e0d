"""What is measured, and against whom; each prints its figures, none of them is a test.

A bare server has this package as its gunicorn configuration.
"""

from typing import Any

import gevent


def post_request(_worker: Any, _request: Any, _environ: Any, _response: Any) -> None:
    """Let connections take turns, as the workers of the portal do."""
    gevent.sleep(0)
