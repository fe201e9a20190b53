"""The logical plan: what is read, how it is joined, at which grain it is aggregated, how the parts are combined."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from sqlglot import exp

from engine.model.catalog import Measure, Relationship
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
    """A dimension of `cube` that is a measure per row: `plan` gives the key columns and the value."""

    cube: str
    dimension: str
    keys: tuple[str, ...]
    plan: Plan


@dataclass(frozen=True, slots=True, eq=False)
class Leaf:
    """One aggregate: of a measure, or (`raw`) an aggregate expression inside a formula."""

    name: str
    measure: Measure
    path: tuple[str, ...]
    tree: exp.Expr | None
    condition: exp.Expr | None
    raw: bool

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
    """

    tree: Tree
    leaves: tuple[Leaf, ...]
    where: tuple[BoundTree, ...]
    fact: str | None = None
    fact_key: bool = False
    fact_tree: Tree | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """Parts combined on the dimensions (each part fills its own leaves, UNION ALL + GROUP BY, NULL = NULL), then the
    formulas, the conditions on measures, order and limit. `formulas` maps a measure's full name to its expression
    over leaves, which stand in it as placeholders."""

    query: BoundQuery
    dimensions: tuple[BoundDimension, ...]
    parts: tuple[Part, ...]
    formulas: Mapping[str, exp.Expr]
    having: tuple[BoundTree, ...] = ()
    order: tuple[BoundOrder, ...] = ()
    ignored: Mapping[str, tuple[BoundTree, ...]] = field(default_factory=dict)

    @property
    def leaves(self) -> tuple[Leaf, ...]:
        """Every leaf of every part."""
        return tuple(leaf for part in self.parts for leaf in part.leaves)
