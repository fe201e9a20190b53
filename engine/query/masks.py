"""Masked members of one question: whose own value the caller sees only in some rows, or in none."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from core.errors import AccessDenied
from engine.model.catalog import Catalog, Cube, Measure, View
from engine.query.access import NOTHING, Access
from engine.query.bound import BoundGroup, BoundSegment, BoundTree, tree_paths

ANYTHING = BoundGroup("and", ())
"""The condition which every row meets."""


def masks_of(access: Access, views: Iterable[str], *, cubes: bool) -> Mapping[str, BoundTree]:
    """The rows which show the own value of each masked member, by the full name of the cube's member.

    A view masks by its own policies; `cubes`: something was asked of cubes themselves, whose policies then count too.
    """
    catalog = access.catalog
    if not catalog.maskable:
        return {}
    found: dict[str, list[BoundTree]] = {}
    owners: list[Cube | View] = [catalog.views[name] for name in views]
    owners += catalog.cubes.values() if cubes else ()
    for owner in owners:
        for name, full in _maskable(catalog, owner):
            shown = access.shown(owner, name)
            if shown is not None:
                found.setdefault(full, []).append(shown)
    return {full: _all(trees) for full, trees in found.items()}


def _maskable(catalog: Catalog, owner: Cube | View) -> Iterable[tuple[str, str]]:
    if not any(policy.member_masking for policy in owner.policies):
        return ()
    if isinstance(owner, View):
        named = [(name, each.alias_member) for name, each in (*owner.dimensions.items(), *owner.measures.items())]
    else:
        named = [(name, f"{owner.name}.{name}") for name in (*owner.dimensions, *owner.measures)]
    return [(name, full) for name, full in named if full in catalog.maskable]


def _all(trees: list[BoundTree]) -> BoundTree:
    distinct = tuple(dict.fromkeys(trees))
    if NOTHING in distinct:
        return NOTHING
    return distinct[0] if len(distinct) == 1 else BoundGroup("and", distinct)


def reached(masks: Mapping[str, BoundTree], catalog: Catalog) -> tuple[BoundTree, ...]:
    """Conditions that are always true and bring in the cubes which decide, in other cubes' columns, what is shown."""
    other = (
        tree
        for full, tree in masks.items()
        if any(path[-1] != full.partition(".")[0] for path in tree_paths(catalog, tree))
    )
    return tuple(BoundGroup("or", (tree, ANYTHING)) for tree in dict.fromkeys(other))


def check_masks(masks: Mapping[str, BoundTree], where: Iterable[BoundTree]) -> None:
    """AccessDenied where rows are chosen by what a masked measure counts."""
    for tree in where:
        if isinstance(tree, BoundGroup):
            check_masks(masks, tree.filters)
        elif isinstance(tree, BoundSegment) and isinstance(tree.segment, Measure) and tree.segment.full_name in masks:
            name = tree.segment.full_name
            raise AccessDenied(f"'{name}' is masked for you; you cannot choose rows by it.", member=name)
