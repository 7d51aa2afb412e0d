"""`python -m jobs` runs all jobs, each in a process of its own; `python -m jobs NAME` runs one here."""

import importlib
import os
import sys
from collections.abc import Sequence
from functools import partial

from jobs.job import Job
from jobs.supervisor import Supervisor
from portal.logs import configure_logs
from portal.runtime import build_runtime
from portal.settings import BadSettings, Settings, load_settings

NAMES = (
    "transformer",
    "reader",
    "runner",
    "waiting",
    "mail-events",
    "invitation-mails",
    "sign-ups",
    "verifications",
    "rewards",
    "expiry",
    "spend-poller",
    "experiments",
)


def run_job(name: str, settings: Settings, supervisor: int | None = None) -> None:
    """Run one job in this process until it is told to stop, or its supervisor is gone."""
    module = importlib.import_module(f"jobs.{name.replace('-', '_')}")
    job = Job(name, build_runtime(settings), supervisor=supervisor)
    job.stop_on_signals()
    heartbeat = job.keep_beating()
    job.log.info("job started", pid=os.getpid())
    module.run(job)
    job.stopping.set()
    heartbeat.join(timeout=5)
    job.log.info("job stopped", counters=dict(job.counters))


def main(arguments: Sequence[str]) -> int:
    try:
        settings = load_settings(os.environ)
    except BadSettings as error:
        print(f"The settings cannot be used:\n{error}", file=sys.stderr)
        return 2
    configure_logs(settings.log_level)
    chosen = arguments or _names_in(settings.jobs)
    unknown = sorted(set(chosen) - set(NAMES))
    if unknown:
        print(f"There is no job {', '.join(unknown)}; there are: {', '.join(NAMES)}.", file=sys.stderr)
        return 2
    if len(arguments) == 1:
        run_job(arguments[0], settings)
        return 0
    return Supervisor({name: partial(run_job, name, settings, os.getpid()) for name in chosen}).run()


def _names_in(setting: str) -> Sequence[str]:
    return NAMES if setting == "all" else [name.strip() for name in setting.split(",")]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
