"""SQL of members as nested lists, `["+", ["column", "points"], ["value", 1]]`: its text, its value by SQL's rules."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

Term = list[Any]
See = Callable[[Term], Any]
LEAVES = ("column", "member", "measure", "aggregate")
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "=": lambda left, right: left == right,
    "<>": lambda left, right: left != right,
    ">": lambda left, right: left > right,
    "<=": lambda left, right: left <= right,
}


def evaluate(term: Term, see: See) -> Any:
    """The value; `see` gives columns, members, measures and aggregates."""
    head, *rest = term
    if head in LEAVES:
        return see(term)
    if head == "value":
        return rest[0]
    if head == "null":
        return evaluate(rest[0], see) is None
    if head == "coalesce":
        return next((found for each in rest if (found := evaluate(each, see)) is not None), None)
    if head == "case":
        return _case(rest[0], rest[1], see)
    left, right = evaluate(rest[0], see), evaluate(rest[1], see)
    return _logic(head, left, right) if head in ("and", "or") else _operation(head, left, right)


def _case(branches: list[Any], otherwise: Term | None, see: See) -> Any:
    for condition, result in branches:
        if evaluate(condition, see) is True:
            return evaluate(result, see)
    return None if otherwise is None else evaluate(otherwise, see)


def _logic(head: str, left: Any, right: Any) -> bool | None:
    decisive = head == "or"
    if decisive in (left, right):
        return decisive
    return None if None in (left, right) else not decisive


def _operation(head: str, left: Any, right: Any) -> Any:
    if left is None or right is None:
        return None
    if head in _COMPARE:
        return _COMPARE[head](left, right)
    left, right = _number(left), _number(right)
    if head == "/":
        return left / right if right else None
    return {"+": left + right, "-": left - right, "*": left * right}[head]


def _number(value: Any) -> Any:
    return float(value) if isinstance(value, Decimal) else value


def walk(term: Term) -> Iterator[Term]:
    """Every term within."""
    if term and isinstance(term[0], str):
        yield term
    for each in term[1:] if term and isinstance(term[0], str) else term:
        if isinstance(each, list):
            yield from walk(each)


def text(term: Term) -> str:
    """The SQL as it stands in a model."""
    head, *rest = term
    if head == "column":
        return f"{{CUBE}}.{rest[0]}"
    if head in ("member", "measure"):
        return f"{{{rest[0]}}}" if "." in rest[0] else f"{{CUBE.{rest[0]}}}"
    if head == "aggregate":
        return f"{rest[0]}({text(rest[1])})"
    if head == "value":
        return _literal(rest[0])
    if head == "null":
        return f"{text(rest[0])} IS NULL"
    if head == "coalesce":
        return f"coalesce({', '.join(map(text, rest))})"
    if head == "case":
        branches = " ".join(f"WHEN {text(condition)} THEN {text(result)}" for condition, result in rest[0])
        return f"CASE {branches}{f' ELSE {text(rest[1])}' if rest[1] is not None else ''} END"
    return f"({text(rest[0])} {head.upper()} {text(rest[1])})"


def _literal(value: Any) -> str:
    if isinstance(value, str):
        return "'" + value.replace("\\", "\\\\").replace("'", "''").replace("{", "\\{").replace("}", "\\}") + "'"
    return "NULL" if value is None else str(value).lower()
