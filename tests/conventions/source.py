"""The files of the repository as the rules read them, and what a rule is."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("portal", "jobs", "sandbox", "tests", "bench")
PRODUCT = ("portal", "jobs", "sandbox")
NOT_OURS = PurePosixPath("portal/static/vendor")
SUFFIXES = (".py", ".html", ".js")
DOMAINS = frozenset(
    {"access", "bookings", "ledger", "live", "metrics", "orders", "overview", "referrals", "search"}
)
INFRASTRUCTURE = frozenset({"web", "clients", "migrations", "templates", "static"})
# Tests of many parts together, and of all files.
TESTS_OF_MANY = frozenset(
    {"browser", "faults", "templates", "test_conventions.py", "test_packaging.py", "test_readme.py"}
)

Finding = tuple[int, str]


@dataclass(frozen=True)
class Source:
    """One file: its path from the root of the repository, and its text."""

    path: PurePosixPath
    text: str

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text, str(self.path))

    @cached_property
    def lines(self) -> int:
        return len(self.text.splitlines())

    @property
    def is_python(self) -> bool:
        return self.path.suffix == ".py"

    @property
    def is_template(self) -> bool:
        return self.path.suffix == ".html"

    @property
    def is_product(self) -> bool:
        return self.path.parts[0] in PRODUCT or str(self.path) in ("wsgi.py", "gunicorn.conf.py")

    @property
    def is_command_line(self) -> bool:
        return self.path.name == "__main__.py"

    @property
    def domain(self) -> str | None:
        """Give the domain that the file belongs to: `orders` for all below portal/orders."""
        return domain_of(".".join(self.path.with_suffix("").parts))

    @property
    def speaks_http(self) -> bool:
        """Tell whether the module is a domain's edge: its pages, its forms, its API."""
        return self.path.stem.startswith(("views", "api")) or self.path.stem == "forms"


@dataclass(frozen=True)
class Rule:
    """One rule: which files it is about, what breaks it there, and how that is mended."""

    name: str
    mend: str
    applies: Callable[[Source], bool]
    find: Callable[[Source], Iterable[Finding]]

    def complaints(self, sources: Iterable[Source]) -> list[str]:
        """Give a line for each place that breaks the rule."""
        return [
            f"{source.path}:{line}: {what}"
            for source in sources
            if self.applies(source)
            for line, what in self.find(source)
        ]


def domain_of(module: str) -> str | None:
    """Give the domain of a dotted module name: `orders` for portal.orders.service."""
    parts = module.split(".")
    return parts[1] if parts[0] == "portal" and len(parts) > 1 and parts[1] in DOMAINS else None


def read_sources(root: Path = ROOT) -> list[Source]:
    """Read all files that are ours."""
    found = [*root.glob("*.py")]
    for folder in FOLDERS:
        found += [path for path in (root / folder).rglob("*") if path.suffix in SUFFIXES]
    relative = sorted(PurePosixPath(path.relative_to(root).as_posix()) for path in found)
    return [
        Source(path, (root / path).read_text(encoding="utf-8"))
        for path in relative
        if not path.is_relative_to(NOT_OURS)
    ]


def undeclared_packages(sources: Iterable[Source]) -> set[str]:
    """Give the packages of portal that are neither a domain nor declared as what domains stand on."""
    packages = {
        source.path.parts[1]
        for source in sources
        if source.path.parts[0] == "portal" and len(source.path.parts) > 2
    }
    return packages - DOMAINS - INFRASTRUCTURE


def lost_tests(sources: Iterable[Source]) -> list[str]:
    """Give the tests whose path does not tell which module they test."""
    paths = {source.path for source in sources if source.is_python}
    modules = {path.with_suffix("") for path in paths} | {path.parent for path in paths}
    return [
        str(path)
        for path in sorted(paths)
        if path.name.startswith("test_") and path.parts[1] not in TESTS_OF_MANY
        if not any(_is_named_for(path, module) for module in modules)
    ]


def _is_named_for(test: PurePosixPath, module: PurePosixPath) -> bool:
    below = PurePosixPath(*test.parts[1:-1])
    if module.parent not in (PurePosixPath("portal") / below, below, test.parent):
        return False
    # test_service_push.py is a part of the tests of service.py, and test_main.py those of __main__.py.
    return f"{test.stem.removeprefix('test_')}_".startswith(f"{module.name.strip('_')}_")


def imports(source: Source) -> Iterator[Finding]:
    """Give the line and the full dotted name of everything that a module imports."""
    package = source.path.parent.parts
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, name.name) for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            start = ".".join((*above, *((node.module,) if node.module else ())))
            yield from ((node.lineno, f"{start}.{name.name}") for name in node.names)


def is_below(name: str, parents: Iterable[str]) -> bool:
    """Tell whether a dotted name is one of these, or inside one of them."""
    return any(name == parent or name.startswith(f"{parent}.") for parent in parents)
