"""`extends`: a child takes over its parent's keys; members merge by name, joins and policies add up."""

from __future__ import annotations

from typing import Any

from core.errors import nearest
from engine.model.document import Entry, Items, doubled, snake, snake_keys
from engine.model.schema import Mistakes
from engine.model.terms import Source

_MERGED = ("measures", "dimensions", "segments", "hierarchies", "pre_aggregations", "cubes", "folders")
_ADDED = ("joins", "access_policy", "default_filters")
_DEEPEST = 30
_OWN = ("name", "title", "sql_alias", "extends")


def inherit(entries: list[Entry], mistakes: Mistakes) -> list[Entry]:
    """The entries with what they extend merged in, in the same order."""
    for entry in entries:
        for key in doubled(entry):
            mistakes.add(Source(entry.file, entry.line_of(key)), f"'{snake(key)}' stands twice here.", key=key)
    spelled = [snake_keys(entry) for entry in entries]
    by_name = {str(entry.get("name")): entry for entry in spelled}
    return [_merged(entry, by_name, mistakes, ()) for entry in spelled]


def _merged(entry: Entry, by_name: dict[str, Entry], mistakes: Mistakes, above: tuple[str, ...]) -> Entry:
    parent_name = entry.get("extends")
    if parent_name is None:
        return entry
    name = str(entry.get("name"))
    source = Source(entry.file, entry.line_of("extends"))
    parent = by_name.get(str(parent_name).strip("{}"))
    if len(above) >= _DEEPEST:
        mistakes.add(source, f"cubes extend each other more than {_DEEPEST} deep.", key="extends")
        return entry
    if parent is None or parent is entry or name in above:
        close = nearest(str(parent_name), [each for each in by_name if each != name])
        hint = f"Did you mean '{close[0]}'?" if close and parent is None else None
        problem = f"there is no '{parent_name}' to extend." if parent is None else "extends itself in a circle."
        mistakes.add(source, problem, key="extends", hint=hint)
        return entry
    return _join(_merged(parent, by_name, mistakes, (*above, name)), entry)


def _join(parent: Entry, child: Entry) -> Entry:
    result = Entry({key: value for key, value in parent.items() if key not in _OWN})
    result.line, result.file = child.line, child.file
    result.lines = {**dict.fromkeys(result, child.line), **child.lines}
    if "sql" in child or "sql_table" in child:
        result.pop("sql", None)
        result.pop("sql_table", None)
    for key, value in child.items():
        inherited = result.get(key)
        if key in _MERGED + _ADDED and isinstance(inherited, Items) and isinstance(value, Items):
            result[key] = _combined(inherited, value, by_name=key in _MERGED)
        else:
            result[key] = value
    return result


def _combined(parent: Items, child: Items, *, by_name: bool) -> Items:
    result = Items(parent)
    result.line, result.lines = child.line, list(parent.lines)
    places = {_key(item): index for index, item in enumerate(parent)} if by_name else {}
    for item, line in zip(child, child.lines, strict=True):
        index = places.get(_key(item))
        if index is None or _key(item) is None:
            result.append(item)
            result.lines.append(line)
        else:
            result[index] = item
            result.lines[index] = line
    return result


def _key(item: Any) -> Any:
    if not isinstance(item, dict):
        return None
    key = item.get("name") or item.get("join_path")
    return key if isinstance(key, str) else None
