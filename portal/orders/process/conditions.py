"""Conditions on flows: yes-or-no questions about the facts of an order, checked before they run.

A small typed language inside Python's expressions: facts, numbers, texts, True and False, comparisons,
`in` before values in round brackets, `and`, `or`, `not`, and `+ - *` on numbers. Everything else is refused
when the drawing is compiled, so that no order ever meets a condition that has no answer or takes long.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from decimal import Decimal
from threading import Lock

from simpleeval import DEFAULT_OPERATORS, InvalidExpression, SimpleEval

from portal.errors import InvalidInput
from portal.orders.process.facts import FACTS, Facts, Kind

LONGEST = 500
DEEPEST = 20
LARGEST_NUMBER = 10**15

_ARITHMETIC = (ast.Add, ast.Sub, ast.Mult)
_EQUALITY = (ast.Eq, ast.NotEq)
_ORDER = (ast.Lt, ast.LtE, ast.Gt, ast.GtE)
_MEMBERSHIP = (ast.In, ast.NotIn)
_OPERATORS = {
    operator: DEFAULT_OPERATORS[operator]
    for operator in (*_ARITHMETIC, *_EQUALITY, *_ORDER, *_MEMBERSHIP, ast.Not, ast.USub)
}


class Condition:
    """One compiled condition; `text` is what was drawn."""

    def __init__(self, text: str, tree: ast.expr) -> None:
        self.text = text
        self._tree = tree
        self._evaluator = SimpleEval(operators=_OPERATORS, functions={}, names={})
        self._lock = Lock()

    def holds(self, facts: Facts) -> bool:
        """Tell whether the condition is met.

        Raises InvalidInput when a fact that it names is missing or of another kind than declared.
        """
        # The evaluator carries the names; making a new one for each order costs more than asking it.
        with self._lock:
            self._evaluator.names = facts
            try:
                return bool(self._evaluator.eval(self.text, self._tree))
            except (InvalidExpression, TypeError, ArithmeticError) as error:
                raise InvalidInput(
                    f"The condition “{self.text}” cannot be answered for this order: {error}.",
                    code="condition-unanswered",
                ) from error


def compile_condition(text: str, facts: Mapping[str, Kind] = FACTS) -> Condition:
    """Parse and check a condition such as `${gift_card_count > 0}`, the braces being optional.

    `facts` are the names that it may use, with their kinds. Raises InvalidInput with the reason in plain
    words when it cannot be read, is longer than 500 characters, nests deeper than 20, names an unknown
    fact, compares unlike things, or uses anything beyond the language of this module.
    """
    inner = text.strip()
    if inner.startswith("${") and inner.endswith("}"):
        inner = inner[2:-1].strip()
    if len(inner) > LONGEST:
        raise InvalidInput(f"it is longer than {LONGEST} characters")
    try:
        tree = ast.parse(inner, mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
        raise InvalidInput("it cannot be read") from error
    if _is_deeper_than(tree, DEEPEST):
        raise InvalidInput(f"it nests deeper than {DEEPEST} levels")
    tree = _with_exact_values(tree)
    if _kind(tree, facts) != "yes-no":
        raise InvalidInput("it is not a yes-or-no question")
    return Condition(inner, tree)


def _is_deeper_than(tree: ast.expr, limit: int) -> bool:
    level: list[ast.AST] = [tree]
    for _ in range(limit):
        level = [child for node in level for child in ast.iter_child_nodes(node)]
    return bool(level)


def _with_exact_values(tree: ast.expr) -> ast.expr:
    """Turn fractions into Decimal, which amounts can be reckoned with, and values in brackets into one."""

    class Exact(ast.NodeTransformer):
        def visit_Constant(self, node: ast.Constant) -> ast.Constant:
            if isinstance(node.value, float):
                return ast.Constant(Decimal(repr(node.value)))  # type: ignore[arg-type]
            return node

        def visit_Tuple(self, node: ast.Tuple) -> ast.expr:
            values = [self.visit(item) for item in node.elts]
            if values and all(isinstance(item, ast.Constant) for item in values):
                return ast.Constant(tuple(item.value for item in values))  # type: ignore[arg-type]
            return node

    exact: ast.expr = Exact().visit(tree)
    return exact


def _kind(node: ast.expr, facts: Mapping[str, Kind]) -> Kind:
    match node:
        case ast.Name(id=name):
            return _kind_of_fact(name, facts)
        case ast.Constant(value=value):
            return _kind_of_value(value)
        case ast.BoolOp(values=parts):
            return _all_of("yes-no", parts, facts, "“and” and “or” join yes-or-no questions only")
        case ast.UnaryOp(op=ast.Not(), operand=part):
            return _all_of("yes-no", [part], facts, "“not” applies to a yes-or-no question only")
        case ast.UnaryOp(op=ast.USub(), operand=part):
            return _all_of("number", [part], facts, "“-” applies to numbers only")
        case ast.BinOp(op=ast.Add() | ast.Sub() | ast.Mult(), left=left, right=right):
            return _all_of("number", [left, right], facts, "“+”, “-” and “*” apply to numbers only")
        case ast.Compare(left=left, ops=[ast.In() | ast.NotIn()], comparators=[options]):
            return _kind_of_membership(left, options, facts)
        case ast.Compare(left=left, ops=operators, comparators=others):
            return _kind_of_comparison([left, *others], operators, facts)
        case _:
            raise InvalidInput(f"it uses something that is not allowed ({type(node).__name__})")


def _kind_of_fact(name: str, facts: Mapping[str, Kind]) -> Kind:
    if name not in facts:
        raise InvalidInput(f"it names “{name}”, which is no fact of an order; known are {', '.join(facts)}")
    return facts[name]


def _kind_of_value(value: object) -> Kind:
    if isinstance(value, bool):
        return "yes-no"
    if isinstance(value, str):
        return "text"
    # A number beyond the range of floats has become infinity by now.
    if isinstance(value, int | Decimal):
        if value >= LARGEST_NUMBER:
            raise InvalidInput("it holds a number with more than 15 digits")
        return "number"
    raise InvalidInput(f"it holds a value that is not allowed ({type(value).__name__})")


def _all_of(kind: Kind, parts: list[ast.expr], facts: Mapping[str, Kind], otherwise: str) -> Kind:
    if any(_kind(part, facts) != kind for part in parts):
        raise InvalidInput(otherwise)
    return kind


def _kind_of_membership(part: ast.expr, options: ast.expr, facts: Mapping[str, Kind]) -> Kind:
    values: object = options.value if isinstance(options, ast.Constant) else None
    kinds: set[Kind] = {_kind_of_value(value) for value in values} if isinstance(values, tuple) else set()
    if kinds != {_kind(part, facts)}:
        raise InvalidInput("“in” needs values of the same kind in round brackets, such as ('kiosk', 'phone')")
    return "yes-no"


def _kind_of_comparison(parts: list[ast.expr], operators: list[ast.cmpop], facts: Mapping[str, Kind]) -> Kind:
    kinds = [_kind(part, facts) for part in parts]
    for left, operator, right in zip(kinds, operators, kinds[1:], strict=False):
        if not isinstance(operator, _EQUALITY + _ORDER):
            raise InvalidInput(f"it uses a comparison that is not allowed ({type(operator).__name__})")
        if left != right:
            raise InvalidInput(f"it compares a {left} with a {right}")
        if isinstance(operator, _ORDER) and left != "number":
            raise InvalidInput("“<” and “>” compare numbers only")
    return "yes-no"
