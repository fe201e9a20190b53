"""SQL texts of the model: `{…}` taken out as references, the rest parsed once with sqlglot."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from core.errors import ModelError
from engine.model.terms import Reference, Source, Sql

SELF = "__cube__"
"""The table name that stands for the cube itself."""
_MARK = re.compile(r"__ref(\d+)__")
_BARE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_OWN_COLUMN = re.compile(r"\{(?:CUBE|TABLE)\}\.([A-Za-z_][A-Za-z0-9_]*)")
_PATH = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*")
_CALL = re.compile(r"(?s)([A-Za-z_][A-Za-z0-9_.]*)\.(\w+)\((.*)\)\s*")
_POSITION = frozenset({"line", "col", "start", "end"})
_SELF_NAMES = ("CUBE", "TABLE")


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
    if _BARE.fullmatch(text) and text.upper() not in ("NULL", "TRUE", "FALSE"):
        return Sql(text, exp.column(text, table=SELF), (), source)
    own = _OWN_COLUMN.fullmatch(text)
    if own:
        return Sql(text, exp.column(own.group(1), table=SELF), (), source)
    code, references = _cut(text, source, key)
    return Sql(text, _qualified(_parsed(code, source, key)), references, source)


def parse_select(text: str, source: Source) -> Sql:
    """The SELECT that stands for a cube's table."""
    code, references = _cut(text.strip().rstrip(";"), source, "sql")
    return Sql(text, _parsed(code, source, "sql"), references, source)


def parse_fragment(text: str, source: Source) -> exp.Expr:
    """An expression without references, its columns left as they are."""
    return _parsed(text, source, "sql").copy()


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
    if text.startswith("FILTER_GROUP"):
        return Reference("filter_params", (), None, text)
    call = _CALL.fullmatch(text)
    if call:
        return _called(call.group(1).split("."), call.group(2), call.group(3).strip(), source, key)
    if not _PATH.fullmatch(text):
        raise _mistake(f"'{{{text}}}' is not a reference", source, key)
    parts = tuple(text.split("."))
    if parts[0] == "SECURITY_CONTEXT":
        return Reference("security_context", parts[1:], None, "unsafeValue")
    if len(parts) == 1 and parts[0] in _SELF_NAMES:
        return Reference("cube", (SELF,))
    path = tuple(SELF if part in _SELF_NAMES else part for part in parts)
    return Reference("member", path[:-1], path[-1])


def _called(path: list[str], function: str, argument: str, source: Source, key: str) -> Reference:
    if path[0] == "FILTER_PARAMS" and len(path) == 3:
        return Reference("filter_params", (path[1],), path[2], argument)
    if path[0] == "SECURITY_CONTEXT":
        return Reference("security_context", tuple(path[1:]), function, argument)
    if path[0] == "SQL_UTILS":
        return Reference("utils", (), function, argument)
    if function == "sql" and not argument and len(path) == 1:
        return Reference("sql", (SELF if path[0] in _SELF_NAMES else path[0],))
    raise _mistake(f"'{{{'.'.join(path)}.{function}(…)}}' is not a function that models can call", source, key)


def _parsed(code: str, source: Source, key: str) -> exp.Expr:
    try:
        tree = _parse(code)
    except SqlglotError as error:
        problem = str(error).splitlines()[0]
        raise _mistake(f"this SQL cannot be parsed: {problem}", source, key) from error
    if any(isinstance(node, exp.Literal) and _MARK.search(str(node.this)) for node in tree.walk()):
        raise _mistake("a reference stands inside a quoted text", source, key)
    return tree


@lru_cache(4096)
def _parse(code: str) -> exp.Expr:
    statements = sqlglot.parse(code, read="clickhouse")
    if len(statements) != 1 or statements[0] is None:
        raise SqlglotError("expected one expression")
    return _unplaced(statements[0])


def _unplaced(tree: exp.Expr) -> exp.Expr:
    """The tree without the positions of its tokens, which would make each later copy four times as slow."""
    for node in tree.walk():
        if node._meta:
            node._meta = {key: value for key, value in node._meta.items() if key not in _POSITION} or None
    return tree


def _qualified(tree: exp.Expr) -> exp.Expr:
    tree = tree.copy()
    for column in list(tree.find_all(exp.Column)):
        free = not column.table and isinstance(column.this, exp.Identifier) and marked(column.name) is None
        if free and column.find_ancestor(exp.Select) is None:
            column.set("table", exp.to_identifier(SELF))
    return tree


def _mistake(problem: str, source: Source, key: str) -> ModelError:
    return ModelError(f"{source}: {key}: {problem}.", file=source.file, line=source.line, key=key)
