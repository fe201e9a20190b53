"""What the members of an answer are called and how they are written, in Cube's form."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Any, cast

from engine.model.catalog import Catalog, Dimension, Measure, Member, Segment, ViewMember
from engine.model.kept import Kept
from engine.model.terms import PREDEFINED, Granularity
from engine.query.access import SecurityContext, may_ask, shape_of
from engine.query.request import Query

Json = dict[str, Any]

_known: Kept[Hashable, Json] = Kept(20_000)
_OWN_TYPES = frozenset({"string", "time", "boolean"})


def annotate(catalog: Catalog, query: Query, context: SecurityContext) -> Json:
    """The four maps of an answer: measures, dimensions, segments, time dimensions."""
    return {
        "measures": _named(catalog, query.measures, context),
        "dimensions": _named(catalog, query.dimensions, context),
        "segments": _named(catalog, query.segments, context),
        "timeDimensions": _times(catalog, query, context),
    }


def describe(catalog: Catalog, member: Member | ViewMember) -> Json:
    """Titles, type and format of one member; what is not given is left out."""
    primitive = member.member if isinstance(member, ViewMember) else member
    shown = member.shown
    told: Json = {"title": shown.title, "shortTitle": shown.short_title, "description": shown.description}
    if not isinstance(primitive, Segment):
        told |= {"type": member_type(primitive), "format": shown.format, "currency": shown.currency}
    told["meta"] = shown.meta
    told = {key: value for key, value in told.items() if value is not None}
    return told | (drill(catalog, member) if isinstance(primitive, Measure) else {})


def member_type(member: Measure | Dimension) -> str:
    """The type of a member's values: every aggregate of numbers is a `number`."""
    if isinstance(member, Dimension):
        return "string" if member.type == "switch" else member.type
    return member.type if member.type in _OWN_TYPES else "number"


def drill(catalog: Catalog, member: Member | ViewMember) -> Json:
    """The members to drill down to, all together and by kind; a view's are those that it has, under its names."""
    primitive = cast(Measure, member.member if isinstance(member, ViewMember) else member)
    members = [_full_name(primitive.cube, name) for name in primitive.drill_members]
    if isinstance(member, ViewMember):
        view = catalog.views[member.view]
        own = {each.alias_member: each.full_name for each in (*view.dimensions.values(), *view.measures.values())}
        members = [own[name] for name in members if name in own]
    measures = [name for name in members if isinstance(catalog.primitive(name), Measure)]
    dimensions = [name for name in members if name not in measures]
    return {"drillMembers": members, "drillMembersGrouped": {"measures": measures, "dimensions": dimensions}}


def may_drill(told: Json, catalog: Catalog, context: SecurityContext) -> Json:
    """What `drill` tells, without the members for which the caller may not ask."""
    grouped = told["drillMembersGrouped"]
    kept = {name for name in told["drillMembers"] if may_ask(catalog, context, name)}
    return {
        "drillMembers": [name for name in told["drillMembers"] if name in kept],
        "drillMembersGrouped": {kind: [name for name in names if name in kept] for kind, names in grouped.items()},
    }


def _full_name(cube: str, name: str) -> str:
    owner, dot, tail = name.rpartition(".")
    return name if dot and owner not in ("CUBE", "TABLE") else f"{cube}.{tail}"


def granularity(dimension: Dimension, name: str) -> Json:
    """A predefined granularity or one of the dimension's own, as the client's series needs it."""
    own = dimension.granularities.get(name)
    if own is not None:
        return describe_granularity(own)
    return (
        {"name": name, "title": name, "interval": f"1 {name}"} if name in PREDEFINED else {"name": name, "title": name}
    )


def describe_granularity(own: Granularity) -> Json:
    """A granularity of the model."""
    told = {"name": own.name, "title": own.title, "interval": own.interval_text}
    told |= {"offset": own.offset, "origin": None if own.offset else own.origin}
    return {key: value for key, value in told.items() if value is not None}


def _told(catalog: Catalog, name: str, context: SecurityContext) -> Json:
    """`describe` of a name as far as the caller may be told; kept, for nobody changes what he is told."""
    told = _known.get(catalog, name, lambda: describe(catalog, catalog.member(name)))
    if not told.get("drillMembers"):
        return told
    key = name, context.groups, shape_of(context)
    return _known.get(catalog, key, lambda: told | may_drill(told, catalog, context))


def _named(catalog: Catalog, names: Iterable[str], context: SecurityContext) -> Json:
    return {name: _told(catalog, name, context) for name in names}


def _times(catalog: Catalog, query: Query, context: SecurityContext) -> Json:
    found: Json = {}
    for time in query.time_dimensions:
        if time.granularity is None:
            continue
        told = _told(catalog, time.dimension, context)
        dimension = cast(Dimension, catalog.primitive(time.dimension))
        found[f"{time.dimension}.{time.granularity}"] = told | {"granularity": granularity(dimension, time.granularity)}
        found[time.dimension] = told
    return found
