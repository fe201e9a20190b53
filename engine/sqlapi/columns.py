"""SELECT, GROUP BY, ORDER BY, LIMIT and OFFSET: what is shown, by what it is grouped, in which order, how much of it.

Without aggregates, GROUP BY and DISTINCT the rows themselves are asked for (`ungrouped`), as SQL has it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from sqlglot import exp

from core.errors import InvalidQuery
from engine.model.catalog import Measure, Segment
from engine.query.bind import is_row_value
from engine.query.normalisation import MAX_LIMIT
from engine.sqlapi.reading import place, refused
from engine.sqlapi.terms import Term, Terms

_TO_GROUP = "Projection references non-aggregate values"


@dataclass(frozen=True, slots=True)
class Shown:
    """A column of the answer: its name and what stands in it."""

    name: str
    term: Term


@dataclass(slots=True)
class Columns:
    """What is shown; the terms of which the question is made; the order; limit and offset."""

    shown: list[Shown]
    grouped: bool
    asked: list[Term] = field(default_factory=list)
    order: list[tuple[Term, bool]] = field(default_factory=list)
    limit: int | None = None
    offset: int | None = None


def read_columns(tree: exp.Select, terms: Terms) -> Columns:
    """The columns of a SELECT; UnsupportedSql where SQL or no question of ours knows them."""
    return _Reader(tree, terms).read()


class _Reader:
    def __init__(self, tree: exp.Select, terms: Terms) -> None:
        self.tree = tree
        self.terms = terms
        self.shown: list[Shown] = []
        self.by: list[Term] = []

    def read(self) -> Columns:
        if not self.tree.expressions:
            raise refused("SELECT names nothing.", self.tree, "SELECT a member, MEASURE(a measure), or *.")
        tree, group, distinct = self.tree, self.tree.args.get("group"), self.tree.args.get("distinct")
        starred = any(isinstance(each, exp.Star) or _star(each) for each in tree.expressions)
        rows = group is None and distinct is None and tree.args.get("having") is None
        for each in tree.expressions:
            self._show(each, rows=rows)
        aggregated = any(each.term.aggregate for each in self.shown)
        columns = Columns(self.shown, grouped=aggregated or not rows)
        if starred and columns.grouped:
            star = next(each for each in tree.expressions if isinstance(each, exp.Star) or _star(each))
            raise refused(
                "* shows rows: it does not go with aggregates, GROUP BY or DISTINCT.", star, "Name the columns."
            )
        if group is not None:
            self._group(group)
        elif not aggregated and distinct is not None:
            self.by = [each.term for each in self.shown]
        self._check(columns, distinct)
        columns.asked = list({each.column: each for each in (*(one.term for one in self.shown), *self.by)}.values())
        self._sort(columns)
        columns.limit, columns.offset = self._limit(), self._count("offset")
        return columns

    def _show(self, node: exp.Expr, *, rows: bool) -> None:
        alias, inner = (node.alias, node.this) if isinstance(node, exp.Alias) else ("", node)
        if isinstance(inner, exp.Star) or _star(inner):
            self._every(inner, rows=rows)
            return
        term = self.terms.read(inner)
        if isinstance(term.member, Segment):
            raise refused(f"'{term.full}' is a segment: a condition, no column.", inner, f"WHERE {term.full} IS TRUE")
        self.shown.append(Shown(alias or _name(term), term))

    def _every(self, node: exp.Expr, *, rows: bool) -> None:
        """All members that the caller may see; of the measures those which single rows have."""
        sources = self.terms.sources
        if isinstance(node, exp.Column):
            owners = self.terms.owners_of(node.args["table"])
        else:
            owners = list(sources.owners.values())
        for owner in owners:
            for name in self.terms.every(owner):
                term = self.terms.of(name, node)
                if not rows or not isinstance(term.member, Measure) or is_row_value(self.terms.catalog, term.member):
                    self.shown.append(Shown(name.partition(".")[2], term))

    def _group(self, group: exp.Expr) -> None:
        for each in group.expressions:
            term = self._one(each, "GROUP BY", aliases_first=False)
            if term.is_measure or isinstance(term.member, Segment):
                raise refused(f"GROUP BY takes dimensions; '{term.full}' is none.", each)
            self.by.append(term)

    def _check(self, columns: Columns, distinct: exp.Expr | None) -> None:
        if not columns.grouped:
            return
        by = {each.column for each in self.by}
        for each in self.shown:
            term = each.term
            if term.is_measure and not term.aggregate:
                hint = f"Write MEASURE({term.full})."
                raise refused(f"{_TO_GROUP}: '{term.full}' is not aggregated.", term.node, hint)
            if not term.is_measure and term.column not in by:
                hint = f"Add GROUP BY {term.full}." if term.granularity is None else "Group by the same DATE_TRUNC."
                raise refused(f"{_TO_GROUP}: '{term.full}' is not in GROUP BY.", term.node, hint)
        if distinct is not None and by - {each.term.column for each in self.shown}:
            raise refused("DISTINCT would merge groups.", self.shown[0].term.node, "Show all that GROUP BY names.")

    def _one(self, node: exp.Expr, clause: str, *, aliases_first: bool) -> Term:
        """A column by its position, its alias, or as a member."""
        node = node.unnest()
        if isinstance(node, exp.Literal) and not node.is_string:
            position = int(node.name) if node.name.isdigit() else 0
            if not 1 <= position <= len(self.shown):
                raise refused(f"{clause} position {node.name[:20]} is not in the select list.", node)
            return self.shown[position - 1].term
        if isinstance(node, exp.Column) and not node.args.get("table"):
            alias = self._alias(node)
            if alias is not None and (aliases_first or not self.terms.has(node)):
                return alias
        return self.terms.read(node)

    def _alias(self, node: exp.Column) -> Term | None:
        quoted = bool(node.this.args.get("quoted")) if isinstance(node.this, exp.Identifier) else True
        for each in self.shown:
            if each.name == node.name or (not quoted and each.name.lower() == node.name.lower()):
                return each.term
        return None

    def _sort(self, columns: Columns) -> None:
        order = self.tree.args.get("order")
        if order is None:
            return
        there = {each.column for each in columns.asked}
        for each in order.expressions:
            term = self._one(each.this, "ORDER BY", aliases_first=True)
            if term.column not in there:
                if columns.grouped or term.is_measure or isinstance(term.member, Segment):
                    problem = f"ORDER BY: '{term.column}' is no column of the answer."
                    raise refused(problem, each.this, "Select it too, or order by what is selected.")
                columns.asked.append(term)
                there.add(term.column)
            columns.order.append((term, bool(each.args.get("desc"))))

    def _limit(self) -> int | None:
        node = self.tree.args.get("limit")
        if isinstance(node, exp.Fetch):
            options = node.args.get("limit_options")
            if options is not None and (options.args.get("with_ties") or options.args.get("percent")):
                raise refused("FETCH takes a number of rows.", node)
            return self._number(node.args.get("count"), "FETCH")
        found = self._count("limit")
        if found is not None and found > MAX_LIMIT:
            problem = "Error: The query limit has been exceeded."
            hint = f"LIMIT may be {MAX_LIMIT}; ask for what follows with OFFSET."
            raise InvalidQuery(problem, hint=hint, limit=found, maximum=MAX_LIMIT, **place(node))
        return found

    def _count(self, key: str) -> int | None:
        node = self.tree.args.get(key)
        if node is None:
            return None
        return self._number(node.args.get("expression"), key.upper())

    def _number(self, node: Any, clause: str) -> int | None:
        if isinstance(node, exp.Null) or (isinstance(node, exp.Var) and node.name.upper() == "ALL"):
            return None
        if not isinstance(node, exp.Literal) or node.is_string or not node.name.isdigit() or len(node.name) > 15:
            raise refused(f"{clause} takes a whole number.", node if isinstance(node, exp.Expr) else self.tree)
        return int(node.name)


def _star(node: exp.Expr) -> bool:
    return isinstance(node, exp.Column) and isinstance(node.this, exp.Star)


def _name(term: Term) -> str:
    """What a column without an alias is called."""
    if term.granularity is not None:
        return f"date_trunc({term.granularity}, {term.full})"
    return f"{term.aggregate.replace(' ', '_')}({term.full})" if term.aggregate else term.full.partition(".")[2]
