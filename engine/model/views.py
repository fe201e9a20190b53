"""Views: members of cubes under chosen names, each with the join path that leads to it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from core.errors import nearest
from engine.model.catalog import Cube, DefaultFilter, Dimension, Folder, Hierarchy, Measure, Segment, View, ViewMember
from engine.model.document import Entry, Items, plain
from engine.model.forms import check_refresh_key
from engine.model.hierarchies import own_hierarchies, shown_hierarchies
from engine.model.policies import read_condition, read_policies
from engine.model.schema import Mistakes, Reader, titled
from engine.model.terms import Shown

_EXTRA = ("refresh_key", "view_group", "view_groups", "data_source")


@dataclass(slots=True)
class _Found:
    """What one entry of `cubes:` brings into a view."""

    path: tuple[str, ...]
    members: list[ViewMember]
    hierarchies: dict[str, Hierarchy]
    split_name: str | None


def read_view(
    entry: Entry, cubes: Mapping[str, Cube], mistakes: Mistakes, views: Collection[str] = ()
) -> Iterator[View]:
    """The view, and one more for each of its cubes with `split: true`; `views` are the names of all views."""
    reader = Reader(entry, "view", entry.file, mistakes)
    name = reader.name()
    for key in ("measures", "dimensions", "segments", "joins"):
        if reader.has(key):
            reader.wrong("a view has no members of its own; include them from cubes.", key)
    check_refresh_key(reader)
    if not reader.has("cubes"):
        reader.wrong("a view needs cubes: a list of join_path and includes.")
    shown = reader.shown(name)
    listed = (_included(child, name, shown.title, cubes, views) for child in reader.children("cubes", "included_cube"))
    found = [each for each in listed if each]
    _one_path_each(found, reader)
    yield _view(reader, name, shown, [each for each in found if each.split_name is None])
    for each in found:
        if each.split_name:
            yield _split(reader, f"{name}_{each.split_name}", shown, each)


def _split(reader: Reader, name: str, shown: Shown, found: _Found) -> View:
    members = [replace(member, view=name) for member in found.members]
    part = _Found(found.path, members, found.hierarchies, None)
    title = titled(name)
    return _assembled(reader, name, replace(shown, title=title, short_title=title), [part], (), ())


def _view(reader: Reader, name: str, shown: Shown, found: list[_Found]) -> View:
    members = {member.name: member for each in found for member in each.members}
    folders = tuple(_folder(child, members, found) for child in reader.children("folders", "folder"))
    filters = tuple(
        _default_filter(child, name, members) for child in reader.children("default_filters", "default_filter")
    )
    view = _assembled(reader, name, shown, found, folders, filters)
    own = own_hierarchies(reader, name, view.dimensions)
    return replace(view, hierarchies={**view.hierarchies, **own}) if own else view


def _assembled(
    reader: Reader,
    name: str,
    shown: Shown,
    found: list[_Found],
    folders: tuple[Folder, ...],
    filters: tuple[DefaultFilter, ...],
) -> View:
    members: dict[str, ViewMember] = {}
    for each in found:
        for member in each.members:
            if member.name in members:
                other = members[member.name].alias_member
                hint = "Give one an alias, or the cube a prefix."
                reader.wrong(f"'{member.name}' is both {other} and {member.alias_member}.", "cubes", hint=hint)
            members[member.name] = member
    return View(
        name=name,
        shown=shown,
        source=reader.source(),
        measures={key: each for key, each in members.items() if isinstance(each.member, Measure)},
        dimensions={key: each for key, each in members.items() if isinstance(each.member, Dimension)},
        segments={key: each for key, each in members.items() if isinstance(each.member, Segment)},
        hierarchies=shown_hierarchies(
            {key: value for each in found for key, value in each.hierarchies.items()}, members
        ),
        folders=folders,
        default_filters=filters,
        policies=read_policies(reader),
        extra=reader.rest(*_EXTRA),
    )


def _one_path_each(found: list[_Found], reader: Reader) -> None:
    paths: dict[tuple[str, str], tuple[str, ...]] = {}
    for each in found:
        key = (each.path[0], each.path[-1])
        if paths.setdefault(key, each.path) != each.path:
            hint = "Use extends to create a child cube."
            reader.wrong(
                f"Views can't define multiple join paths to the same cube '{each.path[-1]}'.", "cubes", hint=hint
            )


def _included(
    reader: Reader, view: str, title: str, cubes: Mapping[str, Cube], views: Collection[str]
) -> _Found | None:
    if not reader.has("join_path"):
        reader.wrong("says which cube with join_path: cube or cube.other.")
        return None
    path = tuple((reader.text("join_path") or "").strip("{}").split("."))
    for name in path:
        if name in views:
            problem = f"'{name}' is a view, and a view is made of cubes only."
            reader.wrong(problem, "join_path", hint="Include the cubes behind it, or write extends.")
            return None
        if name not in cubes:
            close = nearest(name, list(cubes))
            hint = f"Did you mean '{close[0]}'?" if close else None
            reader.wrong(f"there is no cube '{name}'.", "join_path" if reader.has("join_path") else None, hint=hint)
            return None
    for left, right in pairwise(path):
        if right not in cubes[left].joins:
            reader.wrong(f"'{left}' declares no join to '{right}'.", "join_path")
    cube = cubes[path[-1]]
    reader.name_of("alias")
    if reader.flag("split") and reader.flag("prefix"):
        reader.wrong("split and prefix exclude each other.", "split")
    prefix = f"{reader.text('alias') or cube.name}_" if reader.flag("prefix") else ""
    chosen = _chosen(reader, cube)
    hierarchies = _hierarchies(reader, cube, chosen, prefix)
    members = [_member(reader, view, title, path, cube, name, options, prefix) for name, options in chosen.items()]
    split = (reader.text("alias") or cube.name) if reader.flag("split") else None
    return _Found(path, [each for each in members if each], hierarchies, split)


def _chosen(reader: Reader, cube: Cube) -> dict[str, dict[str, Any]]:
    """Names of the cube's members to show, each with its own alias, title …"""
    includes = reader.entry.get("includes")
    if includes is None:
        reader.wrong("says which members with includes: '*' or a list.")
        return {}
    chosen: dict[str, dict[str, Any]] = {}
    if includes == "*":
        chosen = {name: {} for name in _all_names(cube)}
    elif isinstance(includes, list):
        for item in includes:
            options = plain(item) if isinstance(item, dict) else {"name": str(item)}
            if not _check_options(reader, item):
                continue
            chosen[str(options.get("name", "")).split(".")[-1]] = options
    else:
        reader.wrong("expected '*' or a list.", "includes")
    excludes = {name.split(".")[-1] for name in reader.words("excludes")}
    for name in (*chosen, *excludes):
        if cube.member(name) is None and name not in cube.hierarchies:
            close = nearest(name, _all_names(cube))
            hint = f"Did you mean '{close[0]}'?" if close else None
            reader.wrong(
                f"'{cube.name}' has no member '{name}'.", "includes" if name in chosen else "excludes", hint=hint
            )
    for name in list(chosen):
        if name in cube.hierarchies and name not in excludes:
            for level in cube.hierarchies[name].levels:
                owner, _, dimension = level.partition(".")
                if owner == cube.name:
                    chosen.setdefault(dimension, {})
    return {name: options for name, options in chosen.items() if name not in excludes}


def _check_options(reader: Reader, item: Any) -> bool:
    if isinstance(item, Entry):
        own = Reader(item, "included_member", reader.file, reader.mistakes)
        own.name_of("alias")
        if not own.has("name"):
            own.wrong("an included member needs its name.")
            return False
    return True


def _all_names(cube: Cube) -> list[str]:
    return [*cube.measures, *cube.dimensions, *cube.segments]


def _member(
    reader: Reader,
    view: str,
    title: str,
    path: tuple[str, ...],
    cube: Cube,
    name: str,
    options: Mapping[str, Any],
    prefix: str,
) -> ViewMember | None:
    member = cube.member(name)
    if member is None:
        return None
    short = options.get("title") or member.shown.short_title
    shown = replace(
        member.shown,
        title=f"{title} {short}",
        short_title=short,
        description=options.get("description", member.shown.description),
        format=options.get("format", member.shown.format),
        meta=options.get("meta", member.shown.meta),
    )
    return ViewMember(view, f"{prefix}{options.get('alias') or name}", path, member, shown, reader.source())


def _hierarchies(
    reader: Reader, cube: Cube, chosen: Mapping[str, Mapping[str, Any]], prefix: str
) -> dict[str, Hierarchy]:
    """The cube's hierarchies that the view takes over, their levels still the cube's."""
    excluded = {name.split(".")[-1] for name in reader.words("excludes")}
    whole = reader.entry.get("includes") == "*"
    names = [name for name in cube.hierarchies if (whole and name not in excluded) or name in chosen]
    renamed = {name: f"{prefix}{chosen.get(name, {}).get('alias') or name}" for name in names}
    return {renamed[name]: replace(cube.hierarchies[name], name=renamed[name]) for name in names}


def _folder(reader: Reader, members: Mapping[str, ViewMember], found: list[_Found]) -> Folder:
    includes = reader.entry.get("includes")
    if includes == "*":
        return Folder(reader.name(), tuple(members))
    if not isinstance(includes, Items):
        reader.wrong("a folder needs includes: '*' or a list.", "includes" if includes is not None else None)
        return Folder(reader.name(), ())
    inside: list[str | Folder] = []
    for item in includes:
        if isinstance(item, Entry) and "join_path" not in item:
            inside.append(_folder(Reader(item, "folder", reader.file, reader.mistakes), members, found))
        elif isinstance(item, Entry):
            inside += _of_path(reader, str(item["join_path"]), members, found)
        elif str(item) in members:
            inside.append(str(item))
        else:
            _no_member(reader, str(item), members, "includes")
    return Folder(reader.name(), tuple(inside))


def _of_path(reader: Reader, text: str, members: Mapping[str, ViewMember], found: list[_Found]) -> list[str]:
    path = tuple(text.strip("{}").split("."))
    if path not in [each.path for each in found]:
        close = nearest(text, [".".join(each.path) for each in found])
        hint = f"Did you mean '{close[0]}'?" if close else None
        reader.wrong(f"the view has no join_path '{text}'.", "includes", hint=hint)
    return [name for name, member in members.items() if member.path == path]


def _no_member(reader: Reader, name: str, members: Mapping[str, ViewMember], key: str) -> None:
    close = nearest(name, list(members))
    hint = f"Did you mean '{close[0]}'?" if close else None
    reader.wrong(f"the view has no member '{name}'.", key, hint=hint)


def _default_filter(reader: Reader, view: str, members: Mapping[str, ViewMember]) -> DefaultFilter:
    member = (reader.text("member") or "").split(".")[-1]
    if not reader.has("member"):
        reader.wrong("a default filter needs member, operator and values.")
    elif member not in members:
        _no_member(reader, member, members, "member")
    operator, values = read_condition(reader)
    unless = tuple(name.split(".")[-1] for name in reader.words("unless")) or (member,)
    for name in unless:
        if name not in members and name != member:
            _no_member(reader, name, members, "unless")
    return DefaultFilter(f"{view}.{member}", operator, values, tuple(f"{view}.{name}" for name in unless))
