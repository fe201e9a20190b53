"""What stands in the brackets of a model's `.filter(…)`: a text of SQL, a reference, or a lambda over the values.

A lambda is never run: it is read as syntax, and only texts, f-strings and `+` over its parameters are known.
"""

from __future__ import annotations

import ast
import keyword
import re
from collections.abc import Sequence
from dataclasses import dataclass

LONGEST = 20_000
_LAMBDA = re.compile(r"lambda\b([^:]*):(.+)", re.DOTALL)
_NAME = re.compile(r"[A-Za-z_]\w*")
_QUOTED = re.compile(r"[fF]?(?:'(.*)'|\"(.*)\")", re.DOTALL)
_VALUE = re.compile(r"__arg(\d+)__")
_NEXT = re.compile(r",(?=\s*FILTER_PARAMS\.)")


@dataclass(frozen=True, slots=True)
class Argument:
    """A text of SQL; of a lambda with `count` parameters, `__arg0__`, `__arg1__` … stand for the values."""

    text: str
    count: int = 0


def read_argument(text: str) -> Argument:
    """The argument of a call; ValueError tells what is wrong with it."""
    text = text.strip()
    if len(text) > LONGEST:
        raise ValueError(f"it is longer than {LONGEST} characters")
    found = _LAMBDA.fullmatch(text)
    if found:
        return _callback(found.group(1), found.group(2).strip())
    quoted = _QUOTED.fullmatch(text)
    if quoted:
        inner = quoted.group(1) if quoted.group(1) is not None else quoted.group(2)
        return Argument(re.sub(r"\\(['\"])", r"\1", inner))
    return Argument("{" + text + "}" if re.fullmatch(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+", text) else text)


def value_number(identifier: str) -> int | None:
    """The number of the value for which `__arg<n>__` stands, None for another identifier."""
    found = _VALUE.fullmatch(identifier)
    return int(found.group(1)) if found else None


def split_group(text: str) -> list[str]:
    """The `FILTER_PARAMS…` calls in the brackets of a FILTER_GROUP."""
    return [each.strip() for each in _NEXT.split(text)]


def _callback(names: str, body: str) -> Argument:
    parameters = [name.strip() for name in names.split(",")] if names.strip() else []
    if len(set(parameters)) < len(parameters) or not all(_NAME.fullmatch(name) for name in parameters):
        raise ValueError(f"'{names.strip()}' are not parameters such as 'x, y'")
    for name in filter(keyword.iskeyword, parameters):
        body = re.sub(rf"\{{\s*{name}\s*\}}", f"{{{name}_}}", body)
    places = [f"{name}_" if keyword.iskeyword(name) else name for name in parameters]
    try:
        tree = ast.parse(body, mode="eval").body
        return Argument(_text(tree, places), len(places))
    except (SyntaxError, RecursionError, MemoryError) as error:
        raise ValueError(f"its result cannot be read: {getattr(error, 'msg', error)}") from error


def _text(node: ast.expr, parameters: Sequence[str]) -> str:
    """The SQL that a lambda's body makes."""
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=parts):
            return "".join(_text(part, parameters) for part in parts)
        case ast.FormattedValue(value=value, conversion=-1, format_spec=None):
            return _text(value, parameters)
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return _text(left, parameters) + _text(right, parameters)
        case ast.Name(id=name) if name in parameters:
            return f"__arg{parameters.index(name)}__"
        case ast.Name() | ast.Attribute():
            return "{" + ast.unparse(node) + "}"
    raise ValueError(f"'{ast.unparse(node)}' is not a text, an f-string or a parameter of the lambda")
