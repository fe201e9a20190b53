"""What there is to ask: the catalog in Cube's form, reduced to what the caller may see."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, cast

from api.queries.definitions import may_see_definitions, member_definition, owner_definition
from engine.model.catalog import (
    Catalog,
    Cube,
    Dimension,
    Folder,
    Hierarchy,
    Measure,
    Segment,
    View,
    ViewMember,
)
from engine.model.lint import member_name
from engine.query.access import SecurityContext, may_ask, visible
from engine.run.annotation import describe_granularity, drill, may_drill, member_type

Json = dict[str, Any]
_SUGGESTIONS = ("suggest_filter_values", "enable_suggestions")
_FORMATS = {
    "currency": "$,.2~f",
    "percent": ".2~%",
    "number": ",.2~f",
    "abbr": ".2~s",
    "accounting": "(,.2f",
    "decimal": ",.2f",
}
_PRECISE = {"number": ",.{}f", "percent": ".{}%", "currency": "$,.{}f"}


def meta_body(catalog: Catalog, context: SecurityContext, *, extended: bool = False, only_views: bool = False) -> Json:
    """The cubes and views with at least one visible member; `extended` for who may see how they are made."""
    extended = extended and may_see_definitions(context)
    components = _components(catalog)
    owners: list[Cube | View] = [*([] if only_views else catalog.cubes.values()), *catalog.views.values()]
    told = (_owner(owner, catalog, context, components, extended) for owner in owners if owner.shown.public)
    cubes = [each for each in told if each["measures"] or each["dimensions"] or each["segments"]]
    shown = {each["name"] for each in cubes}
    groups = [
        {"name": group.name, "title": group.title, "description": group.description, "views": group.views}
        for group in catalog.view_groups.values()
        if shown & set(group.views)
    ]
    return {"cubes": cubes} | ({"viewGroups": groups} if groups else {})


def _owner(
    owner: Cube | View, catalog: Catalog, context: SecurityContext, components: Mapping[str, int], extended: bool
) -> Json:
    allowed = visible(catalog, context, owner)

    def shown(members: Mapping[str, Any]) -> list[Any]:
        return [each for each in members.values() if each.shown.public and (allowed is None or each.name in allowed)]

    def more(each: Measure | Dimension | Segment | ViewMember) -> Json:
        return member_definition(each) if extended else {}

    whole = allowed is None or {each.name for each in _all_public(owner)} <= allowed
    is_view = isinstance(owner, View)
    told: Json = {
        "name": owner.name,
        "type": "view" if is_view else "cube",
        "title": owner.shown.title,
        "isVisible": True,
        "public": True,
        "description": owner.shown.description,
        "connectedComponent": components.get(owner.name),
        "meta": owner.shown.meta,
        "viewGroups": [group.name for group in catalog.view_groups.values() if owner.name in group.views] or None,
    }
    told = {key: value for key, value in told.items() if value is not None}
    names = {each.full_name for each in shown(owner.dimensions)}
    own = {each.name for group in (owner.measures, owner.dimensions, owner.segments) for each in shown(group)}
    folders = [found for each in _folders(owner) if (found := _kept(each, own)) is not None]
    return (
        told
        | {
            "measures": [_measure(catalog, context, each) | more(each) for each in shown(owner.measures)],
            "dimensions": [_dimension(catalog, each) | more(each) for each in shown(owner.dimensions)],
            "segments": [_segment(each) | more(each) for each in shown(owner.segments)],
            "hierarchies": [
                _hierarchy(each, owner.name, levels)
                for each in owner.hierarchies.values()
                if each.public and names & set(levels := _visible_names(catalog, context, each.levels))
            ],
            "folders": [_flat(each) for each in folders],
            "nestedFolders": [_nested(each) for each in folders],
        }
        | (owner_definition(owner) if extended and whole else {})
    )


def _all_public(owner: Cube | View) -> Iterable[Any]:
    groups: tuple[Mapping[str, Any], ...] = (owner.measures, owner.dimensions, owner.segments)
    return (each for group in groups for each in group.values() if each.shown.public)


def _measure(catalog: Catalog, context: SecurityContext, each: Measure | ViewMember) -> Json:
    measure = cast(Measure, each.member if isinstance(each, ViewMember) else each)
    return _shown(each) | {
        "formatDescription": _format(each.shown.format, member_type(measure)),
        "cumulativeTotal": bool(measure.extra.get("rolling_window")),
        "cumulative": bool(measure.extra.get("cumulative") or measure.extra.get("rolling_window")),
        "type": member_type(measure),
        "aggType": _camel(measure.type),
        **may_drill(drill(catalog, each), catalog, context),
        **_alias(each),
    }


def _visible_names(catalog: Catalog, context: SecurityContext, names: Iterable[str]) -> list[str]:
    return [name for name in names if may_ask(catalog, context, name)]


def _dimension(catalog: Catalog, each: Dimension | ViewMember) -> Json:
    dimension = cast(Dimension, each.member if isinstance(each, ViewMember) else each)
    told = _shown(each) | {
        "type": member_type(dimension),
        "suggestFilterValues": False not in (dimension.extra.get(key) for key in _SUGGESTIONS),
        "primaryKey": dimension.primary_key,
        **_alias(each),
    }
    if each.shown.format is not None:
        told["formatDescription"] = _format(each.shown.format, dimension.type)
    if dimension.granularities:
        told["granularities"] = [describe_granularity(own) for own in dimension.granularities.values()]
    told |= {key: dimension.extra[key] for key in ("order", "links") if dimension.extra.get(key)}
    key = _key(catalog, each, dimension)
    return told | ({"key": key} if key else {})


def _key(catalog: Catalog, each: Dimension | ViewMember, dimension: Dimension) -> str | None:
    """The full name of the dimension which identifies what this one names; a view's if it has it."""
    given = dimension.extra.get("key")
    if not isinstance(given, str):
        return None
    name = member_name(given, dimension.cube)
    if isinstance(each, ViewMember):
        own = catalog.views[each.view].dimensions.values()
        return next((other.full_name for other in own if other.alias_member == name), None)
    return name


def _segment(each: Segment | ViewMember) -> Json:
    return _shown(each) | _alias(each)


def _shown(each: Measure | Dimension | Segment | ViewMember) -> Json:
    shown = each.shown
    told: Json = {
        "name": each.full_name,
        "title": shown.title,
        "shortTitle": shown.short_title,
        "description": shown.description,
        "format": shown.format,
        "currency": shown.currency,
        "meta": shown.meta,
        "isVisible": True,
        "public": True,
    }
    return {key: value for key, value in told.items() if value is not None}


def _alias(each: Any) -> Json:
    return {"aliasMember": each.alias_member} if isinstance(each, ViewMember) else {}


def _hierarchy(each: Hierarchy, owner: str, levels: list[str]) -> Json:
    name = each.name if "." in each.name else f"{owner}.{each.name}"
    return {"name": name, "title": each.title, "levels": levels, "public": True}


def _folders(owner: Cube | View) -> Iterable[Folder]:
    return owner.folders if isinstance(owner, View) else ()


def _kept(folder: Folder, names: set[str]) -> Folder | None:
    """The folder with the members that the caller may ask for; None if there are none."""
    inner = (each if isinstance(each, str) else _kept(each, names) for each in folder.members)
    members = tuple(each for each in inner if each is not None and (not isinstance(each, str) or each in names))
    return replace(folder, members=members) if members else None


def _flat(folder: Folder) -> Json:
    return {"name": folder.name, "members": _members(folder)}


def _members(folder: Folder) -> list[str]:
    nested = ([each] if isinstance(each, str) else _members(each) for each in folder.members)
    return [name for names in nested for name in names]


def _nested(folder: Folder) -> Json:
    members = [each if isinstance(each, str) else _nested(each) for each in folder.members]
    return {"name": folder.name, "members": members}


def _components(catalog: Catalog) -> dict[str, int]:
    """The number of the group of cubes which joins tie together, whatever their direction."""
    near: dict[str, set[str]] = {name: set() for name in catalog.cubes}
    for cube in catalog.cubes.values():
        for other in cube.joins:
            near[cube.name].add(other)
            near.setdefault(other, set()).add(cube.name)
    found: dict[str, int] = {}
    for name in near:
        if name not in found:
            number = len(set(found.values())) + 1
            reached = [name]
            while reached:
                here = reached.pop()
                if here not in found:
                    found[here] = number
                    reached += near[here]
    return found


def _format(given: Any, kind: str) -> Json | None:
    name = given if isinstance(given, str) else "number" if kind == "number" else None
    if name is None:
        return None
    base, _, digits = name.partition("_")
    specifier = _PRECISE[base].format(digits) if digits and base in _PRECISE else _FORMATS.get(name, name)
    return {"name": name, "specifier": specifier}


def _camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(part.capitalize() for part in rest)
