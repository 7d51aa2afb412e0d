"""Where the outside may be touched. To add a file here is a decision: give its reason."""

from __future__ import annotations

CLOCK, ENVIRONMENT, RANDOMNESS = "the clock", "the environment", "randomness"

# The files that may read the clock, the environment or a source of randomness by themselves.
EDGES: dict[str, frozenset[str]] = {
    # The composition: a process begins here, and hands clock and ids to all the rest.
    "wsgi.py": frozenset({ENVIRONMENT}),
    "gunicorn.conf.py": frozenset({ENVIRONMENT}),
    "portal/__main__.py": frozenset({ENVIRONMENT}),
    "portal/runtime.py": frozenset({CLOCK, RANDOMNESS}),
    "jobs/__main__.py": frozenset({ENVIRONMENT}),
    "sandbox/__main__.py": frozenset({CLOCK, ENVIRONMENT, RANDOMNESS}),
    # A nonce or a token that a caller could choose would not be one.
    "portal/crypto.py": frozenset({RANDOMNESS}),
    # Builds the environment of its child from the outer one.
    "sandbox/emulator.py": frozenset({ENVIRONMENT}),
    # Makes the keys and passwords of an embedded portal at its first start.
    "sandbox/up.py": frozenset({CLOCK, RANDOMNESS}),
    # Faults by chance, and orders that no other run has, are what these are for.
    "sandbox/server.py": frozenset({RANDOMNESS}),
    "sandbox/traffic.py": frozenset({RANDOMNESS}),
}

# The files that may catch every error, and what becomes of it there.
CATCHES_ALL: dict[str, str] = {
    "portal/web/errors.py": "a page, a fragment or a problem document",
    "portal/web/rpc.py": "an internal error in the answer to one call, and a line in the log",
    "portal/web/health.py": "not ready, whatever it is that is wrong",
    "jobs/consumer.py": "the message comes back later, or goes to the waiting queue with its reason",
    "jobs/transformer.py": "the error of one document of a batch, which the consumer answers",
    "jobs/reader.py": "the error of one message of a batch, which the consumer answers",
    "jobs/user_messages.py": "the error of one message of a batch, which the consumer answers",
    "jobs/runner.py": "a failed attempt with its reason; or, the database being away, the lease runs out",
    "jobs/invitation_mails.py": "a line in the log, a pause, and the lease of the mail runs out",
    "jobs/rewards.py": "a line in the log, and the lease of the rewards runs out",
    "jobs/spend_poller.py": "the batch is retried; or, the database being away, the lease runs out",
    "jobs/expiry.py": "a line in the log, a pause, and another look",
    "jobs/experiments.py": "a line in the log, a pause, and another count when the next one is due",
    "jobs/waiting.py": "a line in the log, a pause, and the message comes back by itself",
    "jobs/job.py": "a line in the log, and the next heartbeat",
    "jobs/supervisor.py": "a line in the log, and the job is started again",
}

# The files that may speak to AWS.
SPEAKS_TO_AWS = ("portal/clients/aws.py", "portal/clients/mail.py")
