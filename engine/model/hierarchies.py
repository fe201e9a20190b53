"""Hierarchies: dimensions from coarse to fine, of a cube or a view; for people only."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from core.errors import nearest
from engine.model.catalog import Hierarchy, ViewMember
from engine.model.schema import Reader, titled


def read_hierarchy(reader: Reader, owner: str) -> Hierarchy:
    """A hierarchy; a level without a cube is one of the owner's own."""
    name = reader.name()
    levels = [level.replace("CUBE.", "").strip("{}") for level in reader.words("levels")]
    if not levels:
        reader.wrong("a hierarchy needs levels.")
    full = tuple(level if "." in level else f"{owner}.{level}" for level in levels)
    title = reader.text("title") or titled(name)
    return Hierarchy(name, title, full, reader.flag("public", True), reader.source())


def own_hierarchies(reader: Reader, view: str, dimensions: Mapping[str, ViewMember]) -> dict[str, Hierarchy]:
    """The hierarchies which a view declares itself, over its own dimensions."""
    found: dict[str, Hierarchy] = {}
    for child in reader.children("hierarchies", "hierarchy"):
        hierarchy = read_hierarchy(child, view)
        for level in hierarchy.levels:
            owner, _, name = level.rpartition(".")
            if owner != view or name not in dimensions:
                close = nearest(name, list(dimensions))
                hint = f"Did you mean '{close[0]}'?" if close else None
                child.wrong(f"the view has no dimension '{level.removeprefix(f'{view}.')}'.", "levels", hint=hint)
        found[hierarchy.name] = hierarchy
    return found


def shown_hierarchies(found: Mapping[str, Hierarchy], members: Mapping[str, ViewMember]) -> dict[str, Hierarchy]:
    """Hierarchies of cubes under the names that a view has for their levels; what it does not show is left out."""
    own: dict[str, str] = {}
    for member in members.values():
        own.setdefault(member.alias_member, member.full_name)
    shown = {name: replace(each, levels=tuple(_levels(each, own))) for name, each in found.items()}
    return {name: each for name, each in shown.items() if each.levels}


def _levels(hierarchy: Hierarchy, own: Mapping[str, str]) -> Iterator[str]:
    for level in hierarchy.levels:
        name = own.get(".".join(level.split(".")[-2:]))
        if name is not None:
            yield name
