"""Rules about Python code: size, names, edges, errors, transactions."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from typing import TypeGuard

from tests.conventions.edges import CATCHES_ALL, CLOCK, EDGES, ENVIRONMENT, RANDOMNESS
from tests.conventions.source import Finding, Rule, Source, is_below

MODULE_LINES, FUNCTION_LINES = 400, 40
EMPTY_NAMES = frozenset({"util", "utils", "helper", "helpers", "manager", "managers", "common", "misc"})
OUTSIDE = {
    "datetime.datetime.now": CLOCK,
    "datetime.datetime.utcnow": CLOCK,
    "datetime.datetime.today": CLOCK,
    "datetime.date.today": CLOCK,
    "time.time": CLOCK,
    "time.time_ns": CLOCK,
    "time.gmtime": CLOCK,
    "time.localtime": CLOCK,
    "os.environ": ENVIRONMENT,
    "os.getenv": ENVIRONMENT,
    "os.urandom": RANDOMNESS,
    "uuid.uuid1": RANDOMNESS,
    "uuid.uuid4": RANDOMNESS,
    "uuid.uuid7": RANDOMNESS,
}
RANDOM_MODULES = ("random", "secrets")
# A generator that is handed in, or seeded, and a comparison that takes the same time whatever differs.
NOT_RANDOM = ("random.Random", "secrets.compare_digest")
DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
ERROR_HANDLERS = ("register_error_handler", "errorhandler", "app_errorhandler")
BROAD = frozenset({"Exception", "BaseException"})


def _is_product_code(source: Source) -> bool:
    return source.is_python and source.is_product


def long_modules(source: Source) -> Iterator[Finding]:
    """Find a file of more lines than one can hold in mind."""
    if source.lines > MODULE_LINES:
        yield 1, f"{source.lines} lines"


def long_functions(source: Source) -> Iterator[Finding]:
    """Find functions with too many lines, their docstring not counted."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = _span(node) - (_span(node.body[0]) if ast.get_docstring(node) is not None else 0)
            if lines > FUNCTION_LINES:
                yield node.lineno, f"{node.name} has {lines} lines"


def _span(node: ast.stmt) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


def empty_names(source: Source) -> Iterator[Finding]:
    """Find modules, classes and functions whose name says nothing of what they do."""
    for part in source.path.with_suffix("").parts:
        if _words(part) & EMPTY_NAMES:
            yield 1, f"the path says {part!r}"
    for node in ast.walk(source.tree):
        if isinstance(node, DEFINITIONS) and _words(node.name) & EMPTY_NAMES:
            yield node.lineno, f"{node.name!r}"


def _words(name: str) -> set[str]:
    return {word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)}


def outside_reads(source: Source) -> Iterator[Finding]:
    """Find reads of clock, environment and randomness that this file is not an edge for."""
    allowed = EDGES.get(str(source.path), frozenset())
    for line, name, kind in _reads(source):
        if kind not in allowed:
            yield line, f"{name} reads {kind}"


def _reads(source: Source) -> Iterator[tuple[int, str, str]]:
    known = _imported_names(source.tree)
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Name | ast.Attribute):
            name = _full_name(node, known)
            kind = _kind_of_read(name)
            if kind is not None:
                yield node.lineno, name, kind
        elif _is_unseeded(node, known):
            yield node.lineno, "random.Random without a seed", RANDOMNESS


def _is_unseeded(node: ast.AST, known: dict[str, str]) -> TypeGuard[ast.Call]:
    if not isinstance(node, ast.Call) or node.args or node.keywords:
        return False
    return _full_name(node.func, known) == "random.Random"


def _kind_of_read(name: str) -> str | None:
    module, _, function = name.partition(".")
    if module in RANDOM_MODULES and function and not is_below(name, NOT_RANDOM):
        return RANDOMNESS
    return OUTSIDE.get(name)


def stale_declarations(sources: Iterable[Source]) -> list[str]:
    """Give a line for each declared edge that the file no longer is."""
    stale = []
    for source in sources:
        path = str(source.path)
        if path in EDGES:
            kinds = {kind for _, _, kind in _reads(source)}
            stale += [f"{path} does not read {kind}" for kind in sorted(EDGES[path] - kinds)]
        if path in CATCHES_ALL and not any(broad_catches(source)):
            stale.append(f"{path} does not catch every error")
    return stale


def _imported_names(tree: ast.Module) -> dict[str, str]:
    names: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for imported in node.names:
                top = imported.name.split(".")[0]
                names[imported.asname or top] = imported.name if imported.asname else top
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names |= {one.asname or one.name: f"{node.module}.{one.name}" for one in node.names}
    return names


def _full_name(node: ast.expr, known: dict[str, str]) -> str:
    if isinstance(node, ast.Name):
        return known.get(node.id, "")
    if isinstance(node, ast.Attribute):
        inner = _full_name(node.value, known)
        return f"{inner}.{node.attr}" if inner else ""
    return ""


def prints(source: Source) -> Iterator[Finding]:
    """Find calls of print."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print":
            yield node.lineno, "print(…)"


def hidden_commits(source: Source) -> Iterator[Finding]:
    """Find where a transaction is ended within the domain."""
    for node in ast.walk(source.tree):
        called = node.func if isinstance(node, ast.Call) else None
        if isinstance(called, ast.Attribute) and called.attr in ("commit", "rollback"):
            yield called.lineno, f".{called.attr}(…)"


def broad_catches(source: Source) -> Iterator[Finding]:
    """Find handlers of every error, unless they only clean up and raise it again."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.ExceptHandler) and _is_broad(node.type) and not _raises_again(node):
            yield node.lineno, "catches every error"
        if isinstance(node, ast.Call) and _answers_errors(node.func) and any(map(_is_broad, node.args)):
            yield node.lineno, "answers every error"


def _is_broad(caught: ast.expr | None) -> bool:
    if isinstance(caught, ast.Tuple):
        return any(_is_broad(element) for element in caught.elts)
    return caught is None or (isinstance(caught, ast.Name) and caught.id in BROAD)


def _answers_errors(called: ast.expr) -> bool:
    return isinstance(called, ast.Attribute) and called.attr in ERROR_HANDLERS


def _raises_again(handler: ast.ExceptHandler) -> bool:
    last = handler.body[-1]
    return isinstance(last, ast.Raise) and last.exc is None


def mocks(source: Source) -> Iterator[Finding]:
    """Find tests that put something false in the place of a part."""
    known = _imported_names(source.tree)
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Name | ast.Attribute) and is_below(
            _full_name(node, known), ("unittest.mock",)
        ):
            yield node.lineno, "unittest.mock"
        if (
            isinstance(node, ast.Attribute)
            and node.attr == "setattr"
            and ast.unparse(node.value) == "monkeypatch"
        ):
            yield node.lineno, "monkeypatch.setattr"


def sleeps(source: Source) -> Iterator[Finding]:
    """Find tests that hope that something has happened by now."""
    known = _imported_names(source.tree)
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Call) and _full_name(node.func, known) in ("time.sleep", "gevent.sleep"):
            yield node.lineno, "sleeps"


RULES = (
    Rule(
        "modules-are-short",
        f"A file says one thing in at most {MODULE_LINES} lines: split it by what it says (views by screen).",
        lambda source: True,
        long_modules,
    ),
    Rule(
        "functions-are-short",
        f"A function does one thing in at most {FUNCTION_LINES} lines: give its parts names of their own.",
        lambda source: source.is_python and "versions" not in source.path.parts,
        long_functions,
    ),
    Rule(
        "names-say-something",
        "Name it by what it does, in the terms of the field; such a name collects what belongs elsewhere.",
        lambda source: source.is_python,
        empty_names,
    ),
    Rule(
        "the-outside-is-read-at-the-edges",
        "Take now, ids and settings as arguments (Runtime has clock, new_id and settings). If this file"
        " really is an edge, declare it with its reason in tests/conventions/edges.py.",
        _is_product_code,
        outside_reads,
    ),
    Rule(
        "product-code-does-not-print",
        "Write a structured log line (structlog), or, in __main__.py, tell the person at the shell.",
        lambda source: (
            source.is_python and source.path.parts[0] in ("portal", "jobs") and not source.is_command_line
        ),
        prints,
    ),
    Rule(
        "only-the-edges-commit",
        "Flush, and let the caller's `with runtime.writer()` commit: else a half of a change could be kept.",
        lambda source: source.is_python and source.domain is not None and not source.speaks_http,
        hidden_commits,
    ),
    Rule(
        "errors-are-caught-by-name",
        "Catch the errors that you can answer, by name; the rest goes to the edges that map errors. If this"
        " file is such an edge, declare it in tests/conventions/edges.py.",
        lambda source: _is_product_code(source) and str(source.path) not in CATCHES_ALL,
        broad_catches,
    ),
    Rule(
        "tests-use-real-parts",
        "Use the real part, with its faults on demand (sandbox, own_mariadb), or hand in a value: a mock"
        " hides a defect.",
        lambda source: source.is_python and source.path.parts[0] == "tests",
        mocks,
    ),
    Rule(
        "tests-wait-for-a-condition",
        "Use wait_until of tests/servers/waiting.py: a sleep is too long on a good day, too short on a bad.",
        lambda source: (
            source.is_python
            and source.path.parts[0] == "tests"
            and source.path.parts[1] not in ("servers", "conventions")
        ),
        sleeps,
    ),
)
