"""YAML with memory: plain dicts and lists that know the line of each key and item, in snake_case keys.

Scalars follow YAML 1.2, as Cube reads them: only true and false are booleans. A file is bounded in size, depth and in
what its aliases unfold to, so that no file can keep the reader busy for long.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

import yaml
from yaml.events import (
    AliasEvent,
    DocumentEndEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
    StreamEndEvent,
)

from core.errors import ModelError

LARGEST = 5_000_000
"""Characters of a model file."""
DEEPEST = 40
"""Levels of lists and mappings in a model file."""
MOST = 300_000
"""Values in a model file, aliases unfolded."""
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_INTEGER = re.compile(r"[-+]?\d{1,300}")
_FLOAT = re.compile(r"[-+]?(?:\d+\.\d*|\.\d+|\d+(?=[eE]))(?:[eE][-+]?\d+)?")
_WORDS: Mapping[str, bool | None] = {
    "": None, "~": None, "null": None, "Null": None, "NULL": None,
    "true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False,
}  # fmt: skip
_TAGS = ("str", "int", "float", "bool", "null", "map", "seq")


class Entry(dict[str, Any]):
    """A YAML mapping; `line` is where it begins, `lines` where each key stands (both from 1)."""

    line: int = 0
    file: str = ""
    lines: dict[str, int]

    def line_of(self, key: str) -> int:
        """The line of `key`, or of the mapping if the key is absent."""
        return self.lines.get(key, self.line)


class Items(list[Any]):
    """A YAML list and the line of each item."""

    line: int = 0
    lines: list[int]


def read(text: str, file: str) -> Entry:
    """The top-level mapping of a YAML file; ModelError on bad syntax and on what is too large."""
    if len(text) > LARGEST:
        raise _mistake(f"a model file has at most {LARGEST} characters, this one has {len(text)}", file, 1)
    try:
        value, line = _Builder(text, file).document()
    except yaml.YAMLError as error:
        raise _syntax(error, text, file) from error
    except UnicodeError as error:
        raise _mistake(f"not UTF-8: {error}", file, 1) from error
    if value is None:
        return _mapping(1, file)
    if not isinstance(value, Entry):
        raise _mistake("expected keys like 'cubes:' at the top", file, line)
    return value


def _syntax(error: yaml.YAMLError, text: str, file: str) -> ModelError:
    mark, position = getattr(error, "problem_mark", None), getattr(error, "position", None)
    problem = getattr(error, "problem", None) or getattr(error, "reason", None) or str(error)
    line = mark.line + 1 if mark else text.count("\n", 0, position) + 1 if isinstance(position, int) else 1
    hint = None
    if "\t" in "".join(text.split("\n")[line - 1 : line]):
        hint = "Indent with spaces, not with tabs."
    elif "mapping values" in problem:
        hint = "Put a text with ': ' in it into quotes, or after 'sql: >' on lines of its own."
    return ModelError(f"{file}:{line}: not YAML: {problem}.", hint=hint, file=file, line=line)


def _mistake(problem: str, file: str, line: int, key: str | None = None) -> ModelError:
    return ModelError(f"{file}:{line}: {problem}.", file=file, line=line, key=key)


def _mapping(line: int, file: str) -> Entry:
    entry = Entry()
    entry.line, entry.file, entry.lines = line, file, {}
    return entry


class _Builder:
    """Builds values from the parser's events, counting as it goes."""

    def __init__(self, text: str, file: str) -> None:
        self.events: Iterator[Any] = yaml.parse(text, Loader=_LOADER)
        self.file = file
        self.anchors: dict[str, tuple[Any, int] | None] = {}
        self.count = 0

    def document(self) -> tuple[Any, int]:
        """The only document of the file and its line; None if there is none."""
        value: Any = None
        line = 0
        for event in self.events:
            if isinstance(event, ScalarEvent | SequenceStartEvent | MappingStartEvent | AliasEvent):
                if line:
                    raise self._wrong("one document a file ('---' only at the top)", event)
                line, value = _line(event), self._value(event, 0)
            elif isinstance(event, DocumentEndEvent | StreamEndEvent):
                continue
        return value, line or 1

    def _wrong(self, problem: str, event: Any, key: str | None = None) -> ModelError:
        return _mistake(problem, self.file, _line(event), key)

    def _value(self, event: Any, depth: int) -> Any:
        self._counted(1, event)
        if depth > DEEPEST:
            raise self._wrong(f"lists and keys are nested more than {DEEPEST} deep", event)
        if isinstance(event, AliasEvent):
            return self._known(event)
        self._check_tag(event)
        anchor, before = event.anchor, self.count
        if anchor is not None:
            self.anchors[anchor] = None
        if isinstance(event, MappingStartEvent):
            value: Any = self._entry(event, depth)
        elif isinstance(event, SequenceStartEvent):
            value = self._items(event, depth)
        else:
            value = _scalar(event)
        if anchor is not None:
            self.anchors[anchor] = (value, self.count - before)
        return value

    def _counted(self, count: int, event: Any) -> None:
        self.count += count
        if self.count > MOST:
            raise self._wrong(f"a model file has at most {MOST} values, aliases unfolded", event)

    def _known(self, event: Any) -> Any:
        if event.anchor not in self.anchors:
            raise self._wrong(f"there is no anchor '&{event.anchor}'", event)
        found = self.anchors[event.anchor]
        if found is None:
            raise self._wrong(f"the anchor '&{event.anchor}' contains itself", event)
        self._counted(found[1], event)
        return found[0]

    def _check_tag(self, event: Any) -> None:
        tag = getattr(event, "tag", None)
        if tag and tag != "!" and tag.removeprefix("tag:yaml.org,2002:") not in _TAGS:
            raise self._wrong(f"the tag '{tag}' means nothing here", event)

    def _items(self, start: Any, depth: int) -> Items:
        items = Items()
        items.line, items.lines = _line(start), []
        for event in self.events:
            if isinstance(event, SequenceEndEvent):
                break
            items.append(self._value(event, depth + 1))
            items.lines.append(_line(event))
        return items

    def _entry(self, start: Any, depth: int) -> Entry:
        entry = _mapping(_line(start), self.file)
        merged: list[Any] = []
        for event in self.events:
            if isinstance(event, MappingEndEvent):
                break
            if not isinstance(event, ScalarEvent):
                raise self._wrong("a key is one word", event)
            key, line = str(event.value), _line(event)
            value = self._value(next(self.events), depth + 1)
            if key == "<<" and event.implicit[0]:
                merged += value if isinstance(value, Items) else [value]
                continue
            if key in entry:
                raise self._wrong(f"'{key}' stands twice here", event, key)
            entry[key], entry.lines[key] = value, line
        return self._merged(entry, merged, start)

    def _merged(self, entry: Entry, others: list[Any], start: Any) -> Entry:
        """`<<: *other` brings keys which the mapping does not have itself."""
        for other in others:
            if not isinstance(other, Entry):
                raise self._wrong("'<<' needs the alias of a mapping", start)
            for key, value in other.items():
                if key not in entry:
                    entry[key], entry.lines[key] = value, other.line_of(key)
        return entry


def _line(event: Any) -> int:
    return int(event.start_mark.line) + 1


def _scalar(event: Any) -> Any:
    text = str(event.value)
    kind = (event.tag or "").rpartition(":")[2]
    if kind == "str" or (not event.implicit[0] and not kind) or len(text) > 300:
        return text
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text) and math.isfinite(float(text)):
        return float(text)
    return text


def snake(key: str) -> str:
    """`sqlTable` and `sql_table` are one key."""
    return _HUMP.sub("_", key).lower()


def snake_keys(entry: Entry) -> Entry:
    """The mapping with its own keys (not those beneath) in snake_case."""
    result = Entry((snake(key), value) for key, value in entry.items())
    result.line, result.file = entry.line, entry.file
    result.lines = {snake(key): line for key, line in entry.lines.items()}
    return result


def doubled(entry: Entry) -> list[str]:
    """Keys that are one key in two spellings, `sqlTable` beside `sql_table`."""
    seen: dict[str, str] = {}
    return [key for key in entry if seen.setdefault(snake(key), key) != key]


def numbered(items: Items) -> Iterator[tuple[Any, int]]:
    """Each item with its line."""
    return zip(items, items.lines, strict=True)


def plain(value: Any) -> Any:
    """The value without line numbers."""
    if isinstance(value, dict):
        return {key: plain(each) for key, each in value.items()}
    if isinstance(value, list):
        return [plain(each) for each in value]
    return value
