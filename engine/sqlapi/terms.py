"""Names, buckets of time and aggregates → members of the model, as far as the caller may ask for them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sqlglot import exp

from core.errors import EduError, UnknownMember, nearest
from engine.model.catalog import Catalog, Cube, Dimension, Measure, Member, Segment, View, ViewMember
from engine.model.terms import PREDEFINED
from engine.query.access import SecurityContext, may_ask
from engine.query.bind import find_member
from engine.run.annotation import member_type
from engine.run.blame import only_visible
from engine.sqlapi.reading import place, refused
from engine.sqlapi.sources import Sources, matching

COUNTED = frozenset({"count"})
_ANY = frozenset({"number"})
_MATCHING: Mapping[str, frozenset[str]] = {
    "count": COUNTED,
    "count distinct": frozenset({"count_distinct", "count_distinct_approx"}),
    "sum": frozenset({"sum", "count"}),
    "avg": frozenset({"avg"}),
    "min": frozenset({"min", "time"}),
    "max": frozenset({"max", "time"}),
}
"""Which types of measures an aggregate of SQL may stand for, as in Cube; a `number` may have any of them."""
_AGGREGATES: Mapping[type[exp.Expr], str] = {
    exp.Sum: "sum",
    exp.Avg: "avg",
    exp.Min: "min",
    exp.Max: "max",
    exp.Count: "count",
    exp.ApproxDistinct: "count distinct",
}
_BUCKETS = (exp.TimestampTrunc, exp.DateTrunc)


@dataclass(frozen=True, slots=True)
class Term:
    """A member that the SQL names at `node`; a time may be cut to a granularity, a measure is aggregated or bare."""

    full: str
    member: Member
    node: exp.Expr
    granularity: str | None = None
    aggregate: str | None = None

    @property
    def column(self) -> str:
        """The column of the answer."""
        return f"{self.full}.{self.granularity}" if self.granularity else self.full

    @property
    def owner(self) -> str:
        """The cube or view that it is asked of."""
        return self.full.partition(".")[0]

    @property
    def is_measure(self) -> bool:
        """Whether it is made of many rows."""
        return isinstance(self.member, Measure)

    @property
    def type(self) -> str:
        """`number`, `string`, `time`, `boolean`, `geo`; empty for a segment."""
        return "" if isinstance(self.member, Segment) else member_type(self.member)


class Terms:
    """The members of one question's sources."""

    def __init__(self, catalog: Catalog, context: SecurityContext, sources: Sources) -> None:
        self.catalog = catalog
        self.context = context
        self.sources = sources
        self._known: dict[str, Member] = {}

    def read(self, node: exp.Expr) -> Term:
        """The member that an expression stands for; UnsupportedSql for any other expression."""
        node = node.unnest() if isinstance(node, exp.Paren) else node
        if isinstance(node, exp.Column):
            return self.named(node)
        if isinstance(node, _BUCKETS):
            return self._bucket(node)
        if isinstance(node, exp.Anonymous) and node.name.upper() == "MEASURE":
            return self._measure(node)
        for kind, name in _AGGREGATES.items():
            if isinstance(node, kind):
                return self._aggregate(node, name)
        raise refused(
            f"{_told(node)} is not understood: a question names members of cubes.",
            node,
            "Write a member, MEASURE(member), an aggregate of a measure or DATE_TRUNC('day', member).",
        )

    def named(self, node: exp.Column) -> Term:
        """The member that a name stands for; UnknownMember, HiddenMember, AccessDenied."""
        if not isinstance(node.this, exp.Identifier):
            raise refused("* stands alone: SELECT *, or COUNT(*).", node)
        full = self._full(node)
        if full is None:
            raise self._unknown(node)
        return Term(full, self._found(full, node), node)

    def has(self, node: exp.Column) -> bool:
        """Whether a name is one of a member."""
        return isinstance(node.this, exp.Identifier) and self._full(node) is not None

    def every(self, owner: Cube | View) -> Iterable[str]:
        """The dimensions and measures of a cube or view that the caller may see."""
        names = (f"{owner.name}.{name}" for name in (*owner.dimensions, *owner.measures))
        return (name for name in names if may_ask(self.catalog, self.context, name))

    def of(self, full: str, node: exp.Expr) -> Term:
        """The member of that full name."""
        return Term(full, self._found(full, node), node)

    def _full(self, node: exp.Column) -> str | None:
        table = node.args.get("table")
        owners = self.owners_of(table) if table is not None else list(self.sources.owners.values())
        quoted = bool(node.this.args.get("quoted"))
        found = [
            f"{owner.name}.{name}" for owner in owners if (name := matching(node.name, _names(owner), quoted=quoted))
        ]
        if len(found) > 1:
            problem = f"'{node.name[:100]}' is a member of several cubes."
            raise refused(problem, node, f"Write {' or '.join(found)}.")
        return found[0] if found else None

    def owners_of(self, table: exp.Identifier) -> list[Cube | View]:
        """The one cube or view of that alias; UnknownMember if FROM has none."""
        owner = self.sources.find(table)
        if owner is None:
            close = nearest(table.name[:100], list(self.sources.owners))
            hint = f"Did you mean {' or '.join(close)}?" if close else None
            problem = f"FROM has no '{table.name[:100]}'."
            raise UnknownMember(problem, hint=hint, nearest=close, member=table.name[:100], **place(table))
        return [owner]

    def _found(self, full: str, node: exp.Expr) -> Member:
        if full not in self._known:
            try:
                self._known[full] = find_member(self.catalog, self.context, full)
            except EduError as error:
                error.details |= place(node)
                raise
        return self._known[full]

    def _unknown(self, node: exp.Column) -> UnknownMember:
        owners = self.owners_of(node.args["table"]) if node.args.get("table") else self.sources.owners.values()
        full = {f"{owner.name}.{name}" for owner in owners for name in _names(owner)}
        name = node.name[:100]
        close = list(dict.fromkeys(each for owner in owners for each in nearest(f"{owner.name}.{name}", sorted(full))))
        hint = f"Did you mean {' or '.join(close)}?" if close else None
        path = f"{next(iter(owners)).name}.{name}"
        problem = f"'{name}' not found for path '{path}'."
        error = UnknownMember(problem, hint=hint, nearest=close or None, member=path, **place(node))
        if close:
            only_visible(error, self.catalog, self.context)
        return error

    def _bucket(self, node: exp.Expr) -> Term:
        unit = node.args.get("unit")
        if not isinstance(unit, exp.Var | exp.Literal) or not isinstance(node.this, exp.Column):
            raise refused("DATE_TRUNC takes a granularity and a time.", node, "Write DATE_TRUNC('month', member).")
        term = self.named(node.this)
        if not isinstance(term.member, Dimension) or term.type != "time":
            raise refused(f"'{term.full}' is no time dimension.", node)
        own = [*PREDEFINED, *term.member.granularities]
        grain = matching(unit.name, own, quoted=False) or unit.name.lower()
        return Term(term.full, term.member, node, granularity=grain)

    def _measure(self, node: exp.Anonymous) -> Term:
        arguments = node.expressions
        if len(arguments) != 1 or not isinstance(arguments[0], exp.Column):
            raise refused("MEASURE takes the name of a measure.", node)
        term = self.named(arguments[0])
        if not term.is_measure:
            raise refused(f"'{term.full}' is no measure.", arguments[0], "MEASURE aggregates measures.")
        return Term(term.full, term.member, node, aggregate="measure")

    def _aggregate(self, node: exp.Expr, name: str) -> Term:
        inner = node.this
        if isinstance(inner, exp.Distinct):
            if name != "count" or len(inner.expressions) != 1:
                raise refused(f"{name.upper()}(DISTINCT …) is not understood.", node)
            name, inner = "count distinct", inner.expressions[0]
        if name == "count" and isinstance(inner, exp.Star | exp.Literal):
            return self._count(node)
        if not isinstance(inner, exp.Column):
            raise refused(f"{name.upper()} takes the name of a measure.", node)
        term = self.named(inner)
        if not isinstance(term.member, Measure):
            hint = self._counting(term) if name.startswith("count") else f"Name a measure of type {name}."
            raise refused(f"'{term.full}' is no measure: only measures are aggregated.", inner, hint)
        if term.member.type not in _MATCHING[name] | _ANY:
            problem = f"Measure aggregation type doesn't match: '{term.full}' is of type {term.member.type}."
            raise refused(problem, node, f"Write MEASURE({term.full}).")
        return Term(term.full, term.member, node, aggregate=name)

    def _count(self, node: exp.Expr) -> Term:
        """COUNT(*): the measure that counts the rows of the one cube."""
        owners = list(self.sources.owners.values())
        found = [
            name
            for name in (self.every(owners[0]) if len(owners) == 1 else ())
            if self._counts_rows(self.catalog.member(name))
        ]
        if not found or (isinstance(owners[0], View) and len(found) > 1):
            hint = (
                f"Write {' or '.join(f'MEASURE({name})' for name in found)}." if found else "Write MEASURE(a measure)."
            )
            raise refused("No measure, or more than one, counts these rows.", node, hint)
        return Term(found[0], self._found(found[0], node), node, aggregate="count")

    def _counts_rows(self, found: Member | ViewMember) -> bool:
        member = found.member if isinstance(found, ViewMember) else found
        if not isinstance(member, Measure) or member.type not in COUNTED:
            return False
        return not (member.sql or member.filters or member.window or member.stage or member.snapshot)

    def _counting(self, term: Term) -> str | None:
        owner = self.catalog.owner(term.owner)
        counting = [f"MEASURE({name})" for name in self.every(owner) if self._is_count(name)]
        return f"These count: {', '.join(counting[:5])}." if counting else None

    def _is_count(self, name: str) -> bool:
        member = self.catalog.primitive(name)
        return isinstance(member, Measure) and member.type.startswith("count")


def _names(owner: Cube | View) -> list[str]:
    return [*owner.measures, *owner.dimensions, *owner.segments]


def _told(node: exp.Expr) -> str:
    """What an expression is called in a refusal."""
    if isinstance(node, exp.Anonymous):
        return f"The function {node.name[:50]}"
    if isinstance(node, exp.Subquery | exp.Select):
        return "A subselect"
    if isinstance(node, exp.Window):
        return "A window (OVER)"
    if isinstance(node, exp.Literal | exp.Neg | exp.Boolean | exp.Null):
        return "A constant"
    return f"The function {node.sql_name()}" if isinstance(node, exp.Func) else f"{type(node).__name__.upper()}"
