"""YAML files → Catalog: read, inherit, read members, resolve references; every mistake is reported at once."""

from __future__ import annotations

import gc
import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from core.errors import ModelError, ModelErrors, nearest
from engine.model.catalog import Catalog, Cube, Dimension, Measure, Member, View, ViewGroup
from engine.model.document import LARGEST, Entry, Items, read
from engine.model.expand import Expander
from engine.model.forms import check_cube, check_dimension, check_measure
from engine.model.hierarchies import read_hierarchy
from engine.model.inherit import inherit
from engine.model.lint import check_model, maskable
from engine.model.members import read_dimension, read_join, read_measure, read_segment
from engine.model.policies import read_policies, read_tenant
from engine.model.references import parse_select
from engine.model.rollups import check_rollups, read_rollup
from engine.model.schema import Mistakes, Reader, titled
from engine.model.templates import render_all
from engine.model.terms import Source, Sql
from engine.model.views import read_view

T = TypeVar("T")
_SUFFIXES = ("*.yml", "*.yaml", "*.jinja")
_PART = r'(?:[\w$-]{1,200}|`[^`]{1,200}`|"[^"]{1,200}")'
_TABLE = re.compile(rf"{_PART}(?:\.{_PART})?")
_EXTRA = ("refresh_key", "rewrite_queries", "calendar")


def load_catalog(folder: Path, *, strict: bool = False) -> Catalog:
    """The models in `folder` and beneath it, without reports/; ModelErrors with every mistake at once.

    A reference to a member that is not there only makes the member that has it unusable (`Catalog.faults`), as in
    Cube; `strict` makes it a mistake like the others.
    """
    paths = sorted({path for suffix in _SUFFIXES for path in folder.rglob(suffix)})
    names = {str(path.relative_to(folder)): path for path in paths if path.is_file()}
    mistakes = Mistakes()
    files = {name: _text(path, name, mistakes) for name, path in names.items() if not name.startswith("reports/")}
    return _load({name: text for name, text in files.items() if text is not None}, mistakes, strict)


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


def load_texts(files: Mapping[str, str], *, strict: bool = False) -> Catalog:
    """A Catalog from texts by file name."""
    return _load(files, Mistakes(), strict)


def _text(path: Path, name: str, mistakes: Mistakes) -> str | None:
    if path.stat().st_size > 4 * LARGEST:
        mistakes.add(Source(name, 1), f"a model file has at most {LARGEST} characters.")
        return None
    content = path.read_bytes()
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        mistakes.add(Source(name, line), f"not UTF-8: byte 0x{content[error.start]:02x} at {error.start}.")
        return None


@_uncollected()
def _load(files: Mapping[str, str], mistakes: Mistakes, strict: bool) -> Catalog:
    cubes, views, groups = _entries(files, mistakes)
    cube_map = {cube.name: cube for cube in (_cube(entry, mistakes) for entry in inherit(cubes, mistakes))}
    view_map = _views(views, cube_map, mistakes)
    expander = Expander(cube_map, mistakes, maskable(cube_map, view_map))
    expanded = expander.everything()
    expander.check_filter_params({**cube_map, **view_map})
    if strict:
        mistakes.errors.extend(expander.faults)
    group_map = {group.name: group for group in (_view_group(entry, view_map, mistakes) for entry in groups)}
    _membership(view_map, group_map)
    check_model(cube_map, view_map, expanded, mistakes)
    rollup_faults = check_rollups(cube_map)
    if strict:
        mistakes.errors.extend(rollup_faults)
    if mistakes.errors:
        once = {str(error): error for error in mistakes.errors}.values()
        raise ModelErrors(sorted(once, key=lambda error: (error.details.get("file", ""), error.details.get("line", 0))))
    faults = (*expander.faults, *rollup_faults)
    digest = hashlib.sha256("\0".join(f"{name}\0{text}" for name, text in sorted(files.items())).encode()).hexdigest()
    return Catalog(cube_map, view_map, group_map, expanded, digest[:16], faults, expander.maskable)


def _views(entries: list[Entry], cubes: Mapping[str, Cube], mistakes: Mistakes) -> dict[str, View]:
    names = {str(entry.get("name")) for entry in entries}
    found: dict[str, View] = {}
    for entry in inherit(entries, mistakes):
        for view in read_view(entry, cubes, mistakes, names - set(cubes)):
            if view.name in found or view.name in cubes:
                mistakes.add(view.source, f"'{view.name}' is already defined.", key="name")
            found[view.name] = view
    return found


def _entries(files: Mapping[str, str], mistakes: Mistakes) -> tuple[list[Entry], list[Entry], list[Entry]]:
    found: dict[str, list[Entry]] = {"cubes": [], "views": [], "view_groups": []}
    texts, errors = render_all(files)
    mistakes.errors.extend(errors)
    for name, text in texts.items():
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
    check_cube(reader)
    calendar = reader.entry.get("calendar") is True

    def dimension(each: Reader) -> Dimension:
        check_dimension(each, calendar=calendar)
        return read_dimension(each, name, shown.title)

    def measure(each: Reader) -> Measure:
        check_measure(each)
        return read_measure(each, name, shown.title)

    dimensions = _named(reader, "dimensions", "dimension", dimension)
    measures = _named(reader, "measures", "measure", measure)
    segments = _named(reader, "segments", "segment", lambda each: read_segment(each, name, shown.title))
    cube = Cube(
        name=name,
        alias=reader.text("sql_alias") or name,
        shown=shown,
        source=reader.source(),
        table=_table(reader),
        sql=_select(reader),
        final=reader.flag("final"),
        joins=_named(reader, "joins", "join", lambda each: read_join(each, name)),
        measures=measures,
        dimensions=dimensions,
        segments=segments,
        hierarchies=_named(reader, "hierarchies", "hierarchy", lambda each: read_hierarchy(each, name)),
        policies=read_policies(reader),
        tenant=read_tenant(reader),
        rollups=_named(reader, "pre_aggregations", "pre_aggregation", lambda each: read_rollup(each, name)),
        data_source=reader.text("data_source", "default") or "default",
        extra=reader.rest(*_EXTRA),
    )
    _distinct_members(cube, mistakes)
    return cube


def _table(reader: Reader) -> str | None:
    """`table` or `database.table`, each part quoted where it must be."""
    text = reader.text("sql_table")
    if text is not None and not _TABLE.fullmatch(text.strip()):
        hint = "Anything else belongs into sql: SELECT * FROM …"
        reader.wrong(f"'{text}' is not a table: write table or database.table.", "sql_table", hint=hint)
        return None
    return text.strip() if text is not None else None


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
            code = "E_AMBIGUOUS_PATH" if key == "joins" else "E_NAME_COLLISION"
            child.wrong(f"'{name}' stands twice in {key}.", "name", ossie=code)
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


def _view_group(entry: Entry, views: Mapping[str, View], mistakes: Mistakes) -> ViewGroup:
    reader = Reader(entry, "view_group", entry.file, mistakes)
    name = reader.name()
    members = tuple(dict.fromkeys([*_flat(reader, "includes"), *_flat(reader, "views")]))
    for each in members:
        if each not in views:
            close = nearest(each, list(views))
            hint = f"Did you mean '{close[0]}'?" if close else None
            reader.wrong(f"there is no view '{each}'.", "includes" if reader.has("includes") else "views", hint=hint)
    return ViewGroup(name, reader.text("title") or titled(name), reader.text("description"), members)


def _flat(reader: Reader, key: str) -> Iterator[str]:
    items = reader.entry.get(key)
    if items is not None and not isinstance(items, Items):
        reader.wrong("expected a list of views.", key)
        return
    for item in items or ():
        if isinstance(item, Entry):
            yield from _flat(Reader(item, "view_group", reader.file, reader.mistakes), "includes")
        else:
            yield str(item)


def _membership(views: Mapping[str, View], groups: dict[str, ViewGroup]) -> None:
    """A view may also name its groups itself."""
    for view in views.values():
        named = [view.extra.get("view_group"), *_listed(view.extra.get("view_groups"))]
        for name in (str(each) for each in named if each is not None):
            group = groups.get(name) or ViewGroup(name, titled(name), None, ())
            if view.name not in group.views:
                groups[name] = ViewGroup(name, group.title, group.description, (*group.views, view.name))


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]
