"""The text of a question in SQL → one SELECT; where in the text a node stands, and how a node is refused.

Bounded: so many characters, tokens and conditions; what nests deeper than the parser goes is refused too.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import pairwise
from operator import itemgetter
from typing import Any

from sqlglot import Dialect, exp
from sqlglot.errors import ParseError, TokenError
from sqlglot.tokenizer_core import Token, TokenType

from core.errors import InvalidSql, TooComplex, TooDeep, UnsupportedSql, nearest
from engine.query.validation import MAX_CONDITIONS

MAX_CHARACTERS = 100_000
MAX_TOKENS = 50_000
_QUOTED = re.compile(r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|--[^\n]*|/\*.*?\*/""", re.DOTALL)
_OPENED = re.compile(r"""'|"|/\*""")
_CONNECTORS = (TokenType.AND, TokenType.OR)
_BOTH = frozenset({"this", "expression"})
_ONE = frozenset({"this"})
_KEYS: Mapping[type[exp.Expr], frozenset[str]] = {
    exp.Select: frozenset(
        {"expressions", "from_", "joins", "where", "group", "having", "order", "limit", "offset", "distinct"}
    ),
    exp.Table: frozenset({"this", "alias", "db"}),
    exp.Join: frozenset({"this", "kind", "side", "on"}),
    exp.Column: frozenset({"this", "table"}),
    exp.Identifier: frozenset({"this", "quoted"}),
    exp.Alias: frozenset({"this", "alias"}),
    exp.Anonymous: frozenset({"this", "expressions"}),
    exp.Ordered: frozenset({"this", "desc", "nulls_first"}),
    exp.Fetch: frozenset({"count", "direction", "limit_options"}),
    exp.LimitOptions: frozenset({"rows"}),
    exp.Between: frozenset({"this", "low", "high"}),
    exp.In: frozenset({"this", "expressions", "query"}),
    exp.Literal: frozenset({"this", "is_string"}),
    exp.Cast: frozenset({"this", "to"}),
    exp.DataType: frozenset({"this", "nested"}),
    exp.Count: frozenset({"this", "big_int"}),
    exp.Limit: frozenset({"expression"}),
    exp.Offset: frozenset({"expression"}),
    exp.Star: frozenset(),
    exp.Null: frozenset(),
    **dict.fromkeys((exp.Group, exp.Order, exp.Distinct), frozenset({"expressions"})),
    **dict.fromkeys((exp.From, exp.TableAlias, exp.Where, exp.Having, exp.Paren, exp.Not, exp.Neg, exp.Boolean), _ONE),
    **dict.fromkeys((exp.Sum, exp.Avg, exp.Min, exp.Max, exp.ApproxDistinct, exp.Var), _ONE),
    **dict.fromkeys((exp.TimestampTrunc, exp.DateTrunc), frozenset({"this", "unit"})),
    **dict.fromkeys((exp.And, exp.Or, exp.EQ, exp.NEQ, exp.LT, exp.LTE, exp.GT, exp.GTE), _BOTH),
    **dict.fromkeys((exp.NullSafeEQ, exp.NullSafeNEQ), _BOTH),
    **dict.fromkeys((exp.Is, exp.Like, exp.ILike), _BOTH | {"negate"}),
}
"""What is read of each kind of node."""
_SETS = (TokenType.UNION, TokenType.EXCEPT, TokenType.INTERSECT)
_WRITES = {
    "WITH": "A question is one SELECT over cubes: WITH and subselects are not read.",
    "(": "A question is one SELECT, without parentheses around it.",
}


def read(text: str) -> exp.Select:
    """The SELECT of the text; InvalidSql where it cannot be read, UnsupportedSql where it is anything else."""
    if len(text) > MAX_CHARACTERS:
        raise TooComplex(f"The SQL is too long: it may have {MAX_CHARACTERS} characters.")
    tokens = _tokens(text)
    _check(tokens)
    return _parsed(text, tokens)


def place(node: exp.Expr | None) -> dict[str, Any]:
    """The `line` and `column` (from 1) at which a node begins in the text."""
    while node is not None:
        meta = min((each.meta for each in _placed(node)), key=itemgetter("start"), default=None)
        if meta is not None:
            return {"line": meta["line"], "column": max(1, meta["col"] - (meta["end"] - meta["start"]))}
        node = node.parent
    return {}


def _placed(node: exp.Expr) -> Iterator[exp.Expr]:
    return (each for each in node.walk() if "start" in each.meta)


def refused(problem: str, node: exp.Expr | None, hint: str | None = None) -> UnsupportedSql:
    """The refusal of a node, with its place."""
    return UnsupportedSql(problem, hint=hint, **place(node))


def _check_keys(tree: exp.Expr) -> None:
    """Refuse a node that says more than is read of it: nothing must be passed over in silence.

    What stands in no row of `_KEYS` is refused by whoever comes upon it.
    """
    for node in tree.walk():
        known = next((_KEYS[kind] for kind in type(node).__mro__ if kind in _KEYS), None)
        if known is None or (isinstance(node, exp.Table) and not isinstance(node.this, exp.Identifier)):
            continue
        for key, value in node.args.items():
            if key in known or value is None or value is False or value == []:
                continue
            inner = next(
                (each for each in (value if isinstance(value, list) else [value]) if isinstance(each, exp.Expr)), node
            )
            problem = f"{key.strip('_').upper()} is not understood here."
            raise refused(problem, inner if place(inner) else node, "Ask in one plain SELECT over cubes or a view.")


def _tokens(text: str) -> list[Token]:
    try:
        return Dialect.get_or_raise("postgres").tokenize(text)
    except TokenError:
        rest = _QUOTED.sub(lambda match: " " * len(match[0]), text)
        opened = _OPENED.search(rest)
        where = _place_at(text, opened.start()) if opened else {}
        raise InvalidSql("The SQL has a quote or a comment that does not end.", **where) from None


def _place_at(text: str, index: int) -> dict[str, Any]:
    return {"line": text.count("\n", 0, index) + 1, "column": index - text.rfind("\n", 0, index)}


def _check(tokens: list[Token]) -> None:
    while tokens and tokens[-1].token_type is TokenType.SEMICOLON:
        tokens.pop()
    if not tokens:
        raise InvalidSql("The SQL is empty.", hint="SELECT … FROM a cube or a view.")
    first = tokens[0]
    if first.token_type is not TokenType.SELECT:
        problem = _WRITES.get(first.text.upper(), f"Only SELECT is answered, not {first.text[:50].upper()}.")
        raise UnsupportedSql(problem, **_of(first), **_suggested(first.text))
    for each in tokens:
        if each.token_type is TokenType.SEMICOLON:
            raise UnsupportedSql("There is more than one statement.", hint="Ask one after the other.", **_of(each))
    if len(tokens) > MAX_TOKENS:
        raise TooComplex(f"The SQL is too long: it may have {MAX_TOKENS} words.", **_of(tokens[MAX_TOKENS]))
    joined = [each for each in tokens if each.token_type in _CONNECTORS]
    if len(joined) > 2 * MAX_CONDITIONS:
        raise TooComplex(f"There are more than {MAX_CONDITIONS} conditions.", **_of(joined[2 * MAX_CONDITIONS]))
    for each in tokens:
        if each.token_type in _SETS:
            problem = f"{each.text.upper()} is not understood: a question is one SELECT."
            raise UnsupportedSql(problem, hint="Ask each for itself.", **_of(each))
    for one, other in pairwise(tokens):
        if one.text.upper() == "NULLS" and other.token_type is TokenType.FIRST:
            hint = "NULLs come last, whichever the direction."
            raise UnsupportedSql("NULLS FIRST cannot be had.", hint=hint, **_of(one))


def _of(token: Token) -> dict[str, Any]:
    return {"line": token.line, "column": max(1, token.col - (token.end - token.start))}


def _suggested(word: str) -> dict[str, Any]:
    return {"hint": "Did you mean SELECT?"} if nearest(word.upper()[:20], ["SELECT"]) else {}


def _parsed(text: str, tokens: list[Token]) -> exp.Select:
    try:
        trees = Dialect.get_or_raise("postgres").parser().parse(tokens, text)
    except ParseError as error:
        raise _unreadable(error) from None
    except RecursionError:
        raise TooDeep("The SQL nests too deep.") from None
    except Exception as error:  # some texts the parser does not refuse, but trips over: `SELECT a || FROM b`
        raise InvalidSql("The SQL cannot be read.", cause=type(error).__name__) from None
    tree = trees[0] if len(trees) == 1 else None
    if not isinstance(tree, exp.Select):
        raise UnsupportedSql("A question is one SELECT over cubes or a view.")
    _check_keys(tree)
    return tree


def _unreadable(error: ParseError) -> InvalidSql:
    told = error.errors[0] if error.errors else {}
    word, column = told.get("highlight") or "", told.get("col")
    where = {} if column is None else {"line": told["line"], "column": max(1, column - max(len(word) - 1, 0))}
    near = f" at '{word[:50]}'" if word else ""
    return InvalidSql(
        f"The SQL cannot be read{near}: {str(told.get('description', 'syntax error')).rstrip('.')}.", **where
    )
