"""YAML files → Catalog: read, inherit, read members, resolve references; every mistake is reported at once."""

from __future__ import annotations

import gc
import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from core.errors import ModelError, ModelErrors
from engine.model.catalog import Catalog, Cube, Hierarchy, Member, View, ViewGroup
from engine.model.document import Entry, Items, read, snake_keys
from engine.model.expand import Expander
from engine.model.inherit import inherit
from engine.model.lint import check_model
from engine.model.members import read_dimension, read_join, read_measure, read_segment
from engine.model.policies import read_policies
from engine.model.references import parse_select
from engine.model.schema import Mistakes, Reader, titled
from engine.model.terms import Source, Sql
from engine.model.views import read_view

T = TypeVar("T")
_SUFFIXES = ("*.yml", "*.yaml", "*.yml.jinja", "*.yaml.jinja")
_EXTRA = ("refresh_key", "rewrite_queries", "pre_aggregations", "calendar")


def load_catalog(folder: Path, *, strict: bool = False) -> Catalog:
    """The models in `folder` and beneath it, without reports/; ModelErrors with every mistake at once.

    A reference to a member that is not there only makes the member that has it unusable (`Catalog.faults`), as in
    Cube; `strict` makes it a mistake like the others.
    """
    paths = sorted({path for suffix in _SUFFIXES for path in folder.rglob(suffix)})
    files = {str(path.relative_to(folder)): path.read_text() for path in paths}
    return load_texts({name: text for name, text in files.items() if not name.startswith("reports/")}, strict=strict)


@contextmanager
def _uncollected() -> Iterator[None]:
    """Nothing that a load makes is garbage, and looking for it would take half of the time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


@_uncollected()
def load_texts(files: Mapping[str, str], *, strict: bool = False) -> Catalog:
    """A Catalog from texts by file name."""
    mistakes = Mistakes()
    cubes, views, groups = _entries(files, mistakes)
    cube_map = {cube.name: cube for cube in (_cube(entry, mistakes) for entry in inherit(cubes, mistakes))}
    expander = Expander(cube_map, mistakes)
    expanded = expander.everything()
    if strict:
        mistakes.errors.extend(expander.faults)
    view_map = {view.name: view for entry in inherit(views, mistakes) for view in read_view(entry, cube_map, mistakes)}
    group_map = {group.name: group for group in (_view_group(entry, mistakes) for entry in groups)}
    _membership(view_map, group_map)
    check_model(cube_map, view_map, expanded, mistakes)
    if mistakes.errors:
        raise ModelErrors(
            sorted(mistakes.errors, key=lambda error: (error.details.get("file", ""), error.details.get("line", 0)))
        )
    digest = hashlib.sha256("\0".join(f"{name}\0{text}" for name, text in sorted(files.items())).encode()).hexdigest()
    return Catalog(cube_map, view_map, group_map, expanded, digest[:16], tuple(expander.faults))


def _entries(files: Mapping[str, str], mistakes: Mistakes) -> tuple[list[Entry], list[Entry], list[Entry]]:
    found: dict[str, list[Entry]] = {"cubes": [], "views": [], "view_groups": []}
    for name, text in files.items():
        try:
            top = read(text, name)
        except ModelError as error:
            mistakes.errors.append(error)
            continue
        reader = Reader(top, "file", name, mistakes)
        for key, entries in found.items():
            entries.extend(reader.entries(key, _kind(key)))
    _unique([*found["cubes"], *found["views"]], mistakes)
    return found["cubes"], found["views"], found["view_groups"]


def _kind(key: str) -> str:
    return {"cubes": "cube", "views": "view", "view_groups": "view_group"}[key]


def _unique(entries: Iterable[Entry], mistakes: Mistakes) -> None:
    seen: dict[str, Source] = {}
    for entry in entries:
        name, source = str(entry.get("name")), Source(entry.file, entry.line_of("name"))
        if name in seen:
            mistakes.add(source, f"'{name}' is already defined at {seen[name]}.", key="name")
        seen.setdefault(name, source)


def _cube(entry: Entry, mistakes: Mistakes) -> Cube:
    reader = Reader(entry, "cube", entry.file, mistakes)
    name = reader.name()
    shown = reader.shown(name)
    if reader.has("sql") == reader.has("sql_table"):
        reader.wrong("a cube needs exactly one of sql and sql_table.", "sql" if reader.has("sql") else None)
    dimensions = _named(reader, "dimensions", "dimension", lambda each: read_dimension(each, name, shown.title))
    measures = _named(reader, "measures", "measure", lambda each: read_measure(each, name, shown.title))
    segments = _named(reader, "segments", "segment", lambda each: read_segment(each, name, shown.title))
    cube = Cube(
        name=name,
        alias=reader.text("sql_alias") or name,
        shown=shown,
        source=reader.source(),
        table=reader.text("sql_table"),
        sql=_select(reader),
        final=reader.flag("final"),
        joins=_named(reader, "joins", "join", lambda each: read_join(each, name)),
        measures=measures,
        dimensions=dimensions,
        segments=segments,
        hierarchies=_hierarchies(reader, name),
        policies=read_policies(reader),
        data_source=reader.text("data_source", "default") or "default",
        extra=reader.rest(*_EXTRA),
    )
    _distinct_members(cube, mistakes)
    return cube


def _select(reader: Reader) -> Sql | None:
    text = reader.text("sql")
    try:
        return parse_select(text, reader.source("sql")) if text is not None else None
    except ModelError as error:
        reader.mistakes.errors.append(error)
        return None


def _named(reader: Reader, key: str, kind: str, build: Callable[[Reader], T | None]) -> dict[str, T]:
    result: dict[str, T] = {}
    for child in reader.children(key, kind):
        built = build(child)
        name = str(child.entry.get("name"))
        if name in result:
            child.wrong(f"'{name}' stands twice in {key}.", "name")
        if built is not None:
            result[name] = built
    return result


def _distinct_members(cube: Cube, mistakes: Mistakes) -> None:
    seen: dict[str, Any] = {}
    members: list[Member] = [*cube.measures.values(), *cube.dimensions.values(), *cube.segments.values()]
    for member in sorted(members, key=lambda each: each.source.line):
        if member.name in seen:
            mistakes.add(member.source, f"'{member.name}' is the name of two members of {cube.name}.", key="name")
        seen[member.name] = member


def _hierarchies(reader: Reader, cube: str) -> dict[str, Hierarchy]:
    def build(each: Reader) -> Hierarchy:
        name = each.name()
        levels = tuple(level.replace("CUBE.", "").strip("{}") for level in each.words("levels"))
        full = tuple(level if "." in level else f"{cube}.{level}" for level in levels)
        title = each.text("title") or titled(name)
        return Hierarchy(name, title, full, each.flag("public", True), each.source())

    return _named(reader, "hierarchies", "hierarchy", build)


def _view_group(entry: Entry, mistakes: Mistakes) -> ViewGroup:
    reader = Reader(entry, "view_group", entry.file, mistakes)
    name = reader.name()
    members = [*(reader.entry.get("includes") or []), *(reader.entry.get("views") or [])]
    return ViewGroup(name, reader.text("title") or titled(name), reader.text("description"), tuple(_flat(members)))


def _flat(items: Iterable[Any]) -> Iterable[str]:
    for item in items:
        if isinstance(item, dict):
            yield from _flat(snake_keys(item).get("includes") or Items())  # type: ignore[arg-type]
        else:
            yield str(item)


def _membership(views: Mapping[str, View], groups: dict[str, ViewGroup]) -> None:
    """A view may also name its groups itself."""
    for view in views.values():
        named = [view.extra.get("view_group"), *(view.extra.get("view_groups") or [])]
        for name in filter(None, named):
            group = groups.get(name) or ViewGroup(name, titled(name), None, ())
            if view.name not in group.views:
                groups[name] = ViewGroup(name, group.title, group.description, (*group.views, view.name))
