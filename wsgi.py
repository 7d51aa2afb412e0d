"""The web process: `gunicorn` serves `wsgi:app`."""

import os

from portal.app import create_app
from portal.logs import configure_logs
from portal.settings import load_settings

settings = load_settings(os.environ)
configure_logs(settings.log_level)
app = create_app(settings)
