"""Row filters as text: written once for callers of one shape, put into each statement with its own parameters.

A filter whose SQL depends on the question (its filters, other cubes' rows) stays a tree.
"""

from __future__ import annotations

import re
from collections.abc import Hashable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlglot import exp
from sqlglot.dialects.dialect import Dialect

from engine.model.kept import Kept, Same
from engine.model.markers import FILTERED, SCAN, SHOWN
from engine.query.bound import BoundTree, tree_names
from engine.sql.parameters import Parameters, Recipe

if TYPE_CHECKING:
    from engine.sql.render import Renderer

_CLICKHOUSE = Dialect.get_or_raise("clickhouse")
_SLOT = re.compile(r"\{p(\d+): ")
_KEPT = 2000


@dataclass(frozen=True, slots=True, eq=False)
class _Guard:
    """The text around the names of parameters, none if it stays a tree; `rows` keeps its identity while we know it."""

    rows: BoundTree
    pieces: tuple[str, ...]
    recipes: tuple[Recipe, ...]


_known: Kept[Hashable, _Guard] = Kept(_KEPT)


def guard(renderer: Renderer, rows: BoundTree) -> exp.Expr:
    """The predicate of a row filter; as text (a `Var`) where it is the same for every question."""
    query = renderer.plan.query
    key = query.timezone, Same(rows)  # made for callers of one shape, so their attributes are the same
    found = _known.get(renderer.catalog, key, lambda: _written(renderer, rows))
    if not found.pieces:
        return renderer.sources.predicate(rows)
    return exp.Var(this=_filled(found, renderer.parameters))


def _written(renderer: Renderer, rows: BoundTree) -> _Guard:
    as_tree = _Guard(rows, (), ())
    if any(_asks(renderer.catalog.expanded[name].tree) for name in tree_names(rows)):
        return as_tree
    own = Parameters()
    predicate = type(renderer)(renderer.plan, own, []).sources.predicate(rows)
    first, *pieces = _SLOT.split(_CLICKHOUSE.generate(predicate, copy=False))
    places = [int(number) for number in pieces[::2]]
    if sorted(places) != list(range(len(own.recipes))):  # a literal of the model looks like a parameter
        return as_tree
    return _Guard(rows, (first, *pieces[1::2]), tuple(own.recipes[place] for place in places))


def _filled(found: _Guard, parameters: Parameters) -> str:
    text = [found.pieces[0]]
    for recipe, piece in zip(found.recipes, found.pieces[1:], strict=True):
        name = f"p{len(parameters.recipes)}"
        parameters.recipes.append(Recipe(name, recipe.slot, recipe.constant, recipe.convert))
        text += "{", name, ": ", piece
    return "".join(text)


def _asks(tree: exp.Expr | None) -> bool:
    """Whether the SQL depends on what is asked."""
    for node in tree.walk() if tree is not None else ():
        if isinstance(node, exp.Anonymous) and node.name in (FILTERED, SHOWN):
            return True
        if isinstance(node, exp.Table) and node.name.startswith(SCAN):
            return True
    return False
