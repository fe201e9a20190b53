"""The values of conditions: texts in the form that filters take, of the type of the member they are compared with."""

from __future__ import annotations

import re
from datetime import datetime

from sqlglot import exp

from engine.query.dates import format_time
from engine.sqlapi.reading import refused
from engine.sqlapi.terms import Term

_NUMBER = re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)([eE][-+]?\d{1,4})?", re.ASCII)
_TIME = re.compile(r"\d{4}-\d\d-\d\d([ T]\d\d:\d\d(:\d\d(\.\d{1,3}0*)?)?)?", re.ASCII)
_TIMES = (exp.DType.DATE, exp.DType.TIMESTAMP, exp.DType.DATETIME, exp.DType.TIMESTAMPNTZ)
_TEXTS = (exp.DType.TEXT, exp.DType.VARCHAR, exp.DType.CHAR)
_TIME_HINT = "Write '2024-01-31' or '2024-01-31 12:00:00.000': the wall time of the question's time zone."


def is_value(node: exp.Expr) -> bool:
    """Whether a node is a constant, and no member."""
    if isinstance(node, exp.Neg | exp.Paren):
        return is_value(node.this)
    return isinstance(node, exp.Literal | exp.Boolean | exp.Null) or (
        isinstance(node, exp.Cast) and is_value(node.this)
    )


def value(node: exp.Expr, term: Term) -> str:
    """The text of a constant that is compared with `term`; UnsupportedSql where their types do not meet."""
    if isinstance(node, exp.Null):
        problem = "Nothing is equal to NULL, and nothing differs from it."
        raise refused(problem, node.parent, "Write IS NULL or IS NOT NULL.")
    if isinstance(node, exp.Paren):
        return value(node.this, term)
    if isinstance(node, exp.Cast):
        return _cast(node, term)
    if term.type == "boolean":
        return _flag(node, term)
    if term.type == "time":
        return _time(node, term, whole_day=False)
    if isinstance(node, exp.Neg) and isinstance(node.this, exp.Literal) and not node.this.is_string:
        return f"-{_number(node.this, term)}"
    if not isinstance(node, exp.Literal):
        raise refused(f"'{term.full}' is compared with a constant.", node)
    if term.type != "number":
        return _text(node, term)
    return _number(node, term)


def _number(node: exp.Literal, term: Term) -> str:
    text = node.name.strip()
    if term.type != "number" or not _NUMBER.fullmatch(text):
        if getattr(term.member, "type", "") in ("min", "max") and node.is_string:
            return text
        raise refused(f"'{term.full}' is a {term.type}: it is not compared with {_shown(node)}.", node)
    return text


def _text(node: exp.Literal, term: Term) -> str:
    if not node.is_string:
        raise refused(
            f"'{term.full}' is a {term.type}: it is not compared with {_shown(node)}.", node, "Put it in quotes."
        )
    return str(node.this)


def _flag(node: exp.Expr, term: Term) -> str:
    if isinstance(node, exp.Boolean):
        return "true" if node.this else "false"
    if isinstance(node, exp.Literal) and node.is_string and node.name.lower() in ("true", "false"):
        return node.name.lower()
    raise refused(f"'{term.full}' is true or false.", node)


def _cast(node: exp.Cast, term: Term) -> str:
    kind, inner = node.args["to"].this, node.this
    if isinstance(inner, exp.Literal) and inner.is_string:
        if kind in _TIMES and term.type == "time":
            return _time(inner, term, whole_day=kind is exp.DType.DATE)
        if kind in _TEXTS and term.type not in ("time", "number", "boolean"):
            return _text(inner, term)
    raise refused(f"A constant of the type {kind.value} is not compared with '{term.full}'.", node)


def _time(node: exp.Expr, term: Term, *, whole_day: bool) -> str:
    """A moment in full, as fine as a millisecond; a date is its midnight, as in SQL."""
    text = node.name.strip() if isinstance(node, exp.Literal) and node.is_string else ""
    if not _TIME.fullmatch(text) or (whole_day and len(text) > len("2024-01-31")):
        raise refused(f"'{term.full}' is a time: {_shown(node)} is none that can be read.", node, _TIME_HINT)
    date, _, fraction = text.partition(".")
    try:
        return format_time(datetime.fromisoformat(f"{date}.{fraction[:3]:0<3}" if fraction else date))
    except ValueError:
        raise refused(f"There is no time '{text}'.", node, _TIME_HINT) from None


def _shown(node: exp.Expr) -> str:
    return f"'{node.name[:50]}'" if isinstance(node, exp.Literal) else "that"
