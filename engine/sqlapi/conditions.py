"""WHERE and HAVING → filters that choose the same rows as the SQL does, its NULLs included.

A condition is true, false or unknown; a row is chosen where it is true. NOT is carried down to the single conditions,
each of which is written as the filter that holds where it is true, or where it is false: `NOT (a > 1)` is `a <= 1`, and
`a <> 1` leaves out NULL, which the filter `notEquals` alone would keep.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

from sqlglot import exp

from engine.model.catalog import Segment
from engine.sqlapi.literals import is_value, value
from engine.sqlapi.reading import refused
from engine.sqlapi.terms import Term, Terms

_FLIPPED: dict[type[exp.Expr], type[exp.Expr]] = {exp.LT: exp.GT, exp.LTE: exp.GTE, exp.GT: exp.LT, exp.GTE: exp.LTE}
_OPPOSITE: dict[type[exp.Expr], type[exp.Expr]] = {exp.LT: exp.GTE, exp.LTE: exp.GT, exp.GT: exp.LTE, exp.GTE: exp.LT}
_NAMES: dict[type[exp.Expr], tuple[str, str]] = {
    exp.LT: ("lt", "beforeDate"),
    exp.LTE: ("lte", "beforeOrOnDate"),
    exp.GT: ("gt", "afterDate"),
    exp.GTE: ("gte", "afterOrOnDate"),
}
_COMPARED = (exp.EQ, exp.NEQ, exp.LT, exp.LTE, exp.GT, exp.GTE, exp.NullSafeEQ, exp.NullSafeNEQ)
_FORMS = "Compare a member with constants: =, <>, <, >, BETWEEN, IN, LIKE, IS NULL, IS TRUE; join them by AND, OR, NOT."


@dataclass(frozen=True, slots=True, eq=False)
class Leaf:
    """One filter of the question, and where it stands in the SQL."""

    member: str
    operator: str
    values: tuple[str, ...]
    node: exp.Expr

    def json(self) -> dict[str, Any]:
        """The filter."""
        found: dict[str, Any] = {"member": self.member, "operator": self.operator}
        return found if self.operator in ("set", "notSet") else found | {"values": list(self.values)}


@dataclass(frozen=True, slots=True, eq=False)
class Group:
    """Filters of which all (`and`) or one (`or`) must hold."""

    operator: str
    parts: tuple[Filter, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Named:
    """A segment."""

    term: Term


Filter: TypeAlias = Leaf | Group | Named


class Conditions:
    """The conditions of one clause; `measures` where they choose groups (HAVING) and not rows."""

    def __init__(self, terms: Terms, *, measures: bool) -> None:
        self.terms = terms
        self.measures = measures
        self.used: list[Term] = []

    def read(self, node: exp.Expr) -> list[Filter]:
        """The conditions that must all hold."""
        return list(_conjuncts(self._tree(node, holds=True)))

    def _tree(self, node: exp.Expr, *, holds: bool) -> Filter:
        """The filter that chooses where the condition is true (`holds`) or where it is false."""
        if isinstance(node, exp.Paren):
            return self._tree(node.this, holds=holds)
        if node.args.get("negate"):
            holds = not holds
        if isinstance(node, exp.Not):
            return self._tree(node.this, holds=not holds)
        if isinstance(node, exp.And | exp.Or):
            operator = "and" if isinstance(node, exp.And) == holds else "or"
            return Group(operator, tuple(self._tree(each, holds=holds) for each in _flat(node)))
        if isinstance(node, exp.Column):
            return self._bare(node, holds=holds)
        if isinstance(node, exp.Is):
            return self._is(node, holds=holds)
        if isinstance(node, _COMPARED):
            return self._comparison(node, holds=holds)
        if isinstance(node, exp.Between):
            return self._between(node, holds=holds)
        if isinstance(node, exp.In):
            return self._in(node, holds=holds)
        if isinstance(node, exp.Like | exp.ILike | exp.Escape):
            return self._like(node, holds=holds)
        raise refused("This condition is not understood.", node, _FORMS)

    def _term(self, node: exp.Expr) -> Term:
        """The member of a condition, of the kind that the clause is about."""
        if is_value(node):
            raise refused("A condition compares a member; two constants say nothing of a row.", node, _FORMS)
        term = self.terms.read(node)
        if term.granularity is not None:
            hint = f"Compare the time itself: {term.full} >= '2024-01-01' AND {term.full} < '2024-02-01'."
            raise refused("A condition on DATE_TRUNC is not understood.", node, hint)
        if self.measures and not (term.is_measure and term.aggregate):
            hint = f"Write MEASURE({term.full})." if term.is_measure else "Put conditions on rows into WHERE."
            raise refused(f"HAVING is about aggregates; '{term.full}' is none.", node, hint)
        if term.is_measure and not self.measures:
            hint = f"Put it into HAVING: MEASURE({term.full}) …"
            raise refused(f"'{term.full}' is a measure: WHERE is about rows.", node, hint)
        self.used.append(term)
        return term

    def _plain(self, node: exp.Expr) -> Term:
        term = self._term(node)
        if isinstance(term.member, Segment):
            hint = f"Write {term.full} IS TRUE."
            raise refused(f"'{term.full}' is a segment: it holds or it does not.", node, hint)
        return term

    def _bare(self, node: exp.Column, *, holds: bool) -> Filter:
        """A segment, or a boolean that is true."""
        term = self._term(node)
        if isinstance(term.member, Segment):
            return self._segment(term, holds=holds)
        if term.type != "boolean":
            raise refused(f"'{term.full}' is a {term.type}: alone it is no condition.", node, _FORMS)
        return Leaf(term.full, "equals", ("true" if holds else "false",), node)

    def _segment(self, term: Term, *, holds: bool) -> Filter:
        if not holds:
            hint = "Segments are asked for with AND; a dimension can also be negated."
            raise refused(f"The segment '{term.full}' cannot be negated.", term.node, hint)
        return Named(term)

    def _is(self, node: exp.Is, *, holds: bool) -> Filter:
        """IS NULL, IS TRUE, IS FALSE: never unknown, so that their opposites take in NULL."""
        if isinstance(node.expression, exp.Null):
            term = self._plain(node.this)
            return Leaf(term.full, "notSet" if holds else "set", (), node)
        if not isinstance(node.expression, exp.Boolean):
            raise refused("IS takes NULL, TRUE or FALSE.", node)
        term, wanted = self._term(node.this), bool(node.expression.this)
        if isinstance(term.member, Segment):
            return self._segment(term, holds=holds == wanted)
        if term.type != "boolean":
            raise refused(f"'{term.full}' is a {term.type}, neither true nor false.", node)
        return Leaf(term.full, "equals" if holds else "notEquals", ("true" if wanted else "false",), node)

    def _comparison(self, node: exp.Expr, *, holds: bool) -> Filter:
        kind, left, right = type(node), node.this, node.expression
        if is_value(left) and not is_value(right):
            kind, left, right = _FLIPPED.get(kind, kind), right, left
        if not is_value(right):
            self._constant(right)
        term = self._term(left)
        if isinstance(term.member, Segment):
            return self._equal_segment(term, kind, right, holds=holds)
        if kind in (exp.NullSafeEQ, exp.NullSafeNEQ):
            return self._distinct(term, right, node, same=holds == (kind is exp.NullSafeEQ))
        text = value(right, term)
        if kind in (exp.EQ, exp.NEQ):
            return _equal(term, (text,), node, same=holds == (kind is exp.EQ))
        return _ordered(term, kind if holds else _OPPOSITE[kind], text, node)

    def _constant(self, node: exp.Expr) -> None:
        """Refuse what a member is compared with and is no constant."""
        if isinstance(node, exp.Subquery | exp.Select):
            raise refused("Subselects are not read.", node, _FORMS)
        if isinstance(node, exp.Column):
            self._term(node)
            raise refused("Two members are not compared with each other.", node, _FORMS)
        raise refused("A member is compared with a constant, not with an expression.", node, _FORMS)

    def _equal_segment(self, term: Term, kind: type[exp.Expr], right: exp.Expr, *, holds: bool) -> Filter:
        if kind not in (exp.EQ, exp.NEQ) or not isinstance(right, exp.Boolean):
            raise refused(f"'{term.full}' is a segment: it holds or it does not.", right, f"Write {term.full} IS TRUE.")
        return self._segment(term, holds=(holds == (kind is exp.EQ)) == bool(right.this))

    def _distinct(self, term: Term, right: exp.Expr, node: exp.Expr, *, same: bool) -> Filter:
        """IS [NOT] DISTINCT FROM: never unknown."""
        if isinstance(right, exp.Null):
            return Leaf(term.full, "notSet" if same else "set", (), node)
        return Leaf(term.full, "equals" if same else "notEquals", (value(right, term),), node)

    def _between(self, node: exp.Between, *, holds: bool) -> Filter:
        term = self._plain(node.this)
        low, high = (node.args[key] for key in ("low", "high"))
        for each in (low, high):
            if not is_value(each):
                self._constant(each)
        first = _ordered(term, exp.GTE if holds else exp.LT, value(low, term), node)
        last = _ordered(term, exp.LTE if holds else exp.GT, value(high, term), node)
        return Group("and" if holds else "or", (first, last))

    def _in(self, node: exp.In, *, holds: bool) -> Filter:
        if node.args.get("query") is not None:
            raise refused("Subselects are not read.", node.args["query"], "List the values: IN ('a', 'b').")
        term = self._plain(node.this)
        for each in node.expressions:
            if not is_value(each):
                self._constant(each)
        return _equal(term, tuple(value(each, term) for each in node.expressions), node, same=holds)

    def _like(self, node: exp.Expr, *, holds: bool) -> Filter:
        if isinstance(node, exp.Escape):
            raise refused("ESCAPE is not understood.", node, "The backslash escapes % and _.")
        term, pattern = self._plain(node.this), node.expression
        if term.type in ("number", "time", "boolean"):
            raise refused(f"'{term.full}' is a {term.type}: patterns are for texts.", node)
        if not isinstance(pattern, exp.Literal) or not pattern.is_string:
            raise refused("A pattern is a constant text.", node)
        before, text, after = _pattern(pattern)
        return _matched(term, node, before, text, after, holds=holds)


def _flat(node: exp.Expr) -> list[exp.Expr]:
    """The conditions that one connector joins, from left to right."""
    found: list[exp.Expr] = []
    kind, left = type(node), node
    while type(left) is kind:
        found.append(left.args["expression"])
        left = left.this
    return [left, *reversed(found)]


def _conjuncts(tree: Filter) -> Iterator[Filter]:
    if isinstance(tree, Group) and tree.operator == "and":
        for each in tree.parts:
            yield from _conjuncts(each)
    else:
        yield tree


def _equal(term: Term, values: tuple[str, ...], node: exp.Expr, *, same: bool) -> Filter:
    if same:
        return Leaf(term.full, "equals", values, node)
    return Group("and", (Leaf(term.full, "notEquals", values, node), Leaf(term.full, "set", (), node)))


def _ordered(term: Term, kind: type[exp.Expr], text: str, node: exp.Expr) -> Leaf:
    if term.type == "boolean":
        raise refused(f"'{term.full}' is true or false: neither is greater.", node)
    return Leaf(term.full, _NAMES[kind][term.type == "time" and not term.is_measure], (text,), node)


def _pattern(node: exp.Literal) -> tuple[bool, str, bool]:
    """Whether anything may stand before and after the text of a pattern; refused where more is left open."""
    text, found, index = str(node.this), "", 0
    opens = text.startswith("%")
    index = len(text) - len(text.lstrip("%"))
    while index < len(text):
        letter = text[index]
        if letter == "\\" and index + 1 < len(text):
            found, index = found + text[index + 1], index + 2
        elif letter == "%" and not text[index:].strip("%"):
            return opens, found, True
        elif letter in "%_\\":
            hint = "Write 'text', 'text%', '%text' or '%text%'; \\% and \\_ are the signs themselves."
            raise refused(f"The pattern '{text[:50]}' is not understood.", node, hint)
        else:
            found, index = found + letter, index + 1
    return opens, found, opens and not found


_OPERATORS = {(True, True): "contains", (False, True): "startsWith", (True, False): "endsWith"}


def _matched(term: Term, node: exp.Expr, before: bool, text: str, after: bool, *, holds: bool) -> Filter:
    if not text and (before or after):  # any text at all; and what is none
        some = Leaf(term.full, "set", (), node)
        return some if holds else Group("and", (some, Leaf(term.full, "notSet", (), node)))
    cased = text.lower() != text or text.upper() != text
    if before or after:
        if cased and isinstance(node, exp.Like):
            hint = "Write ILIKE, which takes capital and small letters for the same."
            raise refused("LIKE tells capital from small letters; the filters for parts of texts do not.", node, hint)
        operator = _OPERATORS[before, after]
        if holds:
            return Leaf(term.full, operator, (text,), node)
        opposite = f"not{operator[0].upper()}{operator[1:]}"
        return Group("and", (Leaf(term.full, opposite, (text,), node), Leaf(term.full, "set", (), node)))
    if cased and isinstance(node, exp.ILike):
        hint = "Write = for the very text, or ILIKE with % before or after it."
        raise refused("ILIKE without % is not understood.", node, hint)
    return _equal(term, (text,), node, same=holds)
