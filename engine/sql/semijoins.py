"""Conditions on joined cubes answered at the root, before anything is joined:

    LEFT JOIN schools AS s ON a.school_id = s.id    →    WHERE a.school_id IN (SELECT s.id FROM schools AS s
    WHERE s.name = 'North'                                                     WHERE s.name = 'North')

Rows are filtered while they are read, keys prune, and what nothing else reads is not joined. It holds where the join
multiplies nothing and the condition is never true for a row without a partner; AND and OR only ask what is true.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from sqlglot import exp

from engine.plan.nodes import Edge, Part, Tree
from engine.query.bound import Path, full_paths
from engine.sql.clauses import where

if TYPE_CHECKING:
    from engine.sql.render import Renderer

_SEMI = "semijoin"
_COMPARED = (exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE, exp.Like, exp.ILike)
_STRICT = (exp.Paren, exp.Neg, exp.Add, exp.Sub, exp.Mul, exp.Div, exp.Lower, exp.Upper)
_STRICT_CALLS = frozenset({"toString", "toTimeZone", "toDateTime64"})


def reads(tree: exp.Expr) -> tuple[set[str], bool]:
    """The aliases whose columns an expression reads, and whether there is a SELECT in it; semi-joins have their own."""
    owners: set[str] = set()
    queries = False
    for node in tree.walk(prune=_is_semi):
        if type(node) is exp.Column:
            owners.add(node.table)
        elif isinstance(node, exp.Query) and not _is_semi(node):
            queries = True
    return owners, queries


def owners(tree: exp.Expr) -> set[str]:
    """The aliases whose columns an expression reads."""
    return {tree.table} if type(tree) is exp.Column else reads(tree)[0]


def has_query(tree: exp.Expr) -> bool:
    """Whether there is a SELECT in the expression that is not of a semi-join."""
    return reads(tree)[1]


def narrowed(renderer: Renderer, part: Part, conditions: Sequence[exp.Expr]) -> tuple[Tree, list[exp.Expr]]:
    """The joins that the part still needs, and its conditions with semi-joins in them."""
    work = _Semijoins(renderer, part.tree)
    if not conditions or not work.partners or part.scope.snapshot is not None:
        return part.tree, list(conditions)
    found = [work.answered(condition) for condition in conditions]
    return (_needed(renderer, part, found) if work.made else part.tree), found


class _Semijoins:
    """Answers conditions over the cubes joined to the root of one tree; `partners` joins each directly, by alias."""

    def __init__(self, renderer: Renderer, tree: Tree) -> None:
        self.renderer = renderer
        self.tree = tree
        self.made = False
        cubes = renderer.catalog.cubes
        self.root = cubes[tree.root].alias
        self.partners: dict[str, tuple[Edge, ...]] = {}
        if renderer.sources.shifts_calendar():
            return
        chains: dict[str, tuple[Edge, ...]] = {tree.root: ()}
        for edge in tree.edges:
            if edge.parent in chains and self._simple(edge, chains[edge.parent]):
                chains[edge.child] = (*chains[edge.parent], edge)
                self.partners[cubes[edge.child].alias] = chains[edge.child]

    def _simple(self, edge: Edge, chain: tuple[Edge, ...]) -> bool:
        """Whether a join multiplies nothing and reads only its own two cubes (the first one: see `_match`)."""
        if edge.relationship == "one_to_many":
            return False
        spelled = self.renderer.catalog.expanded[f"{edge.parent}>{edge.child}"]
        if not chain:
            return True
        return not spelled.sub_queries and all(way[-1] in (edge.parent, edge.child) for way in spelled.paths)

    def answered(self, condition: exp.Expr) -> exp.Expr:
        """The condition with its largest possible parts as semi-joins."""
        reads = owners(condition)
        if self.root not in reads and (found := self._semijoin(condition, reads)) is not None:
            return found
        if isinstance(condition, exp.Paren | exp.And | exp.Or) and reads - {self.root}:
            for key in ("this", "expression"):
                if condition.args.get(key) is not None:
                    condition.set(key, self.answered(condition.args[key]))
        return condition

    def _semijoin(self, condition: exp.Expr, reads: set[str]) -> exp.Expr | None:
        chains = [self.partners.get(alias, ()) for alias in reads]
        if not chains or len({chain[:1] for chain in chains}) > 1 or not chains[0]:
            return None
        match = self._match(chains[0][0])
        if match is None or not _rejects_null(condition) or has_query(condition):
            return None
        self.made = True
        ours, theirs = match
        return exp.In(this=ours, query=self._select(theirs, condition, chains))

    def _match(self, edge: Edge) -> tuple[exp.Expr, exp.Expr] | None:
        """Both sides of a join on one equality: the root's and the other cube's."""
        on = self.renderer.sources.own(f"{edge.parent}>{edge.child}").unnest()
        if not isinstance(on, exp.EQ) or has_query(on):
            return None
        sides = {frozenset(owners(side)): side for side in (on.this, on.expression)}
        ours = sides.get(frozenset({self.root}))
        theirs = sides.get(frozenset({self.renderer.catalog.cubes[edge.child].alias}))
        return (ours, theirs) if ours is not None and theirs is not None else None

    def _select(self, key: exp.Expr, condition: exp.Expr, chains: Iterable[tuple[Edge, ...]]) -> exp.Subquery:
        first, *more = dict.fromkeys(edge for chain in chains for edge in chain)
        select = self.renderer.sources.joined(Tree(first.child, tuple(more)))
        select.set("expressions", [key])
        found = exp.Subquery(this=where(select, [condition]))
        found.meta[_SEMI] = True
        return found


def _needed(renderer: Renderer, part: Part, conditions: Iterable[exp.Expr]) -> Tree:
    """The tree without cubes that nothing reads any more."""
    catalog, tree = renderer.catalog, part.tree
    cubes = {cube for path in _paths(renderer, part) for cube in path}
    reads = {alias for condition in conditions for alias in owners(condition)}
    cubes |= {cube for cube in tree.cubes if catalog.cubes[cube].alias in reads}
    cubes |= {sub.cube for sub in tree.sub_queries}
    cubes |= {key.partition(".")[0] for sub in tree.sub_queries for key in sub.keys}
    kept: list[Edge] = []
    for edge in reversed(tree.edges):
        if edge.child in cubes or edge.restrict or edge.relationship == "one_to_many":
            kept.append(edge)
            cubes.add(edge.parent)
            cubes |= {cube for path in catalog.expanded[f"{edge.parent}>{edge.child}"].paths for cube in path}
    return replace(tree, edges=tuple(reversed(kept)))


def _paths(renderer: Renderer, part: Part) -> Iterator[Path]:
    """The cubes that dimensions, measures and the window's time read."""
    catalog, query = renderer.catalog, renderer.plan.query
    for each in renderer.plan.dimensions:
        yield from full_paths(catalog, each.path, each.dimension.full_name)
    for leaf in part.leaves:
        yield from full_paths(catalog, leaf.path, leaf.measure.full_name)
    if part.scope.window is not None and query.time is not None:
        yield from full_paths(catalog, query.time.path, query.time.dimension.full_name)
    if part.fact is not None:
        yield (part.fact,)


def _rejects_null(tree: exp.Expr) -> bool:
    """Whether the condition is surely not true where every column in it is NULL."""
    if isinstance(tree, exp.Paren):
        return _rejects_null(tree.this)
    if isinstance(tree, exp.And):
        return _rejects_null(tree.this) or _rejects_null(tree.expression)
    if isinstance(tree, exp.Or):
        return _rejects_null(tree.this) and _rejects_null(tree.expression)
    if isinstance(tree, _COMPARED):
        return _is_strict(tree.this) or _is_strict(tree.expression)
    if isinstance(tree, exp.In):
        return tree.args.get("query") is None and _is_strict(tree.this)
    if isinstance(tree, exp.Not):
        inner = tree.this.unnest()
        if isinstance(inner, exp.Is):
            return isinstance(inner.expression, exp.Null) and _is_strict(inner.this)
        return isinstance(inner, _COMPARED) and _rejects_null(inner)
    return _is_strict(tree)


def _is_strict(tree: exp.Expr) -> bool:
    """Whether the expression is NULL where every column in it is."""
    if isinstance(tree, exp.Column):
        return True
    if isinstance(tree, exp.If):  # if(x IS NULL, NULL, …), with which a model tells that there is no row
        test = tree.this.unnest()
        absent = isinstance(test, exp.Is) and isinstance(test.expression, exp.Null) and _is_strict(test.this)
        return absent and isinstance(tree.args.get("true"), exp.Null)
    if isinstance(tree, exp.Anonymous):
        return tree.name in _STRICT_CALLS and bool(tree.expressions) and _is_strict(tree.expressions[0])
    return isinstance(tree, _STRICT) and any(_is_strict(child) for child in tree.iter_expressions())


def _is_semi(node: exp.Expr) -> bool:
    return bool(node._meta and node.meta.get(_SEMI))
