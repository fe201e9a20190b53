"""Aggregate before the joins: the fact is read once by its foreign keys, then a few rows are joined and summed up.

GROUP BY school.name over ten million answers joins ten million rows; by school_id it joins a hundred:

    SELECT s.name, count(*) FROM answers AS a       SELECT s.name, coalesce(sum(a.a0), 0)
    LEFT JOIN schools AS s ON a.school_id = s.id →  FROM (SELECT a.school_id AS k0, count(*) AS a0
    WHERE a.attempt = 1                                   FROM answers AS a WHERE a.attempt = 1 GROUP BY k0) AS a
    GROUP BY s.name                                 LEFT JOIN schools AS s ON a.k0 = s.id GROUP BY s.name

Eager aggregation: W. P. Yan, P.-Å. Larson, "Eager Aggregation and Lazy Aggregation", VLDB 1995.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from sqlglot import exp

from engine.model.catalog import fresh
from engine.plan.nodes import Part, Tree
from engine.query.bound import BoundDimension
from engine.sql.cells import MARK
from engine.sql.clauses import Body, column, from_, named, where
from engine.sql.partials import Partials
from engine.sql.semijoins import reads

if TYPE_CHECKING:
    from engine.sql.render import Renderer

MAX_JOIN_KEYS = 2
"""More foreign keys together are often as many as there are rows; then the work would be done twice."""
MAX_OTHER_KEYS = 3
_FINE = ("second", "minute")
_HOUR_MS = 3_600_000


def aggregated_early(renderer: Renderer, part: Part, source: exp.Select, natives: Sequence[exp.Expr]) -> Body | None:
    """The body of a part that aggregates its fact before the joins; None where that is not possible or no gain.

    `source` (FROM, JOIN, WHERE) and `natives` are those of the plain body; they are left as they were where it is None.
    """
    if not _worth_it(renderer, part, natives):
        return None
    alias = renderer.catalog.cubes[part.tree.root].alias
    solo = replace(part, tree=Tree(part.tree.root), fact_key=False)
    aggregates = {leaf.name: renderer.aggregates.of(leaf, solo) for leaf in part.leaves}
    shared = part.fact_key or part.tree.multiplies(part.tree.root)
    partials = Partials(alias, aggregates.values(), shared=shared)
    values = {name: partials.of(value) for name, value in aggregates.items()}
    work = Split(alias, source)
    groups = [work.keyed(native) for native in natives]
    if partials.failed or work.failed or not are_few(renderer, part, work):
        return None
    outer = work.outer(partials.columns)
    found = {name: value for name, value in values.items() if value is not None}
    return _once(groups, work, partials, outer, found) if partials.shared else Body(groups, found, outer)


def _worth_it(renderer: Renderer, part: Part, natives: Sequence[exp.Expr]) -> bool:
    """Whether the part has one fact, at the root, with something joined to it or computed from a cell of it."""
    if not part.leaves or part.fact_tree is not None or renderer.plan.query.ungrouped:
        return False
    more = part.tree.edges or part.tree.sub_queries or any(_above_cell(native) for native in natives)
    return bool(more) and all(leaf.cube == part.tree.root for leaf in part.leaves)


def _above_cell(tree: exp.Expr) -> bool:
    return any(node is not tree and node.meta.get(MARK) for node in tree.walk() if node._meta)


def are_few(renderer: Renderer, part: Part, work: Split) -> bool:
    """Whether the keys are likely far fewer than the rows: not the fact's own key, no moments, few altogether. Without
    any key, no rows would still make a group."""
    if not work.keys:
        return False
    primary = [renderer.own(key.full_name) for key in renderer.catalog.cubes[part.tree.root].primary_key]
    if primary and all(map(work.has_key, primary)):
        return False
    if any(_is_fine(each) for each in renderer.plan.dimensions if each.dimension.cube == part.tree.root):
        return False
    return work.join_keys <= MAX_JOIN_KEYS and len(work.keys) - work.join_keys <= MAX_OTHER_KEYS


def _is_fine(each: BoundDimension) -> bool:
    if each.dimension.type != "time":
        return False
    if each.custom is not None and each.custom.interval is not None:
        return not each.custom.interval.months and each.custom.interval.milliseconds < _HOUR_MS
    return each.granularity is None or each.granularity in _FINE


@dataclass(slots=True)
class Split:
    """A FROM … WHERE cut in two: what needs only the fact goes inside, the rest outside looks at keys `k0`, `k1` …

    The source is left as it was until `outer` takes it apart.
    """

    alias: str
    source: exp.Select
    keys: list[exp.Expr] = field(default_factory=list)
    join_keys: int = 0
    failed: bool = False
    inside: list[exp.Expr] = field(default_factory=list)
    outside: list[exp.Expr] = field(default_factory=list)
    _joins: list[tuple[exp.Join, exp.Expr]] = field(default_factory=list)
    _places: dict[object, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for join in self.source.args.get("joins") or ():
            if join.args.get("on") is not None:
                self._joins.append((join, self.keyed(join.args["on"])))
        self.join_keys = len(self.keys)
        where = self.source.args.get("where")
        for condition in _conjuncts(where.this) if where is not None else ():
            owners, queries = reads(condition)
            if owners <= {self.alias} and not queries:
                self.inside.append(condition)
            else:
                self.outside.append(self.keyed(condition))

    def keyed(self, tree: exp.Expr) -> exp.Expr:
        """A copy of the expression with its largest parts over the fact alone replaced by keys."""
        if type(tree) is exp.Column:
            return self._key(tree) if tree.table == self.alias else fresh(tree)
        owners, queries = reads(tree)
        self.failed = self.failed or queries
        if self.alias not in owners:
            return tree.copy()
        if len(owners) == 1 and not _above_cell(tree):
            return self._key(tree)
        made = type(tree)(**{key: self._argument(value) for key, value in tree.args.items()})
        if tree._meta:
            made.meta.update(tree.meta)
        return made

    def _argument(self, value: object) -> object:
        if isinstance(value, list):
            return [self._argument(each) for each in value]
        return self.keyed(value) if isinstance(value, exp.Expr) else value

    def has_key(self, tree: exp.Expr) -> bool:
        """Whether the expression is one of the keys."""
        return _identity(tree) in self._places

    def _key(self, tree: exp.Expr) -> exp.Column:
        place = self._places.setdefault(_identity(tree), len(self.keys))
        if place == len(self.keys):
            self.keys.append(tree)
        return column(f"k{place}", self.alias)

    def outer(self, columns: Mapping[str, exp.Expr]) -> exp.Select:
        """`FROM (the fact by its keys) AS fact JOIN … WHERE …`."""
        group = [fresh(key) for key in self.keys]
        outputs = [named(key, f"k{index}") for index, key in enumerate(self.keys)]
        outputs += [named(value, name) for name, value in columns.items()]
        inner = exp.Select(expressions=outputs, from_=exp.From(this=self.source.args["from_"].this))
        where(inner, self.inside)
        if group:
            inner.set("group", exp.Group(expressions=group))
        for join, on in self._joins:
            join.set("on", on)
        outer = from_(inner, self.alias)
        outer.set("joins", self.source.args.get("joins") or [])
        where(outer, self.outside)
        return outer


def _identity(tree: exp.Expr) -> object:
    """What equal expressions have in common; for a plain column, cheaper than its hash."""
    return (tree.table, tree.name) if type(tree) is exp.Column else tree


def _once(
    groups: Sequence[exp.Expr], work: Split, partials: Partials, outer: exp.Select, values: Mapping[str, exp.Expr]
) -> Body:
    """Where joins multiply the fact: each of its keys once a group."""
    keys = [column(f"k{index}", work.alias) for index in range(len(work.keys))]
    outputs = [named(group.copy(), f"d{index}") for index, group in enumerate(groups)]
    outputs += [named(key.copy(), f"k{index}") for index, key in enumerate(keys)]
    outputs += [named(partials.carried(name), name) for name in partials.columns]
    outer.set("expressions", outputs)
    outer.set("group", exp.Group(expressions=[*(group.copy() for group in groups), *keys]))
    natives: list[exp.Expr] = [column(f"d{index}", work.alias) for index in range(len(groups))]
    return Body(natives, dict(values), from_(outer, work.alias))


def _conjuncts(tree: exp.Expr) -> Iterable[exp.Expr]:
    return tree.flatten(unnest=False) if isinstance(tree, exp.And) else (tree,)
