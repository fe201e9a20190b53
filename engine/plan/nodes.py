"""The logical plan: what is read, how it is joined, at which grain it is aggregated, how the parts are combined."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from sqlglot import exp

from engine.model.catalog import Measure, Relationship
from engine.model.stages import RollingWindow, Snapshot
from engine.model.terms import Interval
from engine.query.bound import BoundDimension, BoundOrder, BoundQuery, BoundTree


@dataclass(frozen=True, slots=True)
class Edge:
    """A join from `parent` to `child`. `restrict`: rows without a partner are dropped, for the child is protected
    and nothing on the way to it is."""

    parent: str
    child: str
    relationship: Relationship
    restrict: bool = False


@dataclass(frozen=True, slots=True)
class Tree:
    """Cubes joined from `root` on, parents before children, each row of the root kept (LEFT JOIN).

    root orders, edge orders → customers (many_to_one):
    order 1, customer 7          order 1, customer 7, region EAST
    order 2, customer 99    →    order 2, customer 99, region NULL
    """

    root: str
    edges: tuple[Edge, ...] = ()
    sub_queries: tuple[SubQuery, ...] = ()

    @property
    def cubes(self) -> tuple[str, ...]:
        """Every cube, the root first."""
        return (self.root, *(edge.child for edge in self.edges))

    def multiplies(self, cube: str) -> bool:
        """Whether a row of `cube` may stand in several rows of the tree."""
        below: dict[str, set[str]] = {}
        for edge in reversed(self.edges):
            below[edge.child] = {edge.child} | below.get(edge.child, set())
            below.setdefault(edge.parent, {edge.parent}).update(below[edge.child])
        away = (("many_to_one" if cube in below[edge.child] else "one_to_many", edge) for edge in self.edges)
        return any(edge.relationship == bad for bad, edge in away)


@dataclass(frozen=True, slots=True, eq=False)
class SubQuery:
    """A dimension whose value comes from a query of its own: `plan` gives the keys (dimensions by their full names)
    and the value. `exact` keys are never NULL. A switch has no plan, but `values`: each row stands once for each."""

    cube: str
    dimension: str
    keys: tuple[str, ...] = ()
    plan: Plan | None = None
    exact: bool = True
    values: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Scope:
    """Which rows a leaf counts, and under which time: conditions, shifts by the full name of the time dimension, and
    the window that rolls along the question's time."""

    where: tuple[BoundTree, ...]
    shifts: tuple[tuple[str, Shift], ...] = ()
    window: RollingWindow | None = None
    snapshot: Snapshot | None = None


@dataclass(frozen=True, slots=True)
class Shift:
    """Added to the time of a row; `calendar` names a shift that the time's own cube declares, instead."""

    interval: Interval | None
    calendar: int | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Leaf:
    """One aggregate: of a measure, or (`raw`) an aggregate expression inside a formula."""

    name: str
    measure: Measure
    path: tuple[str, ...]
    tree: exp.Expr | None
    condition: exp.Expr | None
    raw: bool
    scope: Scope

    @property
    def cube(self) -> str:
        """The cube whose rows are aggregated."""
        return self.measure.cube


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """Leaves of one cube (the fact) by the dimensions. With `fact_key`, the joins would multiply the fact: the
    distinct dimensions, key of the fact and values come first, then each value is aggregated once.

        tree: customers → orders              DISTINCT item, customer, credit      sum(credit)
        pen  1 50 | pen  1 50 | ink  2 70  →  pen 1 50 | ink 2 70               →  pen 50 | ink 70

    With `fact_tree` (aggregate expressions that cannot be cut from their columns), the fact is joined to its keys
    again instead: `tree` gives the keys, `fact_tree` begins with the fact.

    With `scope.snapshot`, only the rows at the last (first) moment of each bucket and entity are aggregated:

        last of each pupil, by month:   Jan 3 ann 4 | Jan 9 ann 6 | Jan 5 bob 1   →   Jan 6 + 1

    With `scope.window`, a row counts for every bucket of the series whose window holds it:

        trailing 2 days, by day:   Mon 5 | Wed 7   →   Mon 5 | Tue 5 | Wed 7 | Thu 7
    """

    tree: Tree
    leaves: tuple[Leaf, ...]
    where: tuple[BoundTree, ...]
    scope: Scope
    fact: str | None = None
    fact_key: bool = False
    fact_tree: Tree | None = None
    ignored: tuple[BoundTree, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Series:
    """Every bucket of the question's time, whether there are rows in it or not; without a range, from the first row
    to the last."""

    part: Part


@dataclass(frozen=True, slots=True, eq=False)
class StageLeaf:
    """An aggregate over the rows of an inner plan: `tree` over its formulas, which stand in it as placeholders."""

    name: str
    tree: exp.Expr


@dataclass(frozen=True, slots=True, eq=False)
class StagePart:
    """The rows of an inner plan of a finer grain, aggregated to this one; `places` says which of the inner plan's
    dimensions are this plan's.

        sum by student, avg over students:   1A ann 4 | 1A bob 6 | 1B eve 3   →   1A 5 | 1B 3
    """

    plan: Plan
    places: tuple[int, ...]
    leaves: tuple[StageLeaf, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Fixed:
    """Values of a coarser grain (formulas of `plan`), shown on every row that agrees on the dimensions `on`.

    by class 1A 5 | 1B 3, fixed at school   →   1A 5 of 8 | 1B 3 of 8
    """

    names: tuple[str, ...]
    plan: Plan
    on: tuple[int, ...]


AnyPart = Part | Series | StagePart


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """Parts combined on the dimensions (each part fills its own leaves, UNION ALL + GROUP BY, NULL = NULL), then the
    values of coarser grains, the windows over all groups (rank, aggregates of groups), the formulas, the conditions
    on measures, order and limit.

    `formulas` maps a measure's full name to its expression over placeholders: leaves, `fixed`, `windows` by name,
    and `@n` for the n-th dimension.
    """

    query: BoundQuery
    dimensions: tuple[BoundDimension, ...]
    parts: tuple[AnyPart, ...]
    formulas: Mapping[str, exp.Expr]
    fixed: tuple[Fixed, ...] = ()
    windows: Mapping[str, exp.Expr] = field(default_factory=dict)
    having: tuple[BoundTree, ...] = ()
    order: tuple[BoundOrder, ...] = ()

    @property
    def layered(self) -> bool:
        """Whether groups are looked at together after they were made, so that they need a layer of their own."""
        return bool(self.fixed or self.windows)
