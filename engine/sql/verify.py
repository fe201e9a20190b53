"""The last look before SQL leaves: every read of a protected table stands behind the caller's row filter.

It knows nothing of how the SQL was made: from the tree alone it finds for which cube a table is read (by the aliases
around it), works out that cube's row filter once more, and looks for it in the WHERE over that alias. What is text
already must be, from its first word to its last, such a read as it works it out itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache, partial
from typing import Any

from sqlglot import exp
from sqlglot.dialects.dialect import Dialect

from core.errors import AccessDenied
from engine.model.catalog import Catalog, fresh
from engine.model.columns import type_of
from engine.model.kept import Kept, Same
from engine.model.markers import SCAN, identifier, to_fill
from engine.plan.nodes import Part, Plan, Series, StagePart
from engine.query.bound import BoundTree
from engine.sql.filters import Predicates
from engine.sql.parameters import Parameters, Recipe
from engine.sql.render import Rendered, Renderer

_known: Kept[None, Mapping[str, tuple[str, ...]]] = Kept(1)
_aliases: Kept[None, Mapping[str, list[str]]] = Kept(1)
Key = tuple[Any, ...]
_CLICKHOUSE = Dialect.get_or_raise("clickhouse")
_VALUES = {str, bool, int, type(None), exp.DType}
_LEAVES = frozenset({exp.Column, exp.Identifier, exp.Literal, exp.Star, exp.TableAlias, exp.DataType} | _VALUES)
_PARAMETER = re.compile(r"\{(\w+): ")
_filters: Kept[Key, Key] = Kept(2000)
_texts: Kept[Key, Key | None] = Kept(2000)


def verify(rendered: Rendered) -> Rendered:
    """The same statement; AccessDenied if it reads a protected table without the filter of the cube it is read for."""
    protected = _protected(rendered.plan.query.catalog)
    if protected:
        _check_required(rendered.plan, rendered.plan.query.required)
        look = _Look(rendered)
        tables, texts = _reads(rendered.tree)
        for scan in tables:
            cubes = protected.get(scan.name, ())
            if any(look.limits(cube) for cube in cubes) and not look.is_guarded(scan, cubes):
                problem = f"The plan reads '{scan.name}' without the row filter that you need."
                raise AccessDenied(problem, table=scan.name)
        for node in texts:
            look.check_text(node)
    return rendered


class _Look:
    """The filters that the caller needs, worked out once a cube."""

    def __init__(self, rendered: Rendered) -> None:
        self.plan = rendered.plan
        self.catalog = rendered.plan.query.catalog
        self.recipes = {recipe.name: recipe for recipe in rendered.recipes}
        self._keys: dict[str, Key | None] = {}
        self._cubes = rendered.cubes
        self._scans: set[Key] | None = None
        self._rows: dict[str, BoundTree | AccessDenied | None] = {}

    def rows(self, cube: str) -> BoundTree | AccessDenied | None:
        """The caller's row filter of a cube; None if he may read all its rows, the error if none."""
        if cube not in self._rows:
            try:
                self._rows[cube] = self.plan.query.rows.of(cube)
            except AccessDenied as error:
                self._rows[cube] = error
        return self._rows[cube]

    def limits(self, cube: str) -> bool:
        """Whether the caller may read only some rows of the cube, or none."""
        return self.rows(cube) is not None

    def is_guarded(self, scan: exp.Expr, cubes: tuple[str, ...]) -> bool:
        """Whether the scan belongs to a cube all of whose rows may be read, or stands behind the cube's filter."""
        node: exp.Expr = scan
        condition = node
        while node.parent is not None:
            select = node.parent
            if not isinstance(node, exp.And):
                condition = node  # of those that AND joins, the one in which the scan stands
            if isinstance(select, exp.Where) and self._is_filter(condition, select.parent):
                return True
            if isinstance(select, exp.From | exp.Join):
                alias = _alias(node)
                for cube in cubes:
                    if self.catalog.cubes[cube].alias == alias and self._allows(cube, select.parent):
                        return True
            node = select
        return False

    def check_text(self, node: exp.Var) -> None:
        """AccessDenied if the node is SQL as text and not the SELECT of a cube's rows behind its filter."""
        if not isinstance(node.parent, exp.Subquery) or not self._is_scan(_key_of(node, self.recipes)):
            raise AccessDenied("The plan has text in it without the row filter that you need.")

    def _is_scan(self, key: Key) -> bool:
        if self._scans is None:
            self._scans = {scan for cube in self._cubes if (scan := self._scan(cube)) is not None}
        return key in self._scans or any(self._scan(cube) == key for cube in self.catalog.cubes)

    def _scan(self, cube: str) -> Key | None:
        rows = self.rows(cube)
        if rows is None or isinstance(rows, AccessDenied):
            return None
        key = self.plan.query.timezone, cube, Same(rows)
        return _texts.get(self.catalog, key, lambda: self._spelled(cube, rows))

    def _spelled(self, cube: str, rows: BoundTree) -> Key | None:
        """The SELECT as it must be; None if its table is more than the model's plain SQL."""
        owner, table = self.catalog.cubes[cube], self.catalog.expanded[f"{cube}#table"].tree
        if table is None or any(map(to_fill, table.walk())):
            return None
        source: exp.Expr = fresh(table)
        source.set("alias", exp.TableAlias(this=identifier(owner.alias)))
        if owner.final and isinstance(source, exp.Table):
            source = exp.Final(this=source)
        predicate, recipes = self._predicate(rows)
        select = exp.Select(expressions=[exp.Star()], from_=exp.From(this=source), where=exp.Where(this=predicate))
        return _key_of(select, recipes)

    def _allows(self, cube: str, select: exp.Expr | None) -> bool:
        if not self.limits(cube):
            return True
        where = select.args.get("where") if isinstance(select, exp.Select) else None
        wanted = self._key(cube)
        if where is None or wanted is None:
            return False
        return any(self._same(each, wanted) for each in _all(where.this))

    def _is_filter(self, condition: exp.Expr, select: exp.Expr | None) -> bool:
        """Whether the condition is the row filter of a cube that the SELECT reads; its SQL is the model's own."""
        sources = _sources(select) if isinstance(select, exp.Select) else iter(())
        wanted = (self._key(name) for alias in sources for name in _by_alias(self.catalog).get(alias, ()))
        return any(key is not None and self._same(condition, key) for key in wanted)

    def _same(self, found: exp.Expr, wanted: Key) -> bool:
        return not isinstance(found, exp.Var) and _key_of(found, self.recipes) == wanted

    def _key(self, cube: str) -> Key | None:
        if cube not in self._keys:
            rows = self.rows(cube)
            self._keys[cube] = None if rows is None or isinstance(rows, AccessDenied) else self._rendered(rows)
        return self._keys[cube]

    def _rendered(self, rows: BoundTree) -> Key:
        key = self.plan.query.timezone, Same(rows)
        return _filters.get(self.catalog, key, lambda: _key_of(*self._predicate(rows)))

    def _predicate(self, rows: BoundTree) -> tuple[exp.Expr, Mapping[str, Recipe]]:
        """The row filter, worked out apart from the statement, and its parameters."""
        parameters = Parameters()
        apart = Renderer(self.plan, parameters, [])
        kinds = partial(type_of, self.catalog)
        tree = Predicates(parameters, apart.zone, apart.sources.own_value, kinds=kinds).tree(rows)
        return tree, {recipe.name: recipe for recipe in parameters.recipes}


def _key_of(node: exp.Expr, recipes: Mapping[str, Recipe]) -> Key:
    """What a predicate says, whatever its parameters are called."""
    text = node.name if isinstance(node, exp.Var) else _CLICKHOUSE.generate(node)
    names, pieces = _parted(text)
    values = [(recipes[name].slot, recipes[name].constant) if name in recipes else name for name in names]
    return pieces, tuple(values)


@lru_cache(maxsize=4096)
def _parted(text: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The names of the parameters in a text, and what stands around them."""
    pieces = _PARAMETER.split(text)
    return tuple(pieces[1::2]), tuple(pieces[::2])


def _reads(tree: exp.Expr) -> tuple[list[exp.Table], list[exp.Var]]:
    """Every table, and every SQL that is text already; nothing of the kind can lie in a leaf."""
    tables: list[exp.Table] = []
    texts: list[exp.Var] = []
    waiting: list[Any] = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, exp.Table):
            tables.append(node)
        elif isinstance(node, exp.Var) and _is_text(node):
            texts.append(node)
        for value in node.args.values():
            kind = type(value)
            if kind is list:
                waiting += [each for each in value if type(each) not in _LEAVES]
            elif kind not in _LEAVES:
                waiting.append(value)
    return tables, texts


def _is_text(node: exp.Expr) -> bool:
    """Whether the node is SQL that is text already; a single word is a unit or the like."""
    return isinstance(node, exp.Var) and not node.name.isidentifier()


def _all(condition: exp.Expr) -> Iterator[exp.Expr]:
    """The conditions that AND joins."""
    if isinstance(condition, exp.And):
        yield from _all(condition.left)
        yield from _all(condition.right)
    else:
        yield condition


def _alias(source: exp.Expr) -> str:
    return (source.this if isinstance(source, exp.Final) else source).alias


def _by_alias(catalog: Catalog) -> Mapping[str, list[str]]:
    """The cubes by their aliases."""

    def make() -> Mapping[str, list[str]]:
        found: dict[str, list[str]] = {}
        for name, cube in catalog.cubes.items():
            found.setdefault(cube.alias, []).append(name)
        return found

    return _aliases.get(catalog, None, make)


def _sources(select: exp.Select) -> Iterator[str]:
    source = select.args.get("from_")
    for each in ([source] if source is not None else []) + (select.args.get("joins") or []):
        yield _alias(each.this)


def _check_required(plan: Plan, required: tuple[BoundTree, ...]) -> None:
    """Every part of the answer obeys the policies of the views that were asked."""
    for part in _parts(plan) if required else ():
        if any(tree not in part.where for tree in required):
            raise AccessDenied("The plan reads rows without the restriction of the view that you asked.")


def _parts(plan: Plan) -> Iterator[Part]:
    for part in plan.parts:
        if isinstance(part, StagePart):
            yield from _parts(part.plan)
            continue
        rows = part.part if isinstance(part, Series) else part
        yield rows
        for tree in (rows.tree, rows.fact_tree):
            for sub in tree.sub_queries if tree is not None else ():
                yield from _parts(sub.plan) if sub.plan is not None else ()
    for fixed in plan.fixed:
        yield from _parts(fixed.plan)


def _protected(catalog: Catalog) -> Mapping[str, tuple[str, ...]]:
    """The tables which cubes with policies read, each with all the cubes that read it."""

    def make() -> Mapping[str, tuple[str, ...]]:
        found: dict[str, list[str]] = {}
        for cube in catalog.cubes.values():
            tree = catalog.expanded[f"{cube.name}#table"].tree
            for table in tree.find_all(exp.Table) if tree is not None else ():
                if not table.name.startswith(SCAN) and cube.name not in found.setdefault(table.name, []):
                    found[table.name].append(cube.name)
        limited = {cube.name for cube in catalog.cubes.values() if cube.policies or cube.tenant is not None}
        return {table: tuple(cubes) for table, cubes in found.items() if limited & set(cubes)}

    return _known.get(catalog, None, make)
