"""Rules about who may import whom."""

from __future__ import annotations

from collections.abc import Iterator

from tests.conventions.edges import SPEAKS_TO_AWS
from tests.conventions.source import Finding, Rule, Source, domain_of, imports, is_below

FORBIDDEN = {
    "portal": ("jobs", "sandbox", "tests", "bench", "wsgi"),
    "jobs": ("sandbox", "tests", "bench", "wsgi"),
    "sandbox": ("tests", "bench", "wsgi"),
}
HTTP = ("flask", "flask_login", "flask_wtf", "flask_limiter", "wtforms", "werkzeug", "gunicorn")
AWS = ("boto3", "botocore")
OUTSIDE_HTTP = ("urllib3", "requests", "httpx", "http.client", "urllib.request")
ENGINES = (
    "sqlalchemy.create_engine",
    "sqlalchemy.Engine",
    "sqlalchemy.engine.create_engine",
    "sqlalchemy.engine.Engine",
    "sqlalchemy.orm.sessionmaker",
    "sqlalchemy.pool",
)
HOUSE_EDGES = ("portal.app", "portal.web")
WAYS_IN = ("service", "queries")


def imports_back(source: Source) -> Iterator[Finding]:
    """Find imports against the direction of the house."""
    for line, name in imports(source):
        if is_below(name, FORBIDDEN[source.path.parts[0]]):
            yield line, f"imports {name}"


def impure_domain(source: Source) -> Iterator[Finding]:
    """Find domain code that knows of HTTP, AWS, or how a database is opened."""
    for line, name in imports(source):
        if is_below(name, (*HTTP, *AWS, *OUTSIDE_HTTP, *ENGINES, *HOUSE_EDGES)):
            yield line, f"imports {name}"


def side_doors(source: Source) -> Iterator[Finding]:
    """Find imports of another domain past its service and queries."""
    for line, name in imports(source):
        other, module = domain_of(name), "".join(name.split(".")[2:3])
        if other not in (None, source.domain) and module.split("_")[0] not in WAYS_IN:
            yield line, f"imports {name}"


def aws_elsewhere(source: Source) -> Iterator[Finding]:
    """Find boto3 outside of the clients."""
    for line, name in imports(source):
        if is_below(name, AWS):
            yield line, f"imports {name}"


RULES = (
    Rule(
        "imports-go-one-way",
        "jobs and sandbox may import portal, never the other way round, and nothing imports tests: move what"
        " both need down into portal.",
        lambda source: source.is_python and source.path.parts[0] in FORBIDDEN,
        imports_back,
    ),
    Rule(
        "the-domain-knows-no-outside",
        "Domain code takes values and a session: HTTP belongs in views*.py, api*.py and forms.py, AWS and"
        " other systems in portal/clients/, engines in portal/db.py.",
        lambda source: source.is_python and source.domain is not None and not source.speaks_http,
        impure_domain,
    ),
    Rule(
        "domains-meet-at-service-and-queries",
        "Ask the other domain through its service.py, queries.py or queries_*.py; add what is missing.",
        lambda source: source.is_python and source.domain is not None,
        side_doors,
    ),
    Rule(
        "aws-is-spoken-to-in-one-place",
        f"Put the call into {' or '.join(SPEAKS_TO_AWS)}, and hand the client in.",
        lambda source: (
            source.is_python
            and source.path.parts[0] in ("portal", "jobs")
            and str(source.path) not in SPEAKS_TO_AWS
        ),
        aws_elsewhere,
    ),
)
