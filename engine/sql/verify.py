"""The last look before SQL leaves: every read of a protected table stands behind the caller's row filter."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from weakref import WeakKeyDictionary

from sqlglot import exp

from core.errors import AccessDenied
from engine.model.catalog import Catalog
from engine.query.bound import RowFilters
from engine.sql.render import Rendered

_known: WeakKeyDictionary[Catalog, Mapping[str, tuple[str, ...]]] = WeakKeyDictionary()


def verify(rendered: Rendered) -> Rendered:
    """The same statement; AccessDenied if it reads a protected table outside of every row filter.

    A table is protected if each cube over it limits this caller. Its reads must stand behind the filter of such a
    cube, or of the cube in whose own SELECT the table is named.
    """
    rows, protected = rendered.plan.query.rows, _protected(rendered.plan.query.catalog)
    guards = {guard for found in rendered.guards.values() for guard in found}
    for scan in rendered.tree.find_all(exp.Table) if protected else ():
        cubes = protected.get(scan.name, ())
        if cubes and all(_limits(rows, cube) for cube in cubes) and not guards & set(_conditions(scan)):
            raise AccessDenied(f"The plan reads '{scan.name}' without the row filter that you need.", table=scan.name)
    return rendered


def _limits(rows: RowFilters, cube: str) -> bool:
    """Whether the caller may read only some rows of the cube, or none."""
    try:
        return rows.of(cube) is not None
    except AccessDenied:
        return True


def _protected(catalog: Catalog) -> Mapping[str, tuple[str, ...]]:
    """The tables of cubes with policies, each with all the cubes over it."""
    if catalog not in _known:
        found: dict[str, tuple[str, ...]] = {}
        for cube in catalog.cubes.values():
            tree = catalog.expanded[f"{cube.name}#table"].tree
            if isinstance(tree, exp.Table):
                found[tree.name] = (*found.get(tree.name, ()), cube.name)
        limited = {table for table, cubes in found.items() if any(catalog.cubes[cube].policies for cube in cubes)}
        _known[catalog] = {table: found[table] for table in limited}
    return _known[catalog]


def _conditions(scan: exp.Table) -> Iterator[exp.Expr]:
    """The WHERE of every SELECT around a scan."""
    node: exp.Expr | None = scan
    while node is not None:
        where = node.args.get("where") if isinstance(node, exp.Select) else None
        if where is not None:
            yield where.this
        node = node.parent
