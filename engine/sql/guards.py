"""A cube's rows behind its row filter, as text: written once for callers of one shape, and put into each statement
with its own parameters.

What depends on the question (its filters, other cubes' rows) stays a tree.
"""

from __future__ import annotations

import re
from collections.abc import Hashable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlglot import exp
from sqlglot.dialects.dialect import Dialect

from engine.model.kept import Kept, Same
from engine.model.markers import FILTERED, SCAN, SHOWN, to_fill
from engine.query.bound import BoundTree, tree_names
from engine.sql.parameters import Parameters, Recipe

if TYPE_CHECKING:
    from engine.sql.render import Renderer

_CLICKHOUSE = Dialect.get_or_raise("clickhouse")
_SLOT = re.compile(r"\{p(\d+): ")
_KEPT = 2000


@dataclass(frozen=True, slots=True, eq=False)
class _Scan:
    """The text around the names of parameters; none if it stays a tree."""

    pieces: tuple[str, ...]
    recipes: tuple[Recipe, ...]


_TREE = _Scan((), ())
_known: Kept[Hashable, _Scan] = Kept(_KEPT)


def guarded(renderer: Renderer, cube: str, rows: BoundTree) -> exp.Expr:
    """`SELECT *` of the rows that the caller may read; as text (a `Var`) where it is the same for every question."""
    key = renderer.zone, cube, Same(rows)  # made for callers of one shape, so their attributes are the same
    found = _known.get(renderer.catalog, key, lambda: _written(renderer, cube, rows))
    return exp.Var(this=_filled(found, renderer.parameters)) if found.pieces else _select(renderer, cube, rows)


def _select(renderer: Renderer, cube: str, rows: BoundTree) -> exp.Select:
    sources = renderer.sources
    predicate, table = sources.predicate(rows), sources.table(cube)
    return exp.Select(expressions=[exp.Star()], from_=exp.From(this=table), where=exp.Where(this=predicate))


def _written(renderer: Renderer, cube: str, rows: BoundTree) -> _Scan:
    expanded = renderer.catalog.expanded
    table = expanded[f"{cube}#table"].tree
    if table is None or any(map(to_fill, table.walk())) or any(_asks(expanded[name].tree) for name in tree_names(rows)):
        return _TREE
    own = Parameters()
    select = _select(type(renderer)(renderer.plan, own, []), cube, rows)
    first, *pieces = _SLOT.split(_CLICKHOUSE.generate(select, copy=False))
    places = [int(number) for number in pieces[::2]]
    if sorted(places) != list(range(len(own.recipes))):  # a literal of the model looks like a parameter
        return _TREE
    return _Scan((first, *pieces[1::2]), tuple(own.recipes[place] for place in places))


def _filled(found: _Scan, parameters: Parameters) -> str:
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
