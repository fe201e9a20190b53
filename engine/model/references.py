"""SQL texts of the model: `{…}` taken out as references, the rest parsed once with sqlglot."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from core.errors import ModelError
from engine.model.arguments import Argument, read_argument, split_group, value_number
from engine.model.markers import too_large
from engine.model.terms import Reference, Source, Sql

SELF = "__cube__"
"""The table name that stands for the cube itself."""
_MARK = re.compile(r"__ref(\d+)__")
_INSIDE = re.compile(r"__(?:ref|arg)\d+__")
_BARE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_OWN_COLUMN = re.compile(r"\{(?:CUBE|TABLE)\}\.([A-Za-z_][A-Za-z0-9_]*)")
_PATH = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*")
_CALL = re.compile(r"(?s)([A-Za-z_][A-Za-z0-9_.]*)\.(\w+)\((.*)\)\s*")
_POSITION = frozenset({"line", "col", "start", "end"})
_GROUP = re.compile(r"(?s)FILTER_GROUP\((.*)\)\s*")
_SELF_NAMES = ("CUBE", "TABLE")
_CONTEXTS = ("SECURITY_CONTEXT", "security_context", "securityContext")
_CONTEXT_CALLS = ("filter", "requiredFilter", "unsafeValue")
_VALUES = (
    *(exp.Condition, exp.Subquery, exp.Tuple, exp.Func, exp.Interval, exp.Filter, exp.IgnoreNulls, exp.RespectNulls),
    exp.WithinGroup,
)
_BITS: dict[type[exp.Expr], str] = {
    exp.BitwiseAnd: "bitAnd", exp.BitwiseOr: "bitOr", exp.BitwiseXor: "bitXor", exp.BitwiseNot: "bitNot",
    exp.BitwiseLeftShift: "bitShiftLeft", exp.BitwiseRightShift: "bitShiftRight",
}  # fmt: skip
LONGEST = 200_000
"""Characters of one SQL text."""
MOST_PARTS = 20
"""Parts of one reference: cubes on the way, and the member."""
UTILS = ("convertTz", "urlEncode")
"""The functions of SQL_UTILS."""


def marker(index: int) -> str:
    """The identifier that stands for reference number `index`."""
    return f"__ref{index}__"


def marked(identifier: str) -> int | None:
    """The number of the reference for which `identifier` stands, None for another identifier."""
    found = _MARK.fullmatch(identifier)
    return int(found.group(1)) if found else None


def parse_sql(text: str, source: Source, *, key: str = "sql") -> Sql:
    """An expression of the model; columns without a table become columns of the cube itself."""
    text = text.strip()
    if _BARE.fullmatch(text) and text.upper() not in ("NULL", "TRUE", "FALSE") and value_number(text) is None:
        return Sql(text, exp.column(text, table=SELF), (), source)
    own = _OWN_COLUMN.fullmatch(text)
    if own:
        return Sql(text, exp.column(own.group(1), table=SELF), (), source)
    code, references = _cut(text, source, key)
    tree = _parsed(code, source, key)
    if not isinstance(tree, _VALUES):
        raise _mistake("this is not an expression that has a value", source, key)
    return Sql(text, _qualified(tree), references, source)


def parse_select(text: str, source: Source) -> Sql:
    """The SELECT that stands for a cube's table."""
    code, references = _cut(text.strip().rstrip(";"), source, "sql")
    tree = _parsed(code, source, "sql")
    if not isinstance(tree, exp.Query) or isinstance(tree, exp.Table):
        raise _mistake("the sql of a cube is a SELECT; write a table as sql_table", source, "sql")
    return Sql(text, tree, references, source)


def parse_condition(text: str, source: Source, *, bare: bool) -> Sql:
    """An expression inside another one; `bare` leaves its columns as they are, as in a cube's own SELECT."""
    if not bare:
        return parse_sql(text, source)
    code, references = _cut(text.strip(), source, "sql")
    return Sql(text, _parsed(code, source, "sql"), references, source)


def _cut(text: str, source: Source, key: str) -> tuple[str, tuple[Reference, ...]]:
    parts: list[str] = []
    references: list[Reference] = []
    for kind, piece in _pieces(text, source, key):
        if kind == "text":
            parts.append(piece)
        else:
            parts.append(marker(len(references)))
            references.append(_reference(piece, source, key))
    return "".join(parts), tuple(references)


def _pieces(text: str, source: Source, key: str) -> Iterator[tuple[str, str]]:
    start = depth = 0
    position = 0
    while position < len(text):
        letter = text[position]
        if letter == "\\" and position + 1 < len(text) and text[position + 1] in "{}" and depth == 0:
            yield "text", text[start:position] + text[position + 1]
            position += 2
            start = position
            continue
        if letter == "{":
            if depth == 0:
                yield "text", text[start:position]
                start = position + 1
            depth += 1
        elif letter == "}":
            depth -= 1
            if depth < 0:
                raise _mistake("a '}' without its '{'", source, key)
            if depth == 0:
                yield "reference", text[start:position].strip()
                start = position + 1
        position += 1
    if depth:
        raise _mistake("a '{' without its '}'", source, key)
    yield "text", text[start:]


def _reference(text: str, source: Source, key: str) -> Reference:
    group = _GROUP.fullmatch(text)
    if group:
        return _group(split_group(group.group(1)), source, key)
    call = _CALL.fullmatch(text)
    if call:
        return _called(call.group(1).split("."), call.group(2), call.group(3).strip(), source, key)
    if not _PATH.fullmatch(text):
        raise _mistake(f"'{{{text}}}' is not a reference", source, key)
    parts = tuple(text.split("."))
    if len(parts) > MOST_PARTS:
        raise _mistake(f"a reference has at most {MOST_PARTS} parts", source, key)
    if parts[0] in _CONTEXTS:
        return Reference("security_context", parts[1:], "unsafeValue")
    if len(parts) == 1 and parts[0] in _SELF_NAMES:
        return Reference("cube", (SELF,))
    path = tuple(SELF if part in _SELF_NAMES else part for part in parts)
    return Reference("member", path[:-1], path[-1])


def _group(calls: list[str], source: Source, key: str) -> Reference:
    parts = tuple(_reference(each, source, key) for each in calls)
    if any(part.kind != "filter_params" for part in parts):
        raise _mistake("FILTER_GROUP holds calls of FILTER_PARAMS only", source, key)
    return Reference("filter_group", (), parts=parts)


def _called(path: list[str], function: str, argument: str, source: Source, key: str) -> Reference:
    name = ".".join([*path, function])
    if path[0] == "FILTER_PARAMS":
        if "time_shifts" in path:
            raise _mistake(f"'{name}' asks for a named time shift, which FILTER_PARAMS cannot do here", source, key)
        if len(path) != 3 or function != "filter" or not argument:
            raise _mistake("write FILTER_PARAMS.cube.member.filter('column') or .filter(lambda x: …)", source, key)
        return Reference("filter_params", (path[1],), path[2], _argument(name, argument, source, key))
    if path[0] in _CONTEXTS:
        if function not in _CONTEXT_CALLS or len(path) < 2 or bool(argument) != (function != "unsafeValue"):
            raise _mistake(
                "write SECURITY_CONTEXT.name.filter('column'), .requiredFilter('column') or .unsafeValue()", source, key
            )
        read = _argument(name, argument, source, key) if argument else None
        return Reference("security_context", tuple(path[1:]), function, read)
    if path == ["SQL_UTILS"] and function in UTILS and argument:
        return Reference("utils", (), function, _argument(name, argument, source, key))
    if function == "sql" and not argument and len(path) == 1:
        return Reference("sql", (SELF if path[0] in _SELF_NAMES else path[0],))
    raise _mistake(f"'{{{name}(…)}}' is not a function that models can call", source, key)


def _argument(name: str, text: str, source: Source, key: str) -> Argument:
    try:
        return read_argument(text)
    except ValueError as error:
        raise _mistake(f"{name}: {error}", source, key) from error


def _parsed(code: str, source: Source, key: str) -> exp.Expr:
    try:
        tree = _parse(code)
    except SqlglotError as error:
        problem = str(error).splitlines()[0]
        raise _mistake(f"this SQL cannot be parsed: {problem}", source, key) from error
    if any(isinstance(node, exp.Literal) and _INSIDE.search(str(node.this)) for node in tree.walk()):
        raise _mistake("a reference stands inside a quoted text", source, key)
    for node in tree.walk():
        if isinstance(node, exp.Placeholder | exp.Parameter):
            raise _mistake("SQL of the model has no parameters ('?', '@x') of its own", source, key)
        if type(node) in _BITS:
            function = _BITS[type(node)]
            raise _mistake(f"ClickHouse has no such operator; write {function}(…)", source, key)
    return tree


@lru_cache(4096)
def _parse(code: str) -> exp.Expr:
    if len(code) > LONGEST:
        raise SqlglotError(f"it has more than {LONGEST} characters")
    try:
        statements = sqlglot.parse(code, read="clickhouse")
    except RecursionError as error:
        raise SqlglotError("it is nested too deep") from error
    if len(statements) != 1 or statements[0] is None:
        raise SqlglotError("expected one expression")
    problem = too_large(statements[0])
    if problem:
        raise SqlglotError(problem)
    return _unplaced(statements[0])


def _unplaced(tree: exp.Expr) -> exp.Expr:
    """The tree without the positions of its tokens, which would make each later copy four times as slow."""
    for node in tree.walk():
        if node._meta:
            node._meta = {key: value for key, value in node._meta.items() if key not in _POSITION} or None
    return tree


def _qualified(tree: exp.Expr) -> exp.Expr:
    tree = tree.copy()
    for column in list(tree.walk(prune=lambda node: isinstance(node, exp.Select))):
        if not isinstance(column, exp.Column) or column.table or not isinstance(column.this, exp.Identifier):
            continue
        if not _stands_in(column.name):
            column.set("table", exp.to_identifier(SELF))
    return tree


def _stands_in(name: str) -> bool:
    return marked(name) is not None or value_number(name) is not None


def _mistake(problem: str, source: Source, key: str) -> ModelError:
    return ModelError(f"{source}: {key}: {problem}.", file=source.file, line=source.line, key=key)
