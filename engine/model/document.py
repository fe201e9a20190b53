"""YAML with memory: plain dicts and lists that know the line of each key and item, in snake_case keys."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import Any

import yaml
from jinja2 import StrictUndefined
from jinja2.exceptions import TemplateError
from jinja2.sandbox import SandboxedEnvironment

from core.errors import ModelError

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_JINJA = re.compile(r"\{%|\{\{")
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


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
    """The top-level mapping of a YAML file, Jinja rendered first where there is any; ModelError on bad syntax."""
    if _JINJA.search(text):
        text = _rendered(text, file)
    try:
        node = yaml.compose(text, Loader=_LOADER)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        problem = getattr(error, "problem", None) or str(error)
        line = mark.line + 1 if mark else 1
        raise ModelError(f"{file}:{line}: not YAML: {problem}", file=file, line=line) from error
    if node is None:
        return _empty()
    value = _value(node, file)
    if not isinstance(value, Entry):
        raise ModelError(f"{file}:1: expected keys like 'cubes:' at the top.", file=file, line=1)
    return value


def _empty() -> Entry:
    entry = Entry()
    entry.lines = {}
    return entry


def _rendered(text: str, file: str) -> str:
    environment = SandboxedEnvironment(undefined=StrictUndefined, autoescape=False, keep_trailing_newline=True)
    environment.globals["env_var"] = _env_var
    try:
        return environment.from_string(text).render(COMPILE_CONTEXT={})
    except (TemplateError, KeyError) as error:
        line = getattr(error, "lineno", None) or 1
        raise ModelError(f"{file}:{line}: Jinja: {error}", file=file, line=line) from error


def _env_var(name: str, default: str | None = None) -> str:
    value = os.environ.get(name, default)
    if value is None:
        raise KeyError(f"environment variable {name} is not set")
    return value


def _value(node: yaml.Node, file: str) -> Any:
    if isinstance(node, yaml.MappingNode):
        return _entry(node, file)
    if isinstance(node, yaml.SequenceNode):
        items = Items(_value(child, file) for child in node.value)
        items.line = node.start_mark.line + 1
        items.lines = [child.start_mark.line + 1 for child in node.value]
        return items
    return _scalar(node)


def _entry(node: yaml.MappingNode, file: str) -> Entry:
    entry = Entry()
    entry.line = node.start_mark.line + 1
    entry.file = file
    entry.lines = {}
    for key_node, value_node in node.value:
        key = str(key_node.value)
        line = key_node.start_mark.line + 1
        if key in entry:
            raise ModelError(f"{file}:{line}: '{key}' stands twice here.", file=file, line=line, key=key)
        entry[key] = _value(value_node, file)
        entry.lines[key] = line
    return entry


def _scalar(node: yaml.Node) -> Any:
    kind = node.tag.rpartition(":")[2]
    text = str(node.value)
    if kind == "null":
        return None
    if kind == "bool":
        return text.lower() in ("yes", "true", "on")
    if kind == "int" and re.fullmatch(r"[-+]?\d+", text):
        return int(text)
    if kind == "float":
        try:
            return float(text)
        except ValueError:
            return text
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
